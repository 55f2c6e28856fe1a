"""Title, link and language of documents, for all loaders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from urllib.parse import quote

from rag.language import LANGUAGES, detect
from rag.text.blocks import parse

BEGINNING = 4000
"""Characters at a document's beginning that are searched for the title."""


def first_heading(markdown: str) -> str:
    """The first heading of level 1 near the beginning, without its anchor; "" if there is none."""
    heading = next((block.text for block in parse(markdown[:BEGINNING]) if block.level == 1), "")
    return heading.rpartition(" {#")[0] if heading.endswith("}") and " {#" in heading else heading


def title_of(path: PurePath) -> str:
    """A title made from a file's name."""
    return path.stem.replace("-", " ").replace("_", " ")


def link(base: str, relative: PurePath, *, keep_suffix: bool) -> str:
    """The link to a file below ``base``; its path if there is no base."""
    if not base:
        return relative.as_posix()
    return base.rstrip("/") + "/" + quote((relative if keep_suffix else relative.with_suffix("")).as_posix())


def language_of(folders: Iterable[str], markdown: str) -> str:
    """The language of a folder's name (``docs/es/…``, ``pt-BR/…``) if there is one, else that detected in the text."""
    codes = (part.lower().replace("_", "-").split("-")[0] for part in folders)
    return next((code for code in codes if code in LANGUAGES), None) or detect(markdown)
