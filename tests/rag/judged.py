"""Turns with what was found for them, for the suites of the evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rag.evaluation.cases import Case, Expected
from rag.evaluation.judging import JudgedTurn, judge
from rag.types import Hit, Retrieval
from tests.rag.fakes import passage


def case(question: str = "Where?", *, line: int = 1, expected: Sequence[Expected] = (), **fields: Any) -> Case:
    values: dict[str, Any] = {
        "conversation": question,
        "language": "en",
        "answerable": bool(expected),
        "expected": tuple(expected),
    }
    return Case(line=line, question=question, **(values | fields))


def retrieval(*titles: str, score: float = 0.9, evidence: Mapping[str, float] | None = None) -> Retrieval:
    hits = tuple(Hit(passage=passage(title=title, number=rank), score=score) for rank, title in enumerate(titles))
    return Retrieval(hits=hits, score=score, evidence=evidence or {})


def turn(
    *titles: str,
    wanted: str = "",
    score: float = 0.9,
    evidence: Mapping[str, float] | None = None,
    **fields: Any,
) -> JudgedTurn:
    """A turn for which pages of these titles were found; ``wanted`` is the page that answers it, if one does."""
    expected = (Expected(document=f"{wanted}.md"),) if wanted else ()
    [judged] = judge([case(expected=expected, **fields)], [retrieval(*titles, score=score, evidence=evidence)])
    return judged
