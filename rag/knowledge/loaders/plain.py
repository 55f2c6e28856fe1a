"""Converts plain text to Markdown; only characters that Markdown would hide or reinterpret are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator

_UNDERLINE = re.compile(r"^ {0,3}(=+|-+) *$")
_HEADING = re.compile(r"(?![-*+>#|\\]|\d+[.)]\s)[^\W_].{1,78}(?<![.!;,:])")
"""A short line that does not end like a sentence (a question mark is allowed) and is no list item."""
LINE = 80
"""Characters that the line below a heading must exceed; lines of addresses and verses are shorter."""
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])(?=[a-zà-öø-ÿœ])")
"""A word hyphenated at the end of a line; where a capital or a digit follows, the hyphen belongs to a compound."""


def plain(text: str, *, printed: bool = False) -> str:
    """Markdown that shows the same text: indented lines stay text, markup stays visible, underlines make no headings.

    A short line above a long one becomes a heading, as in most manuals in plain text, because passages are cut along
    sections. Not with ``printed`` (text of a page with fixed line breaks), where the length of a line means nothing.
    """
    lines = "\n".join(_lines(re.sub(r"\r\n?|\f|\v", "\n", text)))
    return lines if printed else _mark_headings(lines)


def rejoin_words(text: str) -> str:
    """Text with the words rejoined that were hyphenated at the end of a line."""
    return _BROKEN_WORD.sub("", text)


def _lines(text: str) -> Iterator[str]:
    before, paragraph = "", 0
    for line in text.split("\n"):
        if _UNDERLINE.match(line) and paragraph > 1:
            yield ""
        yield _escape(line, before)
        paragraph = paragraph + 1 if line.strip() else 0
        before = line


def _escape(line: str, before: str) -> str:
    """Escapes a line: ``<`` would start HTML, ``[x]:`` would define a link, four spaces would start a code block."""
    bare = line.lstrip(" \t")
    indent = "" if not before.strip() else line[: len(line) - len(bare)].expandtabs()[:3]
    if re.match(r"<[A-Za-z/!?]|\[[^\]]*\]:", bare):
        bare = "\\" + bare
    return indent + bare


def _mark_headings(text: str) -> str:
    """Marks the headings of paragraphs; a first paragraph of one line is the title."""
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
