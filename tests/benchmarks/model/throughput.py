"""Tokens a second for 16 conversations at once, against LangChain's HuggingFacePipeline and transformers' own ways.

A random Llama of 32 million parameters; prompts of 60 to 600 tokens, answers of 40 to 160, the same for all; all of them asked
at the same time. The ways take turns, and the median of their rounds is told.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from langchain_core.messages import HumanMessage

from rag.models.language_model import LanguageModel
from rag.models.local.deferred import load_local
from rag.settings import ModelSettings
from tests.benchmarks.model.gpu_speed import measure_gpu
from tests.benchmarks.model.speed_floor import floor_of
from tests.benchmarks.model.speed_model import Conversation, conversations, save_speed_model, tokens_of

AT_ONCE, ROUNDS = 16, int(os.environ.get("ROUNDS", "3"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of one way. ``first`` are seconds to the first word of each conversation, where it tells them."""

    seconds: float
    tokens: int
    first: tuple[float, ...] = ()

    @property
    def speed(self) -> float:
        return self.tokens / self.seconds


Way = Callable[[Sequence[Conversation]], Awaitable[Round]]


async def measure(_data: Path) -> dict[str, object]:
    """Speeds in tokens a second. ``ratio`` is to the pipeline with the same numbers (bfloat16 where it is fast)."""
    asked = conversations(AT_ONCE)
    with tempfile.TemporaryDirectory() as folder:
        model = await asyncio.to_thread(save_speed_model, Path(folder))
        own, own32 = await load_local(settings_of(model), print), await load_local(settings_of(model, "float32"), print)
        facts = await own.check()
        ways: dict[str, Way] = {
            "tokens_per_s": lambda some: _streamed(own, some),
            "float32_tokens_per_s": lambda some: _streamed(own32, some),
            **_peers(model, facts["dtype"]),
        }
        rounds = await _in_turns(ways, asked)
        floor = floor_of(model, facts["dtype"], asked)
        await own.close()
        await own32.close()
    return {**_figures(rounds), "dtype": facts["dtype"], "floor": floor, "gpu": await measure_gpu()}


def settings_of(folder: Path, dtype: str = "auto", device: str = "cpu") -> ModelSettings:
    return ModelSettings.model_validate(
        {
            "kind": "transformers",
            "name": str(folder),
            "dtype": dtype,
            "device": device,
            "window": 2048,
            "batch": AT_ONCE,
            "first_token_seconds": 600,
            "deadline_seconds": 3600,
        }
    )


async def _in_turns(ways: dict[str, Way], asked: Sequence[Conversation]) -> dict[str, list[Round]]:
    """Each way once to warm up, then all of them one after another, as often as there are rounds."""
    rounds: dict[str, list[Round]] = {name: [] for name in ways}
    for name, way in ways.items():
        print(f"warm up: {name} {(await way(asked[:2])).speed:.0f}", flush=True)
    for number in range(ROUNDS):
        for name, way in ways.items():
            rounds[name].append(await way(asked))
            print(f"round {number + 1}: {name} {rounds[name][-1].speed:.0f}", flush=True)
    return rounds


def _figures(rounds: dict[str, list[Round]]) -> dict[str, object]:
    speed = {name: statistics.median(one.speed for one in some) for name, some in rounds.items()}
    first = [seconds for one in rounds["tokens_per_s"] for seconds in one.first]
    cuts = statistics.quantiles(first, n=20)
    return {
        **{name: round(value, 1) for name, value in speed.items()},
        "ratio": round(speed["tokens_per_s"] / speed["peer_tokens_per_s"], 2),
        "ratio_float32": round(speed["float32_tokens_per_s"] / speed["peer_default_tokens_per_s"], 2),
        "ratio_default_dtype": round(speed["tokens_per_s"] / speed["peer_default_tokens_per_s"], 2),
        "first_token_p50_s": round(statistics.median(first), 2),
        "first_token_p95_s": round(cuts[18], 2),
        "rounds": ROUNDS,
    }


async def _streamed(model: LanguageModel, asked: Sequence[Conversation]) -> Round:
    """As the service asks: every conversation streamed, all of them at once."""
    began = perf_counter()
    first = await asyncio.gather(*(_stream(model, one, began) for one in asked))
    return Round(seconds=perf_counter() - began, tokens=tokens_of(asked), first=tuple(first))


async def _stream(model: LanguageModel, one: Conversation, began: float) -> float:
    first, text = 0.0, ""
    async for chunk in model.chat.astream([HumanMessage(one.text)], max_tokens=one.answer):
        first = first or perf_counter() - began
        text += chunk.text
    if len(text.split()) != one.answer:
        raise RuntimeError(f"{len(text.split())} tokens instead of {one.answer}: the comparison would not be fair")
    return first


# The others


def _peers(folder: Path, dtype: str) -> dict[str, Way]:
    """HuggingFacePipeline with the same numbers and with its default (those of the file: float32), and transformers itself."""
    import torch

    same = _causal(folder, getattr(torch, dtype))
    return {
        "peer_tokens_per_s": _way(_pipeline(folder, same)),
        "peer_default_tokens_per_s": _way(_pipeline(folder, None)),
        "generate_static": _way(_static(folder, same)),
        "transformers_continuous": _way(_continuous(folder, _causal(folder, getattr(torch, dtype)))),
    }


def _way(run: Callable[[Sequence[Conversation]], None]) -> Way:
    async def timed(asked: Sequence[Conversation]) -> Round:
        began = perf_counter()
        await asyncio.to_thread(run, asked)
        return Round(seconds=perf_counter() - began, tokens=tokens_of(asked))

    return timed


def _causal(folder: Path, dtype: Any, device: str = "cpu") -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()


def _pipeline(folder: Path, model: Any) -> Callable[[Sequence[Conversation]], None]:
    """One after another: it has no batches of different lengths, and threads at once share the same cores."""
    from langchain_community.llms import HuggingFacePipeline
    from transformers import AutoTokenizer, pipeline

    if model is None:
        peer = HuggingFacePipeline.from_model_id(str(folder), task="text-generation")
    else:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        peer = HuggingFacePipeline(pipeline=pipeline("text-generation", model=model, tokenizer=tokenizer))

    def run(asked: Sequence[Conversation]) -> None:
        for one in asked:
            forced = {"max_new_tokens": one.answer, "min_new_tokens": one.answer, "do_sample": False}
            text = peer.invoke(one.text, pipeline_kwargs={**forced, "return_full_text": False})
            if len(text.split()) != one.answer:
                raise RuntimeError(f"the pipeline wrote {len(text.split())} tokens instead of {one.answer}")

    return run


def _static(folder: Path, model: Any) -> Callable[[Sequence[Conversation]], None]:
    """One batch, padded, until the longest answer is written."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")

    def run(asked: Sequence[Conversation]) -> None:
        batch = tokenizer([one.text for one in asked], return_tensors="pt", padding=True).to(model.device)
        longest = max(one.answer for one in asked)
        batch.pop("token_type_ids", None)
        model.generate(**batch, max_new_tokens=longest, min_new_tokens=longest, do_sample=False)

    return run


def _continuous(folder: Path, model: Any) -> Callable[[Sequence[Conversation]], None]:
    from transformers import AutoTokenizer, GenerationConfig
    from transformers.generation import ContinuousBatchingConfig

    tokenizer = AutoTokenizer.from_pretrained(folder)
    told = GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=200)
    room = ContinuousBatchingConfig(num_blocks=256, max_batch_tokens=1024, page_size=32, allow_block_sharing=False)

    def run(asked: Sequence[Conversation]) -> None:
        manager = model.init_continuous_batching(generation_config=told, continuous_batching_config=room)
        manager.start()
        try:
            for one in asked:
                manager.add_request(tokenizer(one.text)["input_ids"], max_new_tokens=one.answer)
            written = 0
            for _ in asked:
                written += len(manager.get_result(timeout=600).generated_tokens)
            if written != tokens_of(asked):
                raise RuntimeError(f"continuous batching wrote {written} tokens instead of {tokens_of(asked)}")
        finally:
            manager.stop(block=True)

    return run


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path())), indent=1))
