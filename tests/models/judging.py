"""How well the test model does what it was trained for, asked in ways that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from rag.models.local.prompts import PromptTemplate
from tests.models.conversations import PASSAGES, Conversation, Writer

_SEED = 7
_GROUP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Of the questions that the passages answer: right sentences, right numbers; of the others: abstentions."""

    sentences: float
    citations: float
    abstentions: float


def judge(model: Any, tokenizer: Any, count: int = 200, *, unseen: bool = True) -> Shares:
    """Asks ``count`` questions about passages that no training had together; greedy."""
    asked = list(islice(Writer(_SEED, unseen=unseen).answers(PASSAGES), count))
    groups = [asked[start : start + _GROUP] for start in range(0, count, _GROUP)]
    replies = [reply for group in groups for reply in _replies(model, tokenizer, group)]
    pairs = [(one, *_parts(one.reply), *_parts(reply)) for one, reply in zip(asked, replies, strict=True)]
    told = [pair for pair in pairs if pair[0].cited]
    untold = [pair for pair in pairs if not pair[0].cited]
    return Shares(
        sentences=sum(right == said for _, right, _, said, _ in told) / len(told),
        citations=sum(right == said for _, _, right, _, said in told) / len(told),
        abstentions=sum(right == said for _, right, _, said, _ in untold) / len(untold),
    )


def _replies(model: Any, tokenizer: Any, conversations: Sequence[Conversation]) -> list[str]:
    template = PromptTemplate(tokenizer, "the test model")
    prompts = [template.tokens(one.prompt) for one in conversations]
    padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt", padding_side="left")
    with torch.no_grad():
        written = model.generate(**padded, max_new_tokens=48, do_sample=False)
    said: list[str] = tokenizer.batch_decode(written[:, padded["input_ids"].shape[1] :], skip_special_tokens=True)
    return said


def _parts(reply: str) -> tuple[str, str]:
    sentence, _, number = reply.partition(" [")
    return sentence, number
