"""Compares retrieved passages with the places that a question set expects."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from rag.evaluation.cases import Case, Expected
from rag.types import Passage, Retrieval

EDGE_WORDS = 12
"""First or last words of an expected text that a passage must contain: chunking may have cut the text in two."""

_WORD = re.compile(r"[^\W_]+")
_NAME = re.compile(r"^\*\*(.+)\*\*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedTurn:
    """A turn with its retrieval.

    ``places`` has the rank (from 1) of each expected place, None if it was not retrieved; figures by source count the turn under
    ``source``.
    """

    case: Case
    retrieval: Retrieval
    places: tuple[int | None, ...]
    source: str

    @property
    def rank(self) -> int | None:
        """The rank of the first expected place; None if none was retrieved."""
        return min((place for place in self.places if place is not None), default=None)

    def answered_within(self, limit: int) -> bool:
        """Whether the first ``limit`` passages answer the turn; without expected places, whether it is answerable."""
        if not self.case.expected:
            return self.case.answerable
        return self.rank is not None and self.rank <= limit


def judge(cases: Sequence[Case], retrievals: Sequence[Retrieval]) -> list[JudgedTurn]:
    """Compares the retrievals with the question set, turn by turn."""
    sources = frozenset(hit.passage.source for retrieval in retrievals for hit in retrieval.hits)
    return [_judge_turn(case, retrieval, sources) for case, retrieval in zip(cases, retrievals, strict=True)]


def _judge_turn(case: Case, retrieval: Retrieval, sources: Set[str]) -> JudgedTurn:
    passages = [hit.passage for hit in retrieval.hits]
    places = tuple(_rank(expected, passages) for expected in case.expected)
    source = next((passages[place - 1].source for place in places if place is not None), "")
    return JudgedTurn(
        case=case,
        retrieval=retrieval,
        places=places,
        source=source or _source(case.expected, sources),
    )


def expects(case: Case, source: str) -> bool:
    """Whether one of the expected places of a turn is in this source."""
    return any(_source([place], {source}) == source for place in case.expected)


def satisfies(passage: Passage, expected: Expected) -> bool:
    """Whether a passage is at the expected place: all fields that are not empty must match."""
    return (
        expected.source in ("", passage.source)
        and _is_document(passage.document, expected.document)
        and _is_url(passage, expected.url)
        and (expected.passage in ("", passage.id) or _holds(passage, expected.passage))
    )


def _rank(expected: Expected, passages: Sequence[Passage]) -> int | None:
    return next((rank for rank, one in enumerate(passages, start=1) if satisfies(one, expected)), None)


def _source(places: Sequence[Expected], sources: Set[str]) -> str:
    """The source of a turn without a hit: the one that the set names, or the first part of a document id; else empty."""
    for expected in places:
        if expected.source:
            return expected.source
        if (first := expected.document.partition("/")[0]) in sources:
            return first
    return ""


def _is_document(document: str, expected: str) -> bool:
    """Whether ``expected`` is the document's id or the end of it: ``guide/leave.md`` matches ``handbook/en/guide/leave.md``."""
    return not expected or document == expected or document.endswith("/" + expected.removeprefix("./"))


def _is_url(passage: Passage, expected: str) -> bool:
    """Whether the passage is on the page and, if ``expected`` names a section, in that section."""
    page, _, section = expected.partition("#")
    passage_page, _, first_section = passage.url.partition("#")
    if not expected:
        return True
    # Chunking merges short sections into one passage, each below its name in bold; the URL has the first one only.
    return passage_page.rstrip("/") == page.rstrip("/") and section in (
        "",
        first_section,
        *map(_slug, _NAME.findall(passage.text)),
    )


def _slug(name: str) -> str:
    """The anchor of a section, as GitHub derives it from the heading."""
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def _holds(passage: Passage, text: str) -> bool:
    """Whether a passage contains the beginning or the end of a text; punctuation and case do not count."""
    expected_words = _WORD.findall(text.casefold())
    passage_text = _word_run(_WORD.findall("\n".join((*passage.headings, passage.text)).casefold()))
    edges = (expected_words[:EDGE_WORDS], expected_words[-EDGE_WORDS:])
    return bool(expected_words) and any(_word_run(edge) in passage_text for edge in edges)


def _word_run(words: Sequence[str]) -> str:
    return f" {' '.join(words)} "
