"""Composes the Markdown of an answer from selected quotes, in pieces that can be streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from rag.answering.selection import Candidate, section
from rag.prompts.sentences import plain, say
from rag.types import Source

PIECE = 120
"""Most characters of a piece, if there is a space to cut at."""

_PIECE = re.compile(rf".{{1,{PIECE}}}(?=\s|\Z)\s*|\S+\s*", re.DOTALL)


def composed(chosen: Sequence[Candidate], language: str) -> Iterator[str]:
    """The pieces of an answer: for each section a line that names it, then its quotes with their citation markers."""
    opening = ""
    for _, quotes in groupby(chosen, key=section):
        section_quotes = list(quotes)
        title = plain(Source(number=1, passage=section_quotes[0].hit.passage, score=0.0).title)
        yield f"{opening}{say(language, 'also' if opening else 'according', page=title)}\n\n"
        for previous, candidate in zip([None, *section_quotes], section_quotes, strict=False):
            yield from _pieces(_glue(previous, candidate) + candidate.unit.cited(candidate.number))
        opening = "\n\n"


def _glue(previous: Candidate | None, candidate: Candidate) -> str:
    """The separator between two quotes: items stay one list, sentences one paragraph, with an ellipsis for what is left out."""
    if previous is None:
        return ""
    if previous.number != candidate.number or previous.unit.block != candidate.unit.block:
        return "\n\n"
    if candidate.unit.item:
        return "\n"
    return " " if candidate.place == previous.place + 1 else " … "


def _pieces(text: str) -> Iterator[str]:
    """The text cut at spaces. Text with code or a table stays whole: half a fence or row would be shown as broken Markdown."""
    if "```" in text or "~~~" in text or "\n|" in text:
        yield text
        return
    yield from (match[0] for match in _PIECE.finditer(text))
