"""The kinds of files that are read, and their size limits."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

Kind = Literal["markdown", "text", "html", "csv", "jsonl", "pdf", "docx", "pptx", "xlsx", "xls"]

_KINDS: dict[str, Kind] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
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
"""The largest text in bytes; a larger one is a data dump, not a page."""
LARGEST = 50_000_000
"""The largest file in bytes of a kind that may contain pictures."""
READ = "Markdown, MDX, HTML, TXT, CSV, JSONL, PDF, DOCX, PPTX, XLSX and XLS"


def kind_of(path: PurePath) -> Kind | None:
    """The kind of a file by its name's ending; the converter checks the content."""
    return _KINDS.get(path.suffix.lower())


def largest(kind: Kind | None) -> int:
    """The size limit of a kind in bytes."""
    return LARGEST if kind in _CONVERTED else LARGEST_TEXT
