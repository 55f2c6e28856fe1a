"""How fast the benchmark's work could be on this machine: its products at the speed of the best product seen here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from tests.benchmarks.model.speed_model import Conversation, tokens_of


def floor_of(folder: Path, dtype: str, asked: Sequence[Conversation]) -> dict[str, float]:
    """Seconds for reading all prompts (arithmetic) and for all decoding steps of one full batch (weights read once a step).

    Keys and values, norms and Python cost nothing here, so nobody reaches it; the speed is in tokens a second.
    """
    import torch
    from safetensors.torch import load_file

    numbers = getattr(torch, dtype)
    stored = load_file(folder / "model.safetensors")
    layers = sum(value.numel() for name, value in stored.items() if ".layers." in name)
    weights = sum(value.numel() for value in stored.values())
    flops = _best(_product(2048, 2048, 2048, numbers))
    read = _best(_reading())
    prompts = 2.0 * layers * sum(one.prompt for one in asked) / flops
    steps = max(one.answer for one in asked) * weights * numbers.itemsize / read
    return {
        "gflops": round(flops / 1e9, 1),
        "gbytes_per_s": round(read / 1e9, 1),
        "prompts_s": round(prompts, 2),
        "steps_s": round(steps, 2),
        "tokens_per_s": round(tokens_of(asked) / (prompts + steps), 1),
    }


def _product(rows: int, inner: int, columns: int, numbers: object) -> Callable[[], float]:
    """Runs one product; the operations that it had."""
    import torch

    left, right = (torch.randn(rows, inner).to(numbers), torch.randn(columns, inner).to(numbers))  # type: ignore[call-overload]

    def run() -> float:
        torch.nn.functional.linear(left, right)
        return 2.0 * rows * inner * columns

    return run


def _reading() -> Callable[[], float]:
    """Reads 256 MiB, far more than any cache; the bytes that it read."""
    import torch

    lot = torch.zeros(1 << 26)

    def run() -> float:
        lot.sum()
        return float(lot.numel() * lot.element_size())

    return run


def _best(run: Callable[[], float], times: int = 5) -> float:
    """The highest rate of some runs, a second."""
    rates = []
    for _ in range(times):
        began = perf_counter()
        work = run()
        rates.append(work / (perf_counter() - began))
    return max(rates)
