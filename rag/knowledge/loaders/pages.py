"""What is common to documents, however they were read: title, link and language."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from urllib.parse import quote

import yaml

from rag.language import LANGUAGES, detect
from rag.text.blocks import parse

BEGINNING = 4000
"""Characters in which front matter and title stand."""


def front_matter(text: str) -> tuple[str, str]:
    """Title named above the page (or empty), and the page without its front matter."""
    text = text.replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return "", text
    matter, fence, rest = text[4:BEGINNING].partition("\n---\n")
    if not fence:
        return "", text
    try:
        fields = yaml.safe_load(matter)
    except Exception:  # noqa: BLE001 - PyYAML lets out what int(), a dict or the depth of nesting raise
        return "", text
    if not isinstance(fields, dict):
        return "", text
    title = fields.get("title")
    return " ".join(title.split()) if isinstance(title, str) else "", rest + text[BEGINNING:]


def first_heading(markdown: str) -> str:
    """The first heading of level 1 near the beginning, or empty."""
    found = next((block.text for block in parse(markdown[:BEGINNING]) if block.level == 1), "")
    return found.rpartition(" {#")[0] if found.endswith("}") and " {#" in found else found


def title_of(path: PurePath) -> str:
    """A file's name as a title."""
    return path.stem.replace("-", " ").replace("_", " ")


def link(base: str, relative: PurePath, *, keep_suffix: bool) -> str:
    """Where readers find a file; without a base its path."""
    if not base:
        return relative.as_posix()
    return base.rstrip("/") + "/" + quote((relative if keep_suffix else relative.with_suffix("")).as_posix())


def language_of(folders: Iterable[str], markdown: str) -> str:
    """A folder named after a language decides (``docs/es/…``, ``pt-BR/…``); elsewhere the text does."""
    codes = (part.lower().replace("_", "-").split("-")[0] for part in folders)
    return next((code for code in codes if code in LANGUAGES), None) or detect(markdown)
