"""Builds a prompt that fits the model's window. The question and the instructions are never cut.

Left out in this order, no more than needed: the oldest exchanges, the summary and the notes, the last passages. A single
remaining passage is cut after one of its sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from langchain_core.messages import BaseMessage

from rag.errors import ModelError
from rag.prompts.instructions import answer_prompt
from rag.text.sentences import END, is_border
from rag.types import Background, Exchange, Hit, Question

Count = Callable[[Sequence[BaseMessage]], int]

_LINE_END = re.compile(r"(?<=\S)[ \t]*\n")
"""Lists and tables are cut after a line, since they have no sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPrompt:
    """A prompt and its parts: rendering the question with these parts again gives the same ``messages``.

    ``hits`` are the first of the given ones (a single one may be shortened), ``history`` the newest of the given exchanges.
    """

    messages: list[BaseMessage]
    hits: tuple[Hit, ...]
    history: tuple[Exchange, ...]
    background: Background


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts that a prompt may contain, and how to measure it."""

    question: Question
    history: Sequence[Exchange]
    language: str
    count: Count

    def prompt_with(self, turns: int, background: Background, hits: Sequence[Hit]) -> FittedPrompt:
        history = tuple(self.history[len(self.history) - turns :])
        question = replace(self.question, background=background)
        messages = answer_prompt(question, history, [hit.passage for hit in hits], self.language)
        return FittedPrompt(messages=messages, hits=tuple(hits), history=history, background=background)

    def size(self, prompt: FittedPrompt) -> int:
        return self.count(prompt.messages)


def fit_prompt(
    question: Question,
    history: Sequence[Exchange],
    hits: Sequence[Hit],
    language: str,
    *,
    count: Count,
    window: int,
    answer_tokens: int,
    memory_tokens: int,
) -> FittedPrompt:
    """The prompt of a turn in at most ``window - answer_tokens`` tokens, with at most ``memory_tokens`` for its past.

    ``history`` is oldest first, ``hits`` best first. ``count`` tokenizes and is slow: it is called twice if everything fits, else
    ten times or so. Raises ``ModelError`` if not even one sentence of the best passage fits.
    """
    parts = _Parts(question=question, history=history, language=language, count=count)
    room = window - answer_tokens
    # Whole prompts are counted and not their parts: a chat template adds tokens around each message.
    without_past = parts.prompt_with(0, Background(), hits)
    size = parts.size(without_past)
    if size > room:
        return _with_fewer_passages(parts, hits, room)
    return _with_past(parts, hits, min(room, size + memory_tokens)) or without_past


def _with_past(parts: _Parts, hits: Sequence[Hit], room: int) -> FittedPrompt | None:
    """The prompt with as many of the newest exchanges as fit beside summary and notes, or without these if they are too long.

    None if not even an empty past fits.
    """
    # tried once if there is neither summary nor notes, since both are equal then
    for background in dict.fromkeys((parts.question.background, Background())):

        def fit(turns: int, included: Background = background) -> bool:
            return parts.size(parts.prompt_with(turns, included, hits)) <= room

        turns = _most(len(parts.history), fit)
        if turns is not None:
            return parts.prompt_with(turns, background, hits)
    return None


def _with_fewer_passages(parts: _Parts, hits: Sequence[Hit], room: int) -> FittedPrompt:
    def fit(number: int) -> bool:
        return parts.size(parts.prompt_with(0, Background(), hits[: number + 1])) <= room

    more = _most(len(hits) - 2, fit)
    if more is not None:
        return parts.prompt_with(0, Background(), hits[: more + 1])
    return _with_a_beginning(parts, hits[:1], room)


def _with_a_beginning(parts: _Parts, hits: Sequence[Hit], room: int) -> FittedPrompt:
    """The prompt with the beginning of the best passage, up to one of its sentences."""
    pieces = [hit for best in hits for hit in _beginnings(best)]
    most = _most(len(pieces) - 1, lambda last: parts.size(parts.prompt_with(0, Background(), [pieces[last]])) <= room)
    if most is None:
        raise ModelError(
            f"the question and the instructions leave no room for a passage in {room} tokens; ask a shorter question, "
            "or set model.window higher or model.answer_tokens lower"
        )
    return parts.prompt_with(0, Background(), [pieces[most]])


def _beginnings(hit: Hit) -> list[Hit]:
    """The beginnings of a passage, each up to one of its sentences or lines, the shortest first."""
    text = hit.passage.text.rstrip()
    stops = {stop.end() for stop in END.finditer(text) if is_border(text, 0, stop.end())}
    ends = sorted(stops | {line.start() for line in _LINE_END.finditer(text)})
    return [replace(hit, passage=replace(hit.passage, text=text[:end].rstrip())) for end in ends]


def _most(top: int, fits: Callable[[int], bool]) -> int | None:
    """The largest number from 0 to ``top`` that fits, by binary search (a larger one never fits better); None if 0 does not."""
    if top < 0:
        return None
    if fits(top):
        return top
    low, high = -1, top
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low >= 0 else None
