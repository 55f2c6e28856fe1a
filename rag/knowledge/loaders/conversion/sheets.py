"""Converts Excel files to Markdown, with a heading and a table for each sheet; runs in the converter's child process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

from lxml import etree

from rag.errors import KnowledgeError
from rag.knowledge.loaders.conversion.grid import Merges, sheet_markdown
from rag.knowledge.loaders.conversion.office import check_archive

MISSING = "(not calculated)"
"""Stands for a formula whose value was never saved, as some programs write it."""
REGIONS = 20_000
"""The most merged regions of a sheet that are filled, each with at most ``CELLS`` cells."""
CELLS = 5_000
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_CURRENCY = re.compile(r"[€$£¥]|\[\$([^\]-]+)")


def convert(kind: str, content: bytes, _request: Mapping[str, str]) -> tuple[str, str]:
    """Markdown of the cells' values as they are shown (not their formulas); sheets without values are left out."""
    if kind == "xlsx":
        check_archive(kind, content)
    named = _new(content) if kind == "xlsx" else _old(content)
    parts = [
        f"## {' '.join(name.split())}\n\n{text}"
        for name, cells, merges in named
        if (text := sheet_markdown(cells, merges))
    ]
    if not parts:
        raise KnowledgeError("has no cell with a value; fill it, or remove it")
    return "\n\n".join(parts), ""


def _new(content: bytes) -> Iterator[tuple[str, Iterator[Sequence[object]], Merges]]:
    from openpyxl import load_workbook

    # read_only streams the rows, so a large sheet need not fit into memory.
    book = load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
    for sheet in book.worksheets:
        if sheet.sheet_state == "visible":
            sheet.reset_dimensions()  # the dimensions stored in a file can be wrong, and rows would be lost
            merges, missing = _facts(sheet)
            yield sheet.title, _shown_rows(sheet, missing), merges


def _facts(sheet: Any) -> tuple[Merges, frozenset[str]]:
    """The merged cells, and the names of cells with a formula but no value; a streamed sheet knows neither."""
    from openpyxl.utils import range_boundaries

    covered: dict[tuple[int, int], tuple[int, int]] = {}
    missing, regions = set(), 0
    with sheet._get_source() as source:
        for _, element in etree.iterparse(
            source, tag=(_MAIN + "c", _MAIN + "mergeCell"), resolve_entities=False, no_network=True
        ):
            if element.tag == _MAIN + "c":
                value = element.find(_MAIN + "v")
                if element.find(_MAIN + "f") is not None and (value is None or not value.text):
                    missing.add(element.get("r", ""))
            elif regions < REGIONS:
                regions += 1
                _cover(covered, range_boundaries(element.get("ref")))
            element.clear()
    return Merges(covered=covered), frozenset(missing)


def _cover(covered: dict[tuple[int, int], tuple[int, int]], bounds: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = bounds
    if (right - left + 1) * (bottom - top + 1) <= CELLS:
        places = ((row - 1, column - 1) for row in range(top, bottom + 1) for column in range(left, right + 1))
        covered.update((place, (top - 1, left - 1)) for place in places)


def _shown_rows(sheet: Any, missing: frozenset[str]) -> Iterator[Sequence[object]]:
    last = 0
    for row in sheet.iter_rows():
        number = next((each.row for each in row if getattr(each, "row", None)), last + 1)
        for _ in range(last + 1, number):  # rows that the file leaves out keep their place for merged cells
            yield ()
        last = number
        yield [_shown(each, missing) for each in row]


def _shown(each: Any, missing: frozenset[str]) -> object:
    if each.value is None:
        return MISSING if missing and getattr(each, "coordinate", "") in missing else None
    if isinstance(each.value, int | float) and not isinstance(each.value, bool):
        return formatted(each.value, str(each.number_format or ""))
    return each.value


def formatted(value: float, number_format: str) -> object:
    """A number as its cell shows it: percent, currencies and fixed decimals; others unchanged."""
    positive = number_format.partition(";")[0]
    pattern = re.sub(r"\"[^\"]*\"|\[[^\]]*\]|\\.", "", positive)
    decimals = re.search(r"[0#]\.(0+)", pattern)
    places = len(decimals[1]) if decimals else 0
    if "%" in pattern:
        return f"{value * 100:.{places}f} %"
    currency = _CURRENCY.search(positive)
    if currency is not None:
        return f"{value:.{places}f} {currency[1] or currency[0]}"
    unit = re.fullmatch(r"[#,0.]+\s*\"\s*([^\"\d]{1,12}?)\s*\"", positive)
    if unit is not None:
        return f"{value:.{places}f} {unit[1]}"
    return f"{value:.{places}f}" if decimals and isinstance(value, float) else value


def _old(content: bytes) -> Iterator[tuple[str, Iterator[Sequence[object]], Merges]]:
    import xlrd

    try:
        book = xlrd.open_workbook(file_contents=content, formatting_info=True)
    except NotImplementedError:
        book = xlrd.open_workbook(file_contents=content, on_demand=True)
    except xlrd.XLRDError as error:
        raise KnowledgeError(f"is damaged, locked or no .xls file ({error}); save it as .xlsx") from error
    for sheet in book.sheets():
        if sheet.visibility == 0:
            covered: dict[tuple[int, int], tuple[int, int]] = {}
            for top, bottom, left, right in sheet.merged_cells[:REGIONS]:
                _cover(covered, (left + 1, top + 1, right, bottom))
            yield sheet.name, (_values(book, sheet, row) for row in range(sheet.nrows)), Merges(covered=covered)


def _values(book: Any, sheet: Any, row: int) -> list[object]:
    return [_value(book, cell) for cell in sheet.row(row)]


def _value(book: Any, cell: Any) -> object:
    """A cell's value: .xls stores dates and booleans as numbers, and only the cell's type tells them apart."""
    from xlrd import XL_CELL_BOOLEAN, XL_CELL_DATE, XL_CELL_ERROR, XL_CELL_NUMBER
    from xlrd.xldate import xldate_as_datetime

    if cell.ctype == XL_CELL_DATE:
        return xldate_as_datetime(cell.value, book.datemode)
    if cell.ctype == XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == XL_CELL_NUMBER and cell.xf_index is not None:
        return formatted(cell.value, book.format_map[book.xf_list[cell.xf_index].format_key].format_str)
    return None if cell.ctype == XL_CELL_ERROR else cell.value
