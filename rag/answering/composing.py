"""Chosen quotes to the Markdown of an answer, in pieces that can be seen growing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from rag.answering.selection import Candidate, section
from rag.prompts.sentences import plain, say
from rag.types import Source

PIECE = 120
"""Characters after which a quote goes on in a new piece."""

_PIECE = re.compile(rf".{{1,{PIECE}}}(?=\s|\Z)\s*|\S+\s*", re.DOTALL)


def composed(chosen: Sequence[Candidate], language: str) -> Iterator[str]:
    """Pieces of the answer: for each section where it comes from, then its quotes with their markers."""
    opening = ""
    for _, quotes in groupby(chosen, key=section):
        quoted = list(quotes)
        title = plain(Source(number=1, passage=quoted[0].hit.passage, score=0.0).title)
        yield f"{opening}{say(language, 'also' if opening else 'according', page=title)}\n\n"
        for previous, candidate in zip([None, *quoted], quoted, strict=False):
            yield from _pieces(_glue(previous, candidate) + candidate.unit.cited(candidate.number))
        opening = "\n\n"


def _glue(previous: Candidate | None, candidate: Candidate) -> str:
    """Neighbours in a list stay one list, neighbours in a paragraph one paragraph, with a sign where it had more between."""
    if previous is None:
        return ""
    if previous.number != candidate.number or previous.unit.block != candidate.unit.block:
        return "\n\n"
    if candidate.unit.item:
        return "\n"
    return " " if candidate.place == previous.place + 1 else " … "


def _pieces(text: str) -> Iterator[str]:
    """Cut at spaces; a text with code or a table in it stays whole, so that none is ever shown half."""
    if "```" in text or "~~~" in text or "\n|" in text:
        yield text
        return
    yield from (match[0] for match in _PIECE.finditer(text))
