"""Lists, procedures and tables in parts that are not cut, and how many of these fit an answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.answering.quotes import Quotable
from rag.text.joining import number_of

LONGEST = 1600
"""Characters of a list, procedure or table in an answer: about two screens of a phone."""
BETWEEN = 6
"""Units at most between two steps that belong to one procedure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part that is not cut; ``counts`` is 0 for what stands between two items."""

    text: str
    counts: int = 1


def pieces_of(units: Sequence[Quotable]) -> list[Piece]:
    """The items of lists and steps, and what stands between them: the sentences of a paragraph together."""
    pieces: list[Piece] = []
    for place, unit in enumerate(units):
        if unit.kind in ("steps", "list") and not unit.item:
            if place and unit.lead:
                pieces.append(Piece(text=unit.lead, counts=0))
            pieces += [Piece(text=part) for part in unit.parts]
        elif place and not unit.item and units[place - 1].block == unit.block:
            pieces[-1] = Piece(text=f"{pieces[-1].text} {unit.words}", counts=0)
        else:
            pieces.append(Piece(text=unit.words, counts=int(unit.item)))
    return pieces


def window(pieces: Sequence[Piece], wanted: Collection[str]) -> Sequence[Piece]:
    """The pieces that fit: from the first on, or from the one that answers (its text is ``wanted``) if that lies further down."""
    stop = fitting(pieces, 0)
    asked = next((at for at, piece in enumerate(pieces) if piece.text in wanted), 0)
    if asked < stop or _is_counted_by_markdown(pieces):
        return pieces[:stop]
    return pieces[asked : fitting(pieces, asked)]


def fitting(pieces: Sequence[Piece], start: int) -> int:
    """The number of the first piece that does not fit any more; the last one that does is an item, if there is one."""
    length, stop = 0, start
    for at in range(start, len(pieces)):
        length += len(pieces[at].text) + 1
        if length > LONGEST and at > start:
            break
        stop = at + 1
    while stop < len(pieces) and stop - 1 > start and not pieces[stop - 1].counts:
        stop -= 1
    return stop


def glued(pieces: Sequence[Piece]) -> str:
    """Items one below the other; what stands between two items in a paragraph of its own."""
    text = pieces[0].text
    for before, piece in pairwise(pieces):
        text += ("\n" if before.counts and piece.counts else "\n\n") + piece.text
    return text


def procedure(units: Sequence[Quotable], place: int) -> range:
    """The places from a procedure's first steps to its last ones, with the notes and code between them."""
    first = last = place
    while (after := _steps_after(units, last)) > last:
        last = after
    while (before := _steps_before(units, first)) < first:
        first = before
    # below "12." code that is indented as below "9." stands outside of the list
    if units[last].text.endswith(":") and last + 1 < len(units) and units[last + 1].kind == "code":
        last += 1
    return range(first, last + 1)


def _steps_after(units: Sequence[Quotable], place: int) -> int:
    following = _end(units[place]) + 1
    for at in range(place + 1, min(place + 2 + BETWEEN, len(units))):
        if units[at].kind == "steps":
            return at if number_of(units[at].parts[0]) == following else place
    return place


def _steps_before(units: Sequence[Quotable], place: int) -> int:
    start = number_of(units[place].parts[0])
    for at in range(place - 1, max(place - 2 - BETWEEN, -1), -1):
        if units[at].kind == "steps":
            return at if start == _end(units[at]) + 1 else place
    return place


def _end(steps: Quotable) -> int:
    return number_of(steps.parts[-1]) or 0


def _is_counted_by_markdown(pieces: Sequence[Piece]) -> bool:
    """Whether a page numbers all steps alike ("1. 1. 1."): without the first ones the others would get wrong numbers."""
    numbers = [number_of(piece.text) for piece in pieces[:2]]
    return len(numbers) > 1 and numbers[0] is not None and numbers[0] == numbers[1]
