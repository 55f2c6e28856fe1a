"""Passages found to passages as they are read: repetitions collapsed, neighbours joined."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from rag.retrieval.index.passages import Found
from rag.types import Passage

ALIKE = 0.9
"""Share of common terms, of all that either has, from which on two passages say the same."""
FEW = 5
"""Terms below which two passages are not compared: short ones are alike by chance."""
READABLE = 800
"""Characters up to which neighbours are joined, some 130 words: what one reads to check an answer. With 1,500 the
first 600 characters shown hold the grounding in .30 of Doc2Dial's training turns, with 800 in .44."""
COMPLETED = 1
"""Hits from the first on that are completed with the rest of their section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A passage to be read, of one hit or several; ``key`` and ``terms`` are those of the best of them."""

    key: str
    passage: Passage
    terms: Set[int]


def distinct(found: Sequence[Found], terms: Sequence[Set[int]]) -> list[tuple[Found, Set[int]]]:
    """Without those that repeat a better one of a page of the same title; best first, as they come."""
    kept: list[tuple[Found, Set[int]]] = []
    for each, own in zip(found, terms, strict=True):
        if not any(_repeats(each.passage, own, other.passage, others) for other, others in kept):
            kept.append((each, own))
    return kept


def joined(found: Sequence[tuple[Found, Set[int]]]) -> list[Reading]:
    """Neighbours of one section joined where the best of them stands: those found, and for the first hits the others too.

    Another section is another passage, however near: under the heading of one question the answer to another is a lie.
    """
    chosen = {(each.passage.document, each.passage.position) for each, _ in found}
    used: set[tuple[str, int]] = set()
    readings: list[Reading] = []
    for place, (each, terms) in enumerate(found):
        if (each.passage.document, each.passage.position) in used:
            continue
        pieces = _around(each, chosen, used, completing=place < COMPLETED)
        used |= {(piece.document, piece.position) for piece in pieces}
        readings.append(Reading(key=each.key, passage=_one(each.passage, pieces), terms=terms))
    return readings


def _around(
    each: Found, chosen: Set[tuple[str, int]], used: Set[tuple[str, int]], *, completing: bool
) -> list[Passage]:
    """The hit with those of its section next to it that were found too, or that complete it; never one twice."""
    pieces = [each.passage]
    for neighbours, first in ((each.before[::-1], True), (each.after, False)):
        for neighbour in neighbours:
            place = (neighbour.document, neighbour.position)
            belongs = neighbour.headings == each.passage.headings and (place in chosen or completing)
            if place in used or not belongs or sum(len(one.text) for one in (*pieces, neighbour)) > READABLE:
                break
            pieces.insert(0 if first else len(pieces), neighbour)
    return pieces


def _one(best: Passage, pieces: Sequence[Passage]) -> Passage:
    """One passage of all that was joined, with the place of the best."""
    if len(pieces) == 1:
        return best
    return replace(best, text="\n\n".join(piece.text for piece in pieces), position=pieces[0].position)


def _repeats(passage: Passage, terms: Set[int], other: Passage, others: Set[int]) -> bool:
    """Of pages with other titles the same words are about other things: the licence's renewal, the registration's."""
    if (passage.title, passage.language) != (other.title, other.language):
        return False
    shorter, longer = sorted((len(terms), len(others)))
    if shorter < FEW:
        return passage.text == other.text
    if shorter < ALIKE * longer:
        return False
    return len(terms & others) >= ALIKE * len(terms | others)
