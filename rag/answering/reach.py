"""How far an answer must read on in a section so that no list, table, procedure or code that it quotes is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rag.prompts.plain import plain_passage
from rag.text.blocks import Block, parse
from rag.text.joining import Span, goes_on, joined, number_of
from rag.types import Passage

GAP = 3
"""Passages that may lie between a step and the next one: notes, pictures' captions, code."""


class Reach:
    """The run of a section's passages that holds what was retrieved (``own``) and what belongs to it.

    Only these are parsed, because parsing a passage takes half a millisecond and a section may have fifty.
    """

    def __init__(self, section: Sequence[Passage], own: Sequence[Passage]) -> None:
        self._section = section
        self._parsed: dict[int, list[Block]] = {}
        places = [place for place, passage in enumerate(section) if any(_holds(each, passage) for each in own)]
        self._first, self._last = min(places, default=0), max(places, default=-1)
        if places:
            self._widen()

    @property
    def passages(self) -> Sequence[Passage]:
        """In reading order; none if the section does not hold what was retrieved any more."""
        return self._section[self._first : self._last + 1]

    @property
    def spans(self) -> list[Span]:
        """The blocks of these passages; ``Span.first`` and ``Span.last`` number the passages from 0."""
        return joined([self._blocks(place) for place in range(self._first, self._last + 1)])

    def opening(self) -> Block | None:
        """The block that the section's first passage begins with, if that one is not among ``passages``."""
        blocks = self._blocks(0) if self._first > 0 else []
        return blocks[0] if blocks else None

    def _widen(self) -> None:
        while (after := self._next()) > self._last:
            self._last = after
        while (before := self._previous()) < self._first:
            self._first = before

    def _next(self) -> int:
        """The last passage to read, as far as one sees from the last one so far."""
        last, following = self._blocks(self._last), self._blocks(self._last + 1)
        if last and following and (goes_on(last[-1], following[0]) or _introduces(last[-1], following[0])):
            return self._last + 1
        numbers = [number for block in last if (number := _end(block)) is not None]
        return (
            self._place_of_step(numbers[-1] + 1, range(self._last + 1, self._last + 1 + GAP)) if numbers else self._last
        )

    def _previous(self) -> int:
        first, before = self._blocks(self._first), self._blocks(self._first - 1)
        if first and before and (goes_on(before[-1], first[0]) or _introduces(before[-1], first[0])):
            return self._first - 1
        start = next((number for block in first if (number := _start(block)) is not None), 1)
        for place in range(self._first - 1, max(self._first - 1 - GAP, -1), -1):
            if start > 1 and any(_end(block) == start - 1 for block in self._blocks(place)):
                return place
        return self._first

    def _place_of_step(self, number: int, places: range) -> int:
        for place in places:
            starts = [start for block in self._blocks(place) if (start := _start(block)) is not None]
            if starts:
                return place if starts[0] == number else self._last
        return self._last

    def _blocks(self, place: int) -> list[Block]:
        if not 0 <= place < len(self._section):
            return []
        if place not in self._parsed:
            self._parsed[place] = parse(plain_passage(self._section[place]).text)
        return self._parsed[place]


def _holds(passage: Passage, piece: Passage) -> bool:
    """Whether a retrieved passage is this one, or neighbours joined of which this is one."""
    return piece.position >= passage.position and piece.text in passage.text


def _introduces(block: Block, following: Block) -> bool:
    """Whether a text or a last item leads to what follows it: by a colon, or because steps begin there."""
    if block.kind not in ("text", "list", "steps") or following.kind in ("text", "heading"):
        return False
    return block.text.endswith((":", ":**")) or (block.kind == "text" and _start(following) == 1)


def _start(block: Block) -> int | None:
    return number_of(block.items[0]) if block.kind == "steps" and block.items else None


def _end(block: Block) -> int | None:
    return number_of(block.items[-1]) if block.kind == "steps" and block.items else None
