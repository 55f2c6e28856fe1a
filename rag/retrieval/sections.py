"""The section that a passage stands in: its neighbours below the same headings, looked up by position."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.index.passages import PassageIndex, Scope
from rag.types import Passage

T = TypeVar("T")
REACH = 24
"""Passages on either side of one: a table of 300 short rows becomes 15 to 25."""


class Serving(Protocol):
    """Provides the index that serves; it may be replaced while the service runs."""

    async def ask(self, work: Callable[[TextEmbeddings, PassageIndex], Awaitable[T]]) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Passages of one section in reading order. ``begins``: the first of them is where the section begins."""

    passages: tuple[Passage, ...] = ()
    begins: bool = False


class IndexedSections:
    """Reads sections from the serving index."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def around(self, passage: Passage, scope: Scope) -> Section:
        """The section around a passage, ``REACH`` passages on either side at most, as far as it is in ``scope``.

        Empty if the document was replaced meanwhile and has no such section there. Raises ``IndexUnavailable``.
        """
        positions = range(max(0, passage.position - REACH), passage.position + REACH + 1)

        async def look_up(_: TextEmbeddings, index: PassageIndex) -> list[Passage]:
            return await index.excerpt(passage.document, positions, scope)

        return _section_around(passage, await self._serving.ask(look_up), positions.start)


def _section_around(passage: Passage, near: Sequence[Passage], start: int) -> Section:
    by_position = {each.position: each for each in near if each.headings == passage.headings}
    if passage.position not in by_position:
        return Section()
    first = last = passage.position
    while first - 1 in by_position:
        first -= 1
    while last + 1 in by_position:
        last += 1
    passages = tuple(by_position[position] for position in range(first, last + 1))
    return Section(passages=passages, begins=first > start or first == 0)
