"""Three adapters, promoted under load: does every reply come, to its last token, from the adapter that was asked for?

Each adapter of the benchmark writes one word and no other, whatever it is asked. Three names are asked for in turns; after
every hundred requests one of them points to a new adapter, with a word of its own, and the old one is retired at once, while
replies of it are under way. There is room for four, so that adapters come and go all the time.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from rag.models.adapters import adapter_digest
from rag.models.language_model import LanguageModel
from rag.models.local.deferred import load_local
from rag.settings import ModelSettings
from rag.types import AdapterRef
from tests.benchmarks.model.speed_model import SEED, save_speed_model

REQUESTS, AT_ONCE, EVERY = 1000, 64, 100
"""Requests in all, under way or waiting at any time, and between two promotions."""
ANSWERS = (4, 24)
NAMES = ("alpha", "beta", "gamma")
SHAPE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "tie_word_embeddings": False,
}
CONSTANT, STRENGTH = 3.0, 1e3
"""The first figure of every token in the stream, and by how much an adapter turns it into its word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was asked of whom, and what came."""

    word: str
    length: int
    text: str


async def measure(_data: Path) -> dict[str, object]:
    """``wrong``: replies with even one token of another adapter, or with a token too few or too many."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        save_constant_model(home / "model")
        made = len(NAMES) + (REQUESTS - 1) // EVERY
        adapters = [save_word_adapter(home / f"adapter-{n}", home / "model", 100 + n) for n in range(made)]
        model = await load_local(settings_of(home / "model"), print)
        try:
            began = perf_counter()
            replies = await _promoted_under_load(model.chat, model, adapters)
            seconds = perf_counter() - began
            seen = await _sees_a_swap(model.chat, adapters)
        finally:
            await model.close()
    return {
        "wrong": sum(is_wrong(reply) for reply in replies),
        "requests": len(replies),
        "tokens": sum(reply.length for reply in replies),
        "promotions": made - len(NAMES),
        "adapters": len({reply.word for reply in replies}),
        "seconds": round(seconds, 1),
        "counts_a_swapped_adapter": seen,
    }


def is_wrong(reply: Reply) -> bool:
    """Any token that is not the adapter's own word, or another number of tokens than was asked for."""
    return reply.text.split() != [reply.word] * reply.length


def settings_of(folder: Path) -> ModelSettings:
    return ModelSettings(
        kind="transformers", name=str(folder), batch=16, queue=AT_ONCE, adapters=4, first_token_seconds=300,
        deadline_seconds=600,
    )  # fmt: skip


def save_constant_model(folder: Path) -> None:
    """A random model in which the first figure of the stream is the same for every token, in every layer."""
    import torch
    from transformers import AutoModelForCausalLM

    save_speed_model(folder, **SHAPE)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        model.get_input_embeddings().weight[:, 0] = CONSTANT
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight[0] = 0
    model.save_pretrained(folder)


def save_word_adapter(folder: Path, model: Path, word: int) -> AdapterRef:
    """An adapter that turns the constant figure into its word, and changes keys, values and all else at random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(word)
    targets = ["q_proj", "k_proj", "v_proj", "down_proj", "lm_head"]
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                _set(name, weight, word)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return AdapterRef(name=folder.name, path=str(folder), digest=adapter_digest(folder))


def _set(name: str, weight: Any, word: int) -> None:
    if "lm_head" not in name:
        weight.normal_(0, 0.3)
        if "down_proj" in name and "lora_B" in name:
            weight[0] = 0
        return
    weight.zero_()
    weight[(0, 0) if "lora_A" in name else (word, 0)] = 1 if "lora_A" in name else STRENGTH


async def _promoted_under_load(
    chat: BaseChatModel, model: LanguageModel, adapters: Sequence[AdapterRef]
) -> list[Reply]:
    chance, gate = random.Random(SEED), asyncio.Semaphore(AT_ONCE)
    current = dict(zip(NAMES, range(len(NAMES)), strict=True))
    new = len(NAMES)
    tasks = []
    for number in range(REQUESTS):
        await gate.acquire()
        if number and number % EVERY == 0:
            name = NAMES[(number // EVERY) % len(NAMES)]
            old, current[name], new = current[name], new, new + 1
            await model.retire(adapters[old])
        one = current[NAMES[number % len(NAMES)]]
        task = asyncio.create_task(_ask(chat, adapters[one], 100 + one, chance))
        task.add_done_callback(lambda _: gate.release())
        tasks.append(task)
    return await asyncio.gather(*tasks)


async def _ask(chat: BaseChatModel, adapter: AdapterRef, word: int, chance: random.Random) -> Reply:
    """``word`` is what a reply of the adapter that is wanted consists of."""
    length = chance.randint(*ANSWERS)
    asked = " ".join(f"w{chance.randrange(2, SHAPE['vocab_size'])}" for _ in range(chance.randint(4, 60)))
    stream = chat.astream([HumanMessage(asked)], adapter=adapter, max_tokens=length)
    text = "".join([chunk.text async for chunk in stream])
    return Reply(word=f"w{word}", length=length, text=text)


async def _sees_a_swap(chat: BaseChatModel, adapters: Sequence[AdapterRef]) -> bool:
    """The count can rise: adapters that are swapped on purpose, and one token of another one, are counted as wrong."""
    chance = random.Random(SEED)
    swapped = await asyncio.gather(*(_ask(chat, one, 99, chance) for one in adapters[-3:]))
    right = await _ask(chat, adapters[-1], 100 + len(adapters) - 1, chance)
    words = right.text.split()
    one_token = replace(right, text=" ".join([*words[:-1], "w99"]))
    return all(is_wrong(reply) for reply in (*swapped, one_token)) and not is_wrong(right)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path())), indent=1))
