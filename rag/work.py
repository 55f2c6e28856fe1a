"""One question on its way down the chain: each stage fills in its part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from rag.answering.answerer import Writer
from rag.prompts.sentences import abstention
from rag.types import Exchange, Hit, Outcome, Query, Question, Stage

_UNREAD = Query(text="")


def never() -> bool:
    return False


@dataclass(slots=True, kw_only=True)
class Work:
    """``said`` is what is answered without the answerer, and ``outcome`` what that makes of it.

    ``history`` is what may be shown again to those who read this answer; ``stopping`` tells that nobody waits for more of it;
    ``shown`` that some of the answer is out.
    """

    question: Question
    history: Sequence[Exchange]
    stopping: Callable[[], bool] = never
    language: str = "en"
    query: Query = _UNREAD
    hits: Sequence[Hit] = ()
    score: float = 0.0
    said: str = ""
    outcome: Outcome = "answered"
    writer: Writer | None = None
    shown: bool = False
    dropped: int = 0
    interrupted: bool = False
    abandoned: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def say(self, text: str, outcome: Outcome) -> None:
        self.said, self.outcome = text, outcome

    def abstain(self, nearby: float) -> None:
        """Says that the documents do not tell; names the closest page if its score is at least ``nearby``."""
        closest = self.hits[0].passage if self.hits and self.score >= nearby else None
        self.say(abstention(self.language, closest), "abstained")

    @contextmanager
    def clocked(self, stage: Stage) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - started
