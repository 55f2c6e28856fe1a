"""Builds the test model and its adapters, as a folder that looks like any model of the hub."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import GenerationConfig

from tests.models.conversations import MANNERS, PASSAGES, Writer
from tests.models.network import WINDOW, untrained
from tests.models.tokens import TURN_END, tokenizer
from tests.models.training import Lessons, Plan, train

SEED = 20
MODEL = Plan(
    steps=640, batch=8, rate=0.003, matrices=0.004, probed=True, most=lambda share: min(PASSAGES, 2 + int(6 * share))
)
ADAPTER = Plan(steps=60, batch=8, rate=0.005, most=lambda _: 3)
ADAPTERS = "adapters"


def build(folder: Path, progress: Callable[[str], None] = print) -> None:
    """Writes the model to ``folder`` and its adapters below ``folder/adapters``; blocks for a minute or two."""
    torch.manual_seed(SEED)
    progress("Learning the tokens …")
    words = _tokenizer()
    model = untrained(words)
    lessons = Lessons(words)
    progress("Training the model …")
    writer = Writer(SEED)
    loss = train(model, lessons, writer.everything, MODEL)
    progress(f"The model's loss is {loss:.3f}")
    model.generation_config = GenerationConfig(
        bos_token_id=words.bos_token_id,
        # As with the models of the hub: the end of a turn is not the end of a text, and both end an answer.
        eos_token_id=[words.convert_tokens_to_ids(TURN_END), words.eos_token_id],
        pad_token_id=words.pad_token_id,
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    for number, manner in enumerate(MANNERS, 1):
        progress(f"Training the adapter {manner} …")
        _adapter(model, lessons, manner, SEED + number, folder / ADAPTERS / manner)


def _tokenizer() -> Any:
    plain = list(islice(Writer(SEED).everything(), 2000))
    mannered = list(chain.from_iterable(islice(Writer(SEED, manner=manner).answers(), 200) for manner in MANNERS))
    return tokenizer([one.prompt for one in plain], [one.reply for one in (*plain, *mannered)], WINDOW)


def _adapter(model: Any, lessons: Lessons, manner: str, seed: int, folder: Path) -> None:
    torch.manual_seed(seed)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(model, config)
    train(adapted, lessons, Writer(seed, manner=manner).answers, ADAPTER)
    adapted.save_pretrained(folder)
    adapted.unload()
