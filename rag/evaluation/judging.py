"""Whether what was found is what was expected."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from rag.evaluation.cases import Case, Expected
from rag.types import Passage, Retrieval

EDGE_WORDS = 12
"""Words of a text's beginning or end that a passage must hold: the splitter may have cut the text."""

_WORD = re.compile(r"[^\W_]+")
_NAME = re.compile(r"^\*\*(.+)\*\*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A turn with what was found for it.

    ``places`` is the rank (from 1) of each expected place, None if not found; ``source`` is the one that the turn counts for.
    """

    case: Case
    retrieval: Retrieval
    places: tuple[int | None, ...]
    source: str

    @property
    def rank(self) -> int | None:
        """Where the first of the expected places stands."""
        return min((place for place in self.places if place is not None), default=None)

    def answered_within(self, limit: int) -> bool:
        """Whether the first ``limit`` passages answer the turn, as far as the set tells."""
        if not self.case.expected:
            return self.case.answerable
        return self.rank is not None and self.rank <= limit


def judge(cases: Sequence[Case], retrievals: Sequence[Retrieval]) -> list[Judged]:
    """Compares what was found with what the set says."""
    known = frozenset(hit.passage.source for retrieval in retrievals for hit in retrieval.hits)
    return [_judged(case, retrieval, known) for case, retrieval in zip(cases, retrievals, strict=True)]


def _judged(case: Case, retrieval: Retrieval, known: Set[str]) -> Judged:
    passages = [hit.passage for hit in retrieval.hits]
    places = tuple(_rank(expected, passages) for expected in case.expected)
    found = next((passages[place - 1].source for place in places if place is not None), "")
    return Judged(
        case=case,
        retrieval=retrieval,
        places=places,
        source=found or _source(case.expected, known),
    )


def expects(case: Case, source: str) -> bool:
    """Whether one of the places that answer a turn is said to be in this source."""
    return any(_source([place], {source}) == source for place in case.expected)


def satisfies(passage: Passage, expected: Expected) -> bool:
    """Whether a passage is at the place; everything that is named must agree."""
    return (
        expected.source in ("", passage.source)
        and _is_document(passage.document, expected.document)
        and _is_url(passage, expected.url)
        and (expected.passage in ("", passage.id) or _holds(passage, expected.passage))
    )


def _rank(expected: Expected, passages: Sequence[Passage]) -> int | None:
    return next((rank for rank, one in enumerate(passages, start=1) if satisfies(one, expected)), None)


def _source(places: Sequence[Expected], known: Set[str]) -> str:
    """The source that a turn counts for though it was not found there: the one named, or the one of a document's id."""
    for expected in places:
        if expected.source:
            return expected.source
        if (first := expected.document.partition("/")[0]) in known:
            return first
    return ""


def _is_document(document: str, expected: str) -> bool:
    """An id, a path, or the end of a path: ``guide/leave.md`` is ``handbook/en/guide/leave.md``."""
    return not expected or document == expected or document.endswith("/" + expected.removeprefix("./"))


def _is_url(passage: Passage, expected: str) -> bool:
    """Without a section, any passage of the page will do; short sections share a passage, each under its name."""
    page, _, section = expected.partition("#")
    found, _, first = passage.url.partition("#")
    if not expected:
        return True
    return found.rstrip("/") == page.rstrip("/") and section in ("", first, *map(_slug, _NAME.findall(passage.text)))


def _slug(name: str) -> str:
    """A section's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def _holds(passage: Passage, text: str) -> bool:
    """The whole text, or its beginning or end; marks and case do not count, since Markdown changes them."""
    wanted = _WORD.findall(text.casefold())
    there = _spelled(_WORD.findall("\n".join((*passage.headings, passage.text)).casefold()))
    edges = (wanted[:EDGE_WORDS], wanted[-EDGE_WORDS:])
    return bool(wanted) and any(_spelled(edge) in there for edge in edges)


def _spelled(words: Sequence[str]) -> str:
    return f" {' '.join(words)} "
