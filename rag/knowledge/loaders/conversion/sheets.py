"""Converts Excel files to Markdown, with a heading and a table for each sheet; runs in the converter's child process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

from rag.errors import KnowledgeError
from rag.knowledge.loaders.conversion.office import check_archive
from rag.knowledge.loaders.tables import table


def convert(kind: str, content: bytes, _request: Mapping[str, str]) -> tuple[str, str]:
    """Markdown of the cells' values (not their formulas); sheets without values are left out."""
    if kind == "xlsx":
        check_archive(kind, content)
    named = _new(content) if kind == "xlsx" else _old(content)
    parts = [f"## {' '.join(name.split())}\n\n{rows}" for name, cells in named if (rows := table(cells))]
    if not parts:
        raise KnowledgeError("has no cell with a value; fill it, or remove it")
    return "\n\n".join(parts), ""


def _new(content: bytes) -> Iterator[tuple[str, Iterator[Sequence[object]]]]:
    from openpyxl import load_workbook

    # read_only streams the rows, so a large sheet need not fit into memory.
    book = load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
    for sheet in book.worksheets:
        if sheet.sheet_state == "visible":
            sheet.reset_dimensions()  # the dimensions stored in a file can be wrong, and rows would be lost
            yield sheet.title, sheet.iter_rows(values_only=True)


def _old(content: bytes) -> Iterator[tuple[str, Iterator[Sequence[object]]]]:
    import xlrd

    try:
        book = xlrd.open_workbook(file_contents=content, on_demand=True)
    except xlrd.XLRDError as error:
        raise KnowledgeError(f"is damaged, locked or no .xls file ({error}); save it as .xlsx") from error
    for sheet in book.sheets():
        if sheet.visibility == 0:
            yield sheet.name, (_values(sheet, row, book.datemode) for row in range(sheet.nrows))


def _values(sheet: Any, row: int, datemode: int) -> list[object]:
    return [_value(cell, datemode) for cell in sheet.row(row)]


def _value(cell: Any, datemode: int) -> object:
    """A cell's value: .xls stores dates and booleans as numbers, and only the cell's type tells them apart."""
    from xlrd import XL_CELL_BOOLEAN, XL_CELL_DATE, XL_CELL_ERROR
    from xlrd.xldate import xldate_as_datetime

    if cell.ctype == XL_CELL_DATE:
        return xldate_as_datetime(cell.value, datemode)
    if cell.ctype == XL_CELL_BOOLEAN:
        return bool(cell.value)
    return None if cell.ctype == XL_CELL_ERROR else cell.value
