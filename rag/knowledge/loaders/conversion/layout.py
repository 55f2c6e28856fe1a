"""Reads the layout of a PDF: headings by the size of their letters, tables by their lines, without running heads and feet."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pdfplumber
from pdfminer.layout import LTChar, LTTextBox, LTTextLine

from rag.knowledge.loaders.plain import plain, rejoin_words
from rag.knowledge.loaders.tables import table

LARGER = 1.12
"""How much larger than the text the letters of a heading are."""
EDGE = 0.12
"""The share of a page's height at its top and bottom where running heads and feet stand."""
LEVELS = 3
_SENTENCE_END = (".", ",", ";", ":", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line: ``box`` counts the text boxes of the page; ``top`` is the distance from the page's top in shares of its height."""  # noqa: E501

    text: str
    size: float
    bold: bool
    box: int
    top: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    markdown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The Markdown of a file, whether it has ruled tables or headings, and the numbers of the pages without text."""

    markdown: str
    has_tables: bool
    has_headings: bool
    empty: tuple[int, ...]


def read_layout(content: bytes) -> Layout:
    """Reads all pages. The time grows with their number: 0.05 to 0.3 seconds each."""
    with pdfplumber.open(BytesIO(content), laparams={}) as document:
        pages = []
        for page in document.pages:
            pages.append(_page(page))
            page.close()
    running = _running(pages)
    lines = [line for page in pages for line in page if isinstance(line, _Line) and _key(line) not in running]
    sizes = _heading_sizes(lines)
    parts = [
        part
        for page in pages
        for part in _parts([each for each in page if isinstance(each, _Table) or _key(each) not in running], sizes)
    ]
    return Layout(
        markdown="\n\n".join(part for part in parts if part.strip()),
        has_tables=any(isinstance(each, _Table) for page in pages for each in page),
        has_headings=any(part.startswith("#") for part in parts),
        empty=tuple(number for number, page in enumerate(pages, 1) if not page),
    )


def _page(page: Any) -> list[_Line | _Table]:
    found = [each for each in page.find_tables() if len(each.rows) > 1 and max(len(row.cells) for row in each.rows) > 1]
    regions = [each.bbox for each in found]
    waiting = {index: _table(each) for index, each in enumerate(found)}
    result: list[_Line | _Table] = []
    for number, box in enumerate(each for each in page.layout if isinstance(each, LTTextBox)):
        for line in (each for each in box if isinstance(each, LTTextLine)):
            region = _region(line, page, regions)
            if region is None:
                result += _line(line, number, page)
            elif region in waiting:
                result.append(waiting.pop(region))
    return [each for each in [*result, *waiting.values()] if not isinstance(each, _Table) or each.markdown]


def _region(line: LTTextLine, page: Any, regions: Sequence[tuple[float, float, float, float]]) -> int | None:
    x, y = (line.x0 + line.x1) / 2, float(page.height) - (line.y0 + line.y1) / 2
    return next(
        (
            index
            for index, (left, top, right, bottom) in enumerate(regions)
            if left <= x <= right and top <= y <= bottom
        ),
        None,
    )


def _table(found: Any) -> _Table:
    rows = [[None if text is None else rejoin_words(text) for text in row] for row in found.extract()]
    for above, row in itertools.pairwise(rows):  # a cell that goes on from the row above is None
        for column, text in enumerate(row):
            if text is None and column < len(above) and column == 0:
                row[column] = above[column]
    return _Table(markdown=table(rows))


def _line(line: LTTextLine, box: int, page: Any) -> Iterator[_Line]:
    letters = [each for each in line if isinstance(each, LTChar) and each.get_text().strip()]
    text = line.get_text().strip()
    if letters and text:
        size = Counter(round(each.size, 1) for each in letters).most_common(1)[0][0]
        bold = sum("bold" in each.fontname.lower() or "black" in each.fontname.lower() for each in letters) > 0.9 * len(
            letters
        )
        yield _Line(text=text, size=size, bold=bold, box=box, top=1 - line.y1 / float(page.height))


def _key(line: _Line | _Table) -> str:
    return re.sub(r"\d+", "#", line.text) if isinstance(line, _Line) else ""


def _running(pages: Sequence[Sequence[_Line | _Table]]) -> frozenset[str]:
    """The texts at the edges of pages that at least half of them repeat, whatever number stands in them."""
    if len(pages) < 2:
        return frozenset()
    counts = Counter(
        key for page in pages for key in {_key(line) for line in page if isinstance(line, _Line) and _is_at_edge(line)}
    )
    numbers = {"#", "- # -", "# / #", "#/#"}
    return frozenset(key for key, count in counts.items() if count >= max(2, len(pages) / 2) or key in numbers)


def _is_at_edge(line: _Line) -> bool:
    return line.top < EDGE or line.top > 1 - EDGE


def _heading_sizes(lines: Sequence[_Line]) -> dict[float, int]:
    """The sizes of headings with their levels; the text's own size is that of most letters."""
    letters: Counter[float] = Counter()
    for line in lines:
        letters[line.size] += len(line.text)
    if not letters:
        return {}
    usual = letters.most_common(1)[0][0]
    larger = sorted((size for size in letters if size > LARGER * usual), reverse=True)
    if sum(letters[size] for size in larger) > 0.4 * letters.total():  # no headings, but text in two sizes
        return {}
    return {size: min(level, LEVELS) for level, size in enumerate(larger, 1)} | {-usual: min(len(larger) + 1, LEVELS)}


def _level(line: _Line, sizes: dict[float, int]) -> int:
    """The level of a heading; 0 for text. Bold lines of the text's size are headings if they are short and no sentence."""
    if len(line.text) > 120 or not re.search(r"\w", line.text):
        return 0
    if line.size in sizes:
        return sizes[line.size]
    is_short = len(line.text) < 80 and not line.text.endswith(_SENTENCE_END)
    return sizes.get(-line.size, 0) if line.bold and is_short else 0


def _parts(page: Sequence[_Line | _Table], sizes: dict[float, int]) -> Iterator[str]:
    """The blocks of a page: headings, paragraphs (the lines of one text box) and tables."""
    text: list[str] = []
    last: tuple[int, int] = (-1, 0)
    for each in page:
        place = (each.box, _level(each, sizes)) if isinstance(each, _Line) else (-2, 0)
        if text and place != last:
            yield _written(text, last[1])
            text = []
        if isinstance(each, _Table):
            yield each.markdown
        else:
            text.append(each.text)
        last = place
    if text:
        yield _written(text, last[1])


def _written(lines: Sequence[str], level: int) -> str:
    if level:
        return f"{'#' * level} {plain(' '.join(lines), printed=True)}"
    return plain(rejoin_words("\n".join(lines)), printed=True)
