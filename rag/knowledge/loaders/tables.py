"""Converts rows of cells to a Markdown table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time


def table(rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table whose head is the first row with a value; empty rows and empty last columns are left out."""
    cells = [line for row in rows if any(line := [cell(value) for value in row])]
    width = max((index + 1 for line in cells for index, text in enumerate(line) if text), default=0)
    if not cells:
        return ""
    full = [(line + [""] * width)[:width] for line in cells]
    return "\n".join([_line(full[0]), _line(["---"] * width), *map(_line, full[1:])])


def cell(value: object) -> str:
    """A value as text for one cell: one line, with ``|`` escaped."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "minutes")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:.15g}"
    return re.sub(r"\s+", " ", str(value)).strip().replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
