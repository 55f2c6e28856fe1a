"""Composes the Markdown of an answer from excerpts, in pieces that can be streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag.answering.whole import Excerpt
from rag.prompts.sentences import plain, say
from rag.types import Passage, Source

PIECE = 120
"""Most characters of a piece, if there is a space to cut at."""

_PIECE = re.compile(rf".{{1,{PIECE}}}(?=\s|\Z)\s*|\s*\S+\s*", re.DOTALL)
_FRAMED = re.compile(r"(?ms)^[ \t>]*(?P<run>`{3,}|~{3,}).*?^[ \t>]*(?P=run)[ \t]*$|^[ \t>]*\|.*?(?=\n\n|\Z)")
"""Code and tables: half a fence or row would be shown as broken Markdown."""


def composed(excerpts: Sequence[Excerpt], language: str) -> Iterator[str]:
    """The pieces of an answer: for each section a line that names it, then its quotes with their citation markers."""
    for before, excerpt in zip([None, *excerpts], excerpts, strict=False):
        passage = excerpt.hit.passage
        if before is None or _place(before.hit.passage) != _place(passage):
            opening = say(language, "also" if before else "according", page=plain(_title(passage)))
            yield f"\n\n{opening}" if before else opening
        for block in excerpt.blocks:
            yield from _pieces(f"\n\n{block}")


def _title(passage: Passage) -> str:
    return Source(number=1, passage=passage, score=0.0).title


def _place(passage: Passage) -> tuple[str, ...]:
    return (passage.document, *passage.headings)


def _pieces(text: str) -> Iterator[str]:
    """The text cut at spaces; code and tables stay whole."""
    start = 0
    for framed in _FRAMED.finditer(text):
        yield from _cut(text[start : framed.start()])
        yield framed[0]
        start = framed.end()
    yield from _cut(text[start:])


def _cut(text: str) -> Iterator[str]:
    yield from (match[0] for match in _PIECE.finditer(text))
