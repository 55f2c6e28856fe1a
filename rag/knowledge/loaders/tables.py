"""Rows of cells as a Markdown table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time


def table(rows: Iterable[Sequence[object]]) -> str:
    """The first row that has something is the head; empty rows and columns at the end are left out."""
    cells = [line for row in rows if any(line := [cell(value) for value in row])]
    width = max((index + 1 for line in cells for index, text in enumerate(line) if text), default=0)
    if not cells:
        return ""
    full = [(line + [""] * width)[:width] for line in cells]
    return "\n".join([_line(full[0]), _line(["---"] * width), *map(_line, full[1:])])


def cell(value: object) -> str:
    """A value as a reader would write it, on one line."""
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
