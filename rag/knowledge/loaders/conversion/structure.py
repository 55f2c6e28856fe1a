"""Prepares the tree of a page for Markdown: tables, footnotes, code. Web pages and Word files share these steps."""

from __future__ import annotations

import copy
import re

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString

WIDEST = 100
"""The most columns or rows that one cell is spread over."""
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = ("p", "ul", "ol", "pre", "blockquote", "dl", "table", *_HEADINGS)
_LINE_NUMBERS = ".linenos, .lineno, .linenodiv, .line-numbers-rows, td.gutter, .blob-num, .hljs-ln-numbers, pre button, .copy-button"  # noqa: E501
_MARK = re.compile(r"[\[(]?\s*(?:\d{1,3}|[a-z]|[ivx]{1,5}|[*†‡§]{1,3})\s*[\])]?")
_BACK = re.compile(r"[\s\u2191\u21a9\ufe0e^\u2b06]*")
_NOTE_CONTAINERS = ("li", "p", "div", "dd", "aside", "section", "td", "span")


def prepare(soup: BeautifulSoup) -> None:
    """Places footnotes, opens layout tables, fills spanned cells, and puts the lines of code on lines."""
    place_notes(soup)
    for pre in soup.find_all("pre"):
        _break_lines(pre)
    for element in soup.select(_LINE_NUMBERS):
        element.decompose()
    for table in reversed(soup.find_all("table")):  # inner tables first
        if _is_layout(table):
            _open(table)
        else:
            _fill_spans(table)
    _mark_powers(soup)


def place_notes(soup: BeautifulSoup) -> None:
    """Moves each footnote behind the paragraph that refers to it: its number would read like that of a source."""
    for link in soup.select("a[href^='#']"):
        if link.decomposed or not _is_reference(link):
            continue
        target = soup.find(id=str(link["href"])[1:])
        container = target if isinstance(target, Tag) else None
        if container is not None and container.name not in _NOTE_CONTAINERS:
            container = container.find_parent(_NOTE_CONTAINERS)
        _remove_mark(link)
        if container is not None and not container.decomposed:
            _move(container, link)
    for element in soup.select("section.footnotes, div.footnotes, ol.footnotes, ol.references"):
        if not element.get_text(strip=True):
            element.decompose()


def _is_reference(link: Tag) -> bool:
    if link.get("role") in ("doc-noteref",) or "footnote-ref" in (link.get("class") or []):
        return True
    raised = link.find_parent("sup") is not None or link.find("sup") is not None
    named = re.match(r"#(?:fn|footnote|endnote|note|cite_note|ftn|_ftn|_edn)", str(link["href"])) is not None
    backwards = re.search(r"ref", str(link["href"])) is not None
    return (raised or named) and not backwards and _MARK.fullmatch(link.get_text().strip()) is not None


def _remove_mark(link: Tag) -> None:
    raised = link.find_parent("sup")
    mark = raised if raised is not None and raised.get_text(strip=True) == link.get_text(strip=True) else link
    place = mark.find_parent(("p", "li", "dd", "td", "th", *_HEADINGS)) or mark.parent
    link.clear()
    if place is not None and mark is not place:
        # the link itself stays, empty, as the place behind which the note is put
        mark.replace_with(link)


def _move(note: Tag, link: Tag) -> None:
    for back in note.select("a[href^='#']"):
        if _BACK.fullmatch(back.get_text()) or back.get("role") == "doc-backlink" or "ref" in str(back["href"]):
            back.decompose()
    block = link.find_parent("table") or link.find_parent(("p", "li", "dd", *_HEADINGS)) or link
    if note is block or note in block.parents or block in note.parents or not note.get_text(strip=True):
        return
    text = BeautifulSoup("", "lxml").new_tag("p")
    for child in list(note.contents):
        text.append(child.extract())
    number = text.find(string=True)
    if isinstance(number, NavigableString) and re.fullmatch(r"\s*[\[(]?\d{1,3}[\]).:]?\s*", number):
        number.extract()
    parent = note.parent
    note.decompose()
    if parent is not None and parent.name in ("ol", "ul", "section") and not parent.get_text(strip=True):
        parent.decompose()
    for inner in text.find_all("p"):
        inner.unwrap()
    block.insert_after(text) if block.name not in ("li", "dd") else block.append(text)


def _break_lines(pre: Tag) -> None:
    """Makes the lines of code end in line breaks where a page shows them by elements."""
    for line_break in pre.find_all("br"):
        line_break.replace_with("\n")
    lines = pre.select("div, li, [data-line], .line, .ec-line, .view-line")
    if lines and "\n" not in pre.get_text().strip():
        for line in lines[:-1]:
            if not line.select("div, li"):
                line.append("\n")


def _rows(table: Tag) -> list[Tag]:
    return [row for row in table.find_all("tr") if row.find_parent("table") is table]


def _cells(row: Tag) -> list[Tag]:
    return list(row.find_all(("td", "th"), recursive=False))


def _is_layout(table: Tag) -> bool:
    """Whether a table only places things on a page: a cell with headings or several blocks, no heads, or one cell a row."""
    if table.get("role") in ("presentation", "none"):
        return True
    rows = [_cells(row) for row in _rows(table)]
    if all(len(row) < 2 for row in rows):
        return True
    if table.find("table") is not None or table.find(_HEADINGS) is not None:
        return True
    if table.find("th") is not None:
        return False
    cells = [cell for row in rows for cell in row]
    return any(
        len(cell.find_all(_BLOCKS)) > 3 or (len(rows) < 2 and len(cell.get_text().split()) > 40) for cell in cells
    ) or any(cell.find("pre") is not None for cell in cells)


def _open(table: Tag) -> None:
    for row in _rows(table):
        for cell in _cells(row):
            if _is_menu(cell):
                cell.decompose()
            else:
                cell.name, cell.attrs = "div", {}
        row.name = "div"
    for part in table.find_all(("tbody", "thead", "tfoot", "caption", "colgroup")):
        if part.find_parent("table") is table:
            part.name = "div"
    table.name, table.attrs = "div", {}


def _is_menu(cell: Tag) -> bool:
    """Whether a cell has nothing but links."""
    links = cell.find_all("a")
    linked = sum(len(link.get_text(strip=True)) for link in links)
    return len(links) > 1 and linked > 0.8 * len(cell.get_text(strip=True)) and cell.find(_HEADINGS) is None


def _fill_spans(table: Tag) -> None:
    """Repeats the content of a cell in every place that it covers, so that each row can be read alone."""
    covered: dict[tuple[int, int], Tag] = {}
    for line, row in enumerate(_rows(table)):
        cells, column = _cells(row), 0
        for cell in cells:
            column = _insert_covered(row, cell, covered, line, column)
            across, down = _span(cell, "colspan"), _span(cell, "rowspan")
            for x in range(across):
                covered |= {(line + y, column + x): cell for y in range(1, down)}
            for _ in range(across - 1):
                cell.insert_after(copy.copy(cell))
            column += across
        while (line, column) in covered:
            row.append(copy.copy(covered.pop((line, column))))
            column += 1


def _insert_covered(row: Tag, cell: Tag, covered: dict[tuple[int, int], Tag], line: int, column: int) -> int:  # noqa: ARG001
    while (line, column) in covered:
        cell.insert_before(copy.copy(covered.pop((line, column))))
        column += 1
    return column


def _span(cell: Tag, name: str) -> int:
    value = str(cell.attrs.pop(name, "1"))
    return max(1, min(WIDEST, int(value))) if value.isdigit() else 1


def _mark_powers(soup: BeautifulSoup) -> None:
    """Writes ``10<sup>2</sup>`` as ``10^2``: the digits alone would read as 102."""
    for raised in soup.find_all("sup"):
        before = raised.previous_sibling
        if (
            isinstance(before, NavigableString)
            and re.search(r"\w$", before)
            and re.fullmatch(r"[-−]?\d+|n", raised.get_text().strip())
        ):
            raised.insert(0, "^")
