"""Plain text as Markdown that says the same: only what would be lost or swallowed is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator

_UNDERLINE = re.compile(r"^ {0,3}(=+|-+) *$")
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])(?=[a-zà-öø-ÿœ])")
"""A word that a printed line broke; what goes on with a capital or a figure is a compound."""


def plain(text: str) -> str:
    """Indented lines stay text, markup stays visible, and a rule below a paragraph makes no heading of it."""
    return "\n".join(_lines(re.sub(r"\r\n?|\f|\v", "\n", text)))


def unbroken(text: str) -> str:
    """Printed lines with the words that their ends broke made whole."""
    return _BROKEN_WORD.sub("", text)


def _lines(text: str) -> Iterator[str]:
    before, paragraph = "", 0
    for line in text.split("\n"):
        if _UNDERLINE.match(line) and paragraph > 1:
            yield ""
        yield _escaped(line, before)
        paragraph = paragraph + 1 if line.strip() else 0
        before = line


def _escaped(line: str, before: str) -> str:
    """A ``<`` would hide what follows, ``[x]:`` would be a link's definition, four spaces would be code."""
    bare = line.lstrip(" \t")
    indent = "" if not before.strip() else line[: len(line) - len(bare)].expandtabs()[:3]
    if re.match(r"<[A-Za-z/!?]|\[[^\]]*\]:", bare):
        bare = "\\" + bare
    return indent + bare
