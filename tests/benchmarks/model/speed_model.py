"""A model whose only use is to be fast or slow: random weights in the shape of a real one, and requests of mixed lengths."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 20
PROMPTS, ANSWERS = (60, 600), (40, 160)
"""Tokens of the shortest and the longest prompt and answer."""
SMALL: dict[str, Any] = {
    "vocab_size": 16384,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
"""A Llama of 32 million parameters."""
CONTENT_ONLY = "{% for message in messages %}{{ message.content }}{% endfor %}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A prompt of so many tokens, and how many are to be written after it."""

    text: str
    prompt: int
    answer: int


def conversations(count: int, vocabulary: int = SMALL["vocab_size"], seed: int = SEED) -> list[Conversation]:
    """Lengths spread evenly over the logarithm of their range for prompts, evenly for answers."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        prompt = round(PROMPTS[0] * (PROMPTS[1] / PROMPTS[0]) ** chance.random())
        words = " ".join(f"w{chance.randrange(2, vocabulary)}" for _ in range(prompt))
        made.append(Conversation(text=words, prompt=prompt, answer=chance.randint(*ANSWERS)))
    return made


def word_tokenizer(vocabulary: int) -> Any:
    """One token a word, so that prompts have the length that is wanted."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<end>": 0, "<none>": 1, **{f"w{number}": number for number in range(2, vocabulary)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<none>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>", unk_token="<none>")
    fast.chat_template = CONTENT_ONLY
    return fast


def save_speed_model(folder: Path, kind: str = "llama", **shape: Any) -> Path:
    """Random weights that never end an answer: the end token's row is zero, and others are above it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(SEED)
    given = {**SMALL, **shape, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": None}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **given))
    with torch.no_grad():
        model.get_output_embeddings().weight[0] = 0
    model.save_pretrained(folder)
    word_tokenizer(given["vocab_size"]).save_pretrained(folder)
    return folder


def tokens_of(asked: Sequence[Conversation]) -> int:
    return sum(one.answer for one in asked)
