"""The same on a GPU, where there is one: the shapes of Qwen3-1.7B and 8B with random weights, 1 to 128 conversations at once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.benchmarks.model.speed_model import Conversation, conversations, save_speed_model, tokens_of

COUNTS = (1, 8, 32, 128)
PIPELINE_COUNT = 4
"""Conversations that the pipeline serves one after another: more would be as fast."""
_QWEN = {"vocab_size": 32768, "head_dim": 128, "num_key_value_heads": 8, "max_position_embeddings": 4096}
SHAPES: dict[str, dict[str, Any]] = {
    "Qwen3-1.7B": {
        **_QWEN,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "tie_word_embeddings": True,
    },
    "Qwen3-8B": {
        **_QWEN,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "tie_word_embeddings": False,
    },
}
"""With a smaller vocabulary than Qwen's, so that the benchmark's tokenizer stays small: 0.1 and 1 GB of weights less."""


async def measure_gpu() -> dict[str, object]:
    """By shape and conversations at once: tokens a second, the ratio to the pipeline, the share of the memory's bandwidth."""
    import torch

    if not torch.cuda.is_available():
        return {"absent": "torch sees no CUDA device here"}
    figures: dict[str, object] = {"device": torch.cuda.get_device_name()}
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            await asyncio.to_thread(save_speed_model, Path(folder), "qwen3", **shape)
            figures[name] = await _of_shape(Path(folder))
        torch.cuda.empty_cache()
    return figures


async def _of_shape(folder: Path) -> dict[str, object]:
    import torch

    from rag.models.local.deferred import load_local
    from tests.benchmarks.model.throughput import settings_of

    peer = await asyncio.to_thread(_peer_speed, folder)
    torch.cuda.empty_cache()
    bandwidth = _bandwidth()
    figures: dict[str, object] = {"peer_tokens_per_s": round(peer, 1), "gbytes_per_s": round(bandwidth / 1e9)}
    for count in COUNTS:
        settings = settings_of(folder, "bfloat16", "cuda").model_copy(update={"batch": count, "queue": count})
        model = await load_local(settings, print)
        try:
            figures[str(count)] = await _of_count(model, folder, count, peer, bandwidth)
        finally:
            await model.close()
    return figures


async def _of_count(model: Any, folder: Path, count: int, peer: float, bandwidth: float) -> dict[str, float]:
    from tests.benchmarks.model.throughput import _streamed

    asked = conversations(count, _QWEN["vocab_size"])
    await _streamed(model, asked)
    round_ = await _streamed(model, asked)
    writing = round_.seconds - max(round_.first)
    steps = max(one.answer for one in asked)
    return {
        "tokens_per_s": round(round_.speed, 1),
        "ratio": round(round_.speed / peer, 2),
        "bandwidth_share": round(_bytes_of(folder) * steps / bandwidth / max(writing, 1e-9), 3),
    }


def _peer_speed(folder: Path) -> float:
    """The pipeline, with the same numbers on the same GPU."""
    import torch

    from tests.benchmarks.model.throughput import _causal, _pipeline

    run = _pipeline(folder, _causal(folder, torch.bfloat16, "cuda"))
    asked: Sequence[Conversation] = conversations(PIPELINE_COUNT, _QWEN["vocab_size"])
    run(asked[:1])
    began = perf_counter()
    run(asked)
    return tokens_of(asked) / (perf_counter() - began)


def _bytes_of(folder: Path) -> float:
    """Weights that a decoding step reads, in bfloat16; the files hold float32."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2


def _bandwidth() -> float:
    """Bytes a second that a copy on the GPU moves, read and written."""
    import torch

    lot = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(lot)
    rates = []
    for _ in range(5):
        torch.cuda.synchronize()
        began = perf_counter()
        other.copy_(lot)
        torch.cuda.synchronize()
        rates.append(2 * lot.numel() / (perf_counter() - began))
    return max(rates)
