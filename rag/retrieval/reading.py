"""Prepares retrieved passages for reading: removes repetitions and joins neighbours of one section."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from rag.retrieval.index.passages import RetrievedPassage
from rag.types import Passage

ALIKE = 0.9
"""Two passages with at least this share of common terms (intersection over union) count as the same."""
FEW = 5
"""Passages with fewer terms are compared by their text, because short ones share terms by chance."""
JOINED_CHARACTERS = 800
"""The most characters of joined neighbours, about 130 words: as much as one reads to check an answer. With 1,500 the first
600 characters shown contain the grounding in .30 of Doc2Dial's training turns, with 800 in .44."""
COMPLETED_HITS = 1
"""The first hits that are completed with neighbours of their section which were not retrieved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A passage to be read, made from one hit or several; ``key`` and ``terms`` are those of the best hit."""

    key: str
    passage: Passage
    terms: Set[int]


def distinct(
    passages: Sequence[RetrievedPassage], terms: Sequence[Set[int]]
) -> list[tuple[RetrievedPassage, Set[int]]]:
    """Removes passages that repeat a better one; input and output are best first."""
    result: list[tuple[RetrievedPassage, Set[int]]] = []
    for each, own in zip(passages, terms, strict=True):
        if not any(_repeats(each.passage, own, other.passage, others) for other, others in result):
            result.append((each, own))
    return result


def join_neighbours(passages: Sequence[tuple[RetrievedPassage, Set[int]]]) -> list[Reading]:
    """Joins retrieved neighbours of one section at the rank of the best; the first hits are completed with other neighbours.

    Passages of different sections are never joined: an answer would stand under the heading of another question.
    """
    retrieved = {(each.passage.document, each.passage.position) for each, _ in passages}
    used: set[tuple[str, int]] = set()
    readings: list[Reading] = []
    for place, (each, terms) in enumerate(passages):
        if (each.passage.document, each.passage.position) in used:
            continue
        pieces = _pieces_around(each, retrieved, used, completing=place < COMPLETED_HITS)
        used |= {(piece.document, piece.position) for piece in pieces}
        readings.append(Reading(key=each.key, passage=_merged(each.passage, pieces), terms=terms))
    return readings


def _pieces_around(
    each: RetrievedPassage, retrieved: Set[tuple[str, int]], used: Set[tuple[str, int]], *, completing: bool
) -> list[Passage]:
    """The hit with its neighbours of the same section that were retrieved too or complete it; no passage is used twice."""
    pieces = [each.passage]
    for neighbours, first in ((each.before[::-1], True), (each.after, False)):
        for neighbour in neighbours:
            place = (neighbour.document, neighbour.position)
            belongs = neighbour.headings == each.passage.headings and (place in retrieved or completing)
            if place in used or not belongs or sum(len(one.text) for one in (*pieces, neighbour)) > JOINED_CHARACTERS:
                break
            pieces.insert(0 if first else len(pieces), neighbour)
    return pieces


def _merged(best: Passage, pieces: Sequence[Passage]) -> Passage:
    """One passage with the text of all pieces and the metadata of the best."""
    if len(pieces) == 1:
        return best
    return replace(best, text="\n\n".join(piece.text for piece in pieces), position=pieces[0].position)


def _repeats(passage: Passage, terms: Set[int], other: Passage, others: Set[int]) -> bool:
    """Whether a passage repeats another one.

    Never across titles: on pages about two subjects (renewing a licence, renewing a registration) equal words differ in meaning.
    """
    if (passage.title, passage.language) != (other.title, other.language):
        return False
    shorter, longer = sorted((len(terms), len(others)))
    if shorter < FEW:
        return passage.text == other.text
    # The share of common terms cannot exceed shorter / longer.
    if shorter < ALIKE * longer:
        return False
    return len(terms & others) >= ALIKE * len(terms | others)
