"""Makes a prompt that fits the model's window. The question and the instructions are never cut.

Dropped in this order, and no more than needed: the oldest turns, the summary with the notes, the last passages; the only
passage left is cut after one of its sentences.
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
"""A list or a table has no sentences, but lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A prompt and what it was made of: the one renderer makes the same ``messages`` from the rest and the question.

    ``hits`` is a beginning of those handed over, the only one perhaps cut short; ``history`` an end of the past.
    """

    messages: list[BaseMessage]
    hits: tuple[Hit, ...]
    history: tuple[Exchange, ...]
    background: Background


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """What a prompt may hold, and how large it is."""

    question: Question
    history: Sequence[Exchange]
    language: str
    count: Count

    def of(self, turns: int, background: Background, hits: Sequence[Hit]) -> Fitted:
        history = tuple(self.history[len(self.history) - turns :])
        question = replace(self.question, background=background)
        messages = answer_prompt(question, history, [hit.passage for hit in hits], self.language)
        return Fitted(messages=messages, hits=tuple(hits), history=history, background=background)

    def size(self, fitted: Fitted) -> int:
        return self.count(fitted.messages)


def fitted(
    question: Question,
    history: Sequence[Exchange],
    hits: Sequence[Hit],
    language: str,
    *,
    count: Count,
    window: int,
    answer_tokens: int,
    memory_tokens: int,
) -> Fitted:
    """The prompt of a turn within ``window - answer_tokens`` tokens, of which its past takes ``memory_tokens`` at most.

    ``history`` is oldest first, ``hits`` best first. ``count`` tokenizes, so it is called some ten times at most, and twice where
    everything fits. Raises ``ModelError`` when not even a sentence of the best passage fits.
    """
    prompt = _Prompt(question=question, history=history, language=language, count=count)
    room = window - answer_tokens
    bare = prompt.of(0, Background(), hits)
    size = prompt.size(bare)
    if size > room:
        return _with_fewer_passages(prompt, hits, room)
    return _with_past(prompt, hits, min(room, size + memory_tokens)) or bare


def _with_past(prompt: _Prompt, hits: Sequence[Hit], room: int) -> Fitted | None:
    """As many of the newest turns as fit beside summary and notes; where these alone are too much, without them."""
    for background in dict.fromkeys((prompt.question.background, Background())):

        def fit(turns: int, kept: Background = background) -> bool:
            return prompt.size(prompt.of(turns, kept, hits)) <= room

        turns = _most(len(prompt.history), fit)
        if turns is not None:
            return prompt.of(turns, background, hits)
    return None


def _with_fewer_passages(prompt: _Prompt, hits: Sequence[Hit], room: int) -> Fitted:
    def fit(number: int) -> bool:
        return prompt.size(prompt.of(0, Background(), hits[: number + 1])) <= room

    more = _most(len(hits) - 2, fit)
    if more is not None:
        return prompt.of(0, Background(), hits[: more + 1])
    return _with_a_beginning(prompt, hits[:1], room)


def _with_a_beginning(prompt: _Prompt, hits: Sequence[Hit], room: int) -> Fitted:
    """The best passage up to one of its sentences."""
    pieces = [hit for best in hits for hit in _beginnings(best)]
    most = _most(len(pieces) - 1, lambda last: prompt.size(prompt.of(0, Background(), [pieces[last]])) <= room)
    if most is None:
        raise ModelError(
            f"the question and the instructions leave no room for a passage in {room} tokens; ask a shorter question, "
            "or set model.window higher or model.answer_tokens lower"
        )
    return prompt.of(0, Background(), [pieces[most]])


def _beginnings(hit: Hit) -> list[Hit]:
    """The passage after each of its sentences but the last, the shortest first."""
    text = hit.passage.text.rstrip()
    stops = {stop.end() for stop in END.finditer(text) if is_border(text, 0, stop.end())}
    ends = sorted(stops | {line.start() for line in _LINE_END.finditer(text)})
    return [replace(hit, passage=replace(hit.passage, text=text[:end].rstrip())) for end in ends]


def _most(top: int, fits: Callable[[int], bool]) -> int | None:
    """The largest number up to ``top`` that fits, where less always fits if more does; None if not even 0 does."""
    if top < 0:
        return None
    if fits(top):
        return top
    low, high = -1, top
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low if low >= 0 else None
