"""What kinds of files are read, and how much of each."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

Kind = Literal["markdown", "text", "html", "csv", "jsonl", "pdf", "docx", "pptx", "xlsx", "xls"]

_KINDS: dict[str, Kind] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".xls": "xls",
}
_CONVERTED = frozenset({"pdf", "docx", "pptx", "xlsx", "xls"})
LARGEST_TEXT = 10_000_000
"""Bytes; a page of this size is a dump, not a page."""
LARGEST = 50_000_000
"""Bytes of a file whose pictures count too."""
READ = "Markdown, HTML, TXT, CSV, JSONL, PDF, DOCX, PPTX, XLSX and XLS"


def kind_of(path: PurePath) -> Kind | None:
    """By the name's ending alone: what a file claims to be inside is for its converter."""
    return _KINDS.get(path.suffix.lower())


def largest(kind: Kind | None) -> int:
    """Bytes up to which a file of a kind is read."""
    return LARGEST if kind in _CONVERTED else LARGEST_TEXT
