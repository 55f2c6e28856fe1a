"""Training the test model, and adapters for it, on two CPU cores in a minute or two; the same for every seed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rag.models.local.prompts import PromptTemplate
from tests.models.conversations import PASSAGES, Conversation
from tests.models.tokens import CLOSES, OPENS, ROLES, TURN_END

_IGNORED = -100
_CITED = re.compile(r"\[(\d)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how fast. ``most`` maps the share of the training that is over to the passages that a prompt has at most.

    ``matrices`` is the rate of the layers' matrices, 0 for one rate for all; ``probed`` adds the lesson of the probe.
    """

    steps: int
    batch: int
    rate: float
    most: Callable[[float], int]
    matrices: float = 0.0
    probed: bool = False
    warmup: int = 20


class Lessons:
    """Conversations as a network learns from them. All batches are padded at the end, where nothing looks."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._template = PromptTemplate(tokenizer, "the test model")
        opens, closes, self._end = tokenizer.convert_tokens_to_ids([OPENS, CLOSES, TURN_END])
        self._opens, self._closes = opens, closes
        self._digits = {tokenizer.convert_tokens_to_ids(str(number)): number for number in range(1, PASSAGES + 1)}

    def batch(self, conversations: Sequence[Conversation]) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens; what is to be said (with the stop tokens); the number of the passage that each token is about."""
        rows = [self._row(conversation) for conversation in conversations]
        longest = max(len(ids) for ids, _, _ in rows)
        fillers = (self._tokenizer.pad_token_id, _IGNORED, _IGNORED)
        ids, said, about = (
            torch.tensor([row[part] + [filler] * (longest - len(row[part])) for row in rows])
            for part, filler in enumerate(fillers)
        )
        return ids, said, about

    def _row(self, conversation: Conversation) -> tuple[list[int], list[int], list[int]]:
        ids = self._template.tokens(conversation.prompt)
        said, about = [_IGNORED] * len(ids), self._numbers(ids)
        for number, (question, answer) in enumerate((("", conversation.reply), *conversation.further)):
            if number:
                turn = self._tokens(f"{ROLES['human']}{question}{TURN_END}{ROLES['ai']}")
                ids, said, about = ids + turn, said + [_IGNORED] * len(turn), about + [_IGNORED] * len(turn)
            reply = [*self._tokens(answer), self._end]
            cited = _CITED.search(answer)
            own = int(cited[1]) if cited else 0
            ids, said, about = ids + reply, said + reply, [*about[:-1], own] + [own] * len(reply)
        return ids, said, about

    def _numbers(self, prompt: Sequence[int]) -> list[int]:
        """The number of the passage that each token of a prompt stands in."""
        numbers, current = [], _IGNORED
        for before, token in zip((-1, *prompt), prompt, strict=False):
            if before == self._opens:
                current = self._digits.get(token, _IGNORED)
            elif token == self._closes:
                current = _IGNORED
            numbers.append(current)
        return numbers

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def train(model: Any, lessons: Lessons, written: Callable[[int], Iterator[Conversation]], plan: Plan) -> float:
    """Teaches to say what is to be said; returns the loss at the end. ``written`` gives conversations with so many passages.

    A probe beside the network, thrown away afterwards, has to tell at each word which passage it is about: far more lessons
    on where to look than the one number at the end of a sentence gives.
    """
    probe = nn.Linear(model.config.hidden_size, PASSAGES + 1)
    optimizers = _optimizers(model, probe, plan)
    model.train()
    lately = 0.0
    for step in range(plan.steps):
        ids, said, about = lessons.batch(list(islice(written(plan.most(step / plan.steps)), plan.batch)))
        hidden = model.get_decoder()(input_ids=ids).last_hidden_state
        words = _loss(model.get_output_embeddings(), hidden[:, :-1], said[:, 1:])
        model.zero_grad(set_to_none=True)
        torch.autograd.backward(words + _loss(probe, hidden, about) if plan.probed else words)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * _share(step, plan)
            optimizer.step()
        probe.zero_grad(set_to_none=True)
        lately = 0.95 * lately + 0.05 * float(words.detach()) if step else float(words.detach())
    model.eval()
    return lately


def _loss(head: Any, hidden: Tensor, wanted: Tensor) -> Tensor:
    counted = wanted != _IGNORED
    return cross_entropy(head(hidden[counted]), wanted[counted])


def _optimizers(model: Any, probe: nn.Module, plan: Plan) -> list[torch.optim.Optimizer]:
    """AdamW; Muon for the matrices of the layers where they have a rate of their own."""
    matrices: list[nn.Parameter] = []
    rest = list(probe.parameters())
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            (matrices if plan.matrices and weight.ndim == 2 and ".layers." in name else rest).append(weight)
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.0)]
    if matrices:
        found.append(
            torch.optim.Muon(matrices, plan.matrices, weight_decay=0.0, momentum=0.9, adjust_lr_fn="match_rms_adamw")
        )
    for optimizer in found:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return found


def _share(step: int, plan: Plan) -> float:
    """Of the learning rate: up at once, down along a cosine."""
    if step < plan.warmup:
        return (step + 1) / plan.warmup
    return 0.02 + 0.98 * (1 + cos(pi * (step - plan.warmup) / (plan.steps - plan.warmup))) / 2
