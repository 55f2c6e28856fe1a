"""Plain text as Markdown that says the same: only what would be lost or swallowed is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator

_UNDERLINE = re.compile(r"^ {0,3}(=+|-+) *$")
_HEADING = re.compile(r"(?![-*+>#|\\]|\d+[.)]\s)[^\W_].{1,78}(?<![.!;,:])")
"""A line of a few words that ends as no sentence does (a question may head what answers it), and is no item of a list."""
LINE = 80
"""Characters: what follows a heading is longer than a line of an address or a verse."""
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])(?=[a-zà-öø-ÿœ])")
"""A word that a printed line broke; what goes on with a capital or a figure is a compound."""


def plain(text: str, *, printed: bool = False) -> str:
    """Indented lines stay text, markup stays visible, and a rule below a paragraph makes no heading of it.

    A short line above a text is its heading, as in most manuals that are kept as text: sections are what passages are
    cut from. Where every line is ``printed`` short, its length tells nothing.
    """
    lines = "\n".join(_lines(re.sub(r"\r\n?|\f|\v", "\n", text)))
    return lines if printed else _headed(lines)


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


def _headed(text: str) -> str:
    """Paragraphs whose first line is a heading, with that line marked as one; a first one of one line is the title."""
    body = text.rstrip("\n")
    paragraphs = re.split(r"\n[ \t]*(?:\n[ \t]*)+", body)
    if len(paragraphs) > 1 and _HEADING.fullmatch(paragraphs[0].strip()):
        paragraphs[0] = f"# {paragraphs[0].strip()}"
    return "\n\n".join(_with_heading(paragraph) for paragraph in paragraphs) + text[len(body) :]


def _with_heading(paragraph: str) -> str:
    first, _, rest = paragraph.partition("\n")
    following = rest.partition("\n")[0].strip()
    heads = _HEADING.fullmatch(first.strip()) and len(following) > max(LINE, len(first.strip()))
    return f"## {first.strip()}\n\n{rest}" if heads else paragraph
