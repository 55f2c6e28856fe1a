"""Answers as rows of figures, and the cases that went wrong, to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.types import Answer
from tests.benchmarks.conversation.cited import page_of
from tests.benchmarks.results import Json
from tests.benchmarks.retrieval.figures import mean

WORST = 40
"""Cases kept of each kind: enough to read, few enough for a file."""
SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One answer that was judged. ``values`` are 0 or 1, by the names of the figures they go into."""

    language: str
    asked: tuple[str, ...]
    wanted: tuple[str, ...]
    answer: Answer
    values: dict[str, float]

    def json(self) -> Json:
        """What a reader needs to see what happened."""
        return {
            "asked": list(self.asked),
            "wanted": list(self.wanted),
            "outcome": self.answer.outcome,
            "cited": [_named(self.answer, number) for number in range(len(self.answer.sources))][:3],
            "text": self.answer.text[:SHOWN_CHARACTERS],
        }


def _named(answer: Answer, number: int) -> str:
    passage = answer.sources[number].passage
    return f"{page_of(passage)}: {' > '.join(passage.headings)}"


def figures(cases: Sequence[Case], language: str, worst: str, *, wrong_at: float = 0.0) -> Json:
    """The mean of each figure in one language, and the cases where ``worst`` came out as ``wrong_at``."""
    mine = [case for case in cases if case.language == language]
    names = list(dict.fromkeys(name for case in mine for name in case.values))
    found: Json = {}
    for name in names:
        one = mean(name, [case.values[name] for case in mine if name in case.values])
        counted = one.pop("n")
        found |= one | ({f"{name}_n": counted} if counted != len(mine) else {})
    wrong = [case.json() for case in mine if case.values.get(worst) == wrong_at]
    return found | {"n": len(mine), "wrong": wrong[:WORST]}
