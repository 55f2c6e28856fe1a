"""Finds the tables in the rows of a sheet: titles above them, heads of one or two rows, merged cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rag.knowledge.loaders.tables import cell, table

Row = Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merges:
    """Merged cells of a sheet: for each covered place its first place, rows and columns counted from 0."""

    covered: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def across(self, row: int) -> bool:
        """Whether a row has cells that are merged with those beside them."""
        return any(place[0] == row == first[0] for place, first in self.covered.items())


def sheet_markdown(rows: Iterable[Row], merges: Merges) -> str:
    """The tables and titles of a sheet."""
    lines = list(_filled(rows, merges))
    parts = [part for block in _blocks(lines) for part in _block(block, merges)]
    return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    number: int
    texts: tuple[str, ...]
    numeric: bool

    @property
    def texts_apart(self) -> list[str]:
        return list(dict.fromkeys(text for text in self.texts if text))


def _filled(rows: Iterable[Row], merges: Merges) -> Iterator[_Line]:
    """Rows as text, in which each merged cell has the text of its region's first one."""
    firsts = set(merges.covered.values())
    widths: dict[int, int] = {}
    for line, column in merges.covered:
        widths[line] = max(widths.get(line, 0), column + 1)
    kept: dict[tuple[int, int], object] = {}
    for number, row in enumerate(rows):
        values = [*row, *[None] * (widths.get(number, 0) - len(row))]  # covered cells at a row's end are not stored
        for column in range(len(values)):
            place = (number, column)
            if place in firsts:
                kept[place] = values[column]
            if place in merges.covered:
                values[column] = kept.get(merges.covered[place])
        numeric = any(
            (isinstance(value, int | float) and not isinstance(value, bool)) or _is_figure(value) for value in values
        )
        yield _Line(number=number, texts=tuple(map(cell, values)), numeric=numeric)


def _is_figure(value: object) -> bool:
    return (
        isinstance(value, str)
        and re.fullmatch(r"[-+(]?[€$£]?\s?\d[\d.,\s]*\s?[%€$£)]*|\d{4}-\d\d-\d\d.*", value.strip()) is not None
    )


def _blocks(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    """Runs of rows without an empty one between them; a run that has no head of its own belongs to the one before."""
    block: list[_Line] = []
    gap = False
    for index, line in enumerate(lines):
        if not any(line.texts):
            gap = bool(block)
            continue
        if gap and _starts_table(lines[index:], block):
            yield block
            block = []
        gap = False
        block.append(line)
    if block:
        yield block


def _starts_table(lines: Sequence[_Line], before: Sequence[_Line]) -> bool:
    """Whether a row behind an empty one is a title or a head, and no further row of the table before."""
    first = lines[0]
    if len(first.texts_apart) == 1 or (len(before) < 2 and len(before[0].texts_apart) == 1):
        return True
    following = []
    for line in lines[1:]:
        if not any(line.texts):
            break
        following.append(line)
    body_has_figures = any(line.numeric for line in before[1:])
    return not first.numeric and (any(line.numeric for line in following) or body_has_figures)


def _block(lines: Sequence[_Line], merges: Merges) -> Iterator[str]:
    """Titles (rows with one text) as paragraphs, then the table."""
    rows = list(lines)
    while (
        rows and len(rows[0].texts_apart) == 1 and (len(rows) == 1 or len(rows[1].texts_apart) > 1 or _is_title(rows))
    ):
        yield rows.pop(0).texts_apart[0].replace("\\|", "|")
    if not rows:
        return
    texts = [list(line.texts) for line in rows]
    if len(rows) > 2 and merges.across(rows[0].number) and not rows[1].numeric:
        texts[:2] = [[_joined(above, below) for above, below in zip(texts[0], texts[1], strict=False)]]
    first = min((next((at for at, text in enumerate(row) if text), len(row)) for row in texts), default=0)
    yield table([[text.replace("\\|", "|") for text in row[first:]] for row in texts])


def _is_title(rows: Sequence[_Line]) -> bool:
    """Whether the first of several rows with one text stands above a wider table."""
    return any(len(line.texts_apart) > 1 for line in rows[1:4])


def _joined(above: str, below: str) -> str:
    return above if above == below else " ".join(filter(None, (above, below)))
