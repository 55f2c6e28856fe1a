"""The one step that every loader takes: a page without its site's markup, in the characters in which questions are asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rag.knowledge.loaders.cleaning.front_matter import front_matter
from rag.knowledge.loaders.cleaning.markdown import clean
from rag.text.characters import normalized

_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanPage:
    """The Markdown that a reader sees; ``title`` ("") and ``date`` (None) are those of its front matter.

    ``missing`` says which part of a converted file could not be read.
    """

    markdown: str
    title: str = ""
    date: datetime | None = None
    missing: str = ""


def clean_page(text: str, *, mdx: bool = False) -> CleanPage:
    """A page that somebody wrote in Markdown. ``mdx``: with expressions in braces."""
    page = front_matter(text)
    return CleanPage(markdown=clean_converted(clean(page.text, mdx=mdx)), title=normalized(page.title), date=page.date)


def clean_converted(markdown: str) -> str:
    """Markdown that was made from what a reader sees, so that it has no foreign markup: only characters are normalised.

    Code blocks keep theirs: in code, each one may matter.
    """
    if normalized(markdown) == markdown:
        return markdown
    return "\n".join(_lines(markdown.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    fence = ""
    for line in lines:
        match = _FENCE.match(line)
        if match is not None and not fence:
            fence = match["fence"]
        elif match is not None and match["fence"].startswith(fence) and not match["info"].strip():
            fence = ""
            yield line
            continue
        yield line if fence else normalized(line)
