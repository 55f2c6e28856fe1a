"""What ``cotorra eval`` does: a desk finds passages for every turn of a set, and the figures are made here."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

from bots.desk import operations
from bots.desk.operation import Desk
from bots.desk.seam import Inquiry, Retrieved
from bots.desk.terminal import open_desk
from bots.platforms.entries import PLATFORMS
from bots.settings import load_settings
from rag.errors import EvaluationError
from rag.evaluation.cases import Case, QuestionSet, read_questions
from rag.evaluation.changes import apply_changes
from rag.evaluation.judging import JudgedTurn, expects, judge
from rag.evaluation.learning import LearnedCalibration, learn
from rag.evaluation.report import Comparison, Report, Rules, compare, report
from rag.retrieval.calibrated import Provenance, write_calibration

AT_ONCE = 8
"""Turns asked for together: their embeddings share a batch, and other questions still get their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be evaluated. ``depth`` passages are looked at; ``source`` empty means all, ``audiences`` the terminal's."""

    file: Path
    depth: int = 10
    worst: int = 10
    changes: Mapping[str, str] = field(default_factory=dict)
    audiences: frozenset[str] = frozenset()
    source: str = ""
    calibrate: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """All that came out. ``written`` is the file of the calibration, where one was learned."""

    file: str
    report: Report
    comparison: Comparison | None = None
    learned: LearnedCalibration | None = None
    written: str | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    judged: Sequence[JudgedTurn]
    rules: Rules
    embedding: str


async def evaluate_retrieval(wish: Wish) -> Evaluated:
    """Raises ``EvaluationError``, ``ConfigurationError`` and what a desk raises."""
    questions = read_questions(wish.file)
    cases = _chosen(questions, wish.source)
    settings = load_settings(PLATFORMS)
    apply_changes(settings.retrieval, wish.changes)  # a wrong one is told before a run of minutes
    async with open_desk() as desk:
        now = await _run(desk, cases, wish, {})
        other = await _run(desk, cases, wish, wish.changes) if wish.changes else None
    learned = _learned(questions, now, wish) if wish.calibrate else None
    return Evaluated(
        file=str(wish.file),
        report=report(now.judged, now.rules, worst=wish.worst),
        comparison=_compared(now, other, wish) if other else None,
        learned=learned,
        written=str(write_calibration(settings.home, learned.calibration)) if learned else None,
    )


def _chosen(questions: QuestionSet, source: str) -> Sequence[Case]:
    """Of one source: the questions that expect it, and those that nothing answers."""
    cases = [case for case in questions.cases if not source or not case.answerable or expects(case, source)]
    if source and not any(case.answerable for case in cases):
        raise EvaluationError(
            f"no question of {questions.file} expects the source {source}; name it in expected, as source or as the "
            "beginning of document"
        )
    return cases


async def _run(desk: Desk, cases: Sequence[Case], wish: Wish, changes: Mapping[str, str]) -> _Run:
    """Asks for every turn, with a bar where somebody watches."""
    with _progress("settings compared" if changes else "questions", len(cases)) as advance:
        retrieved: list[Retrieved] = []
        async for one in _asked(desk, [_inquiry(case, wish, changes) for case in cases]):
            retrieved.append(one)
            advance()
    last = retrieved[-1]
    return _Run(
        judged=judge(cases, [one.retrieval for one in retrieved]),
        rules=Rules(depth=wish.depth, limit=last.limit, threshold=last.threshold),
        embedding=last.embedding,
    )


async def _asked(desk: Desk, inquiries: Sequence[Inquiry]) -> AsyncIterator[Retrieved]:
    for start in range(0, len(inquiries), AT_ONCE):
        batch = inquiries[start : start + AT_ONCE]
        for one in await asyncio.gather(*(desk.call(operations.retrieve, each) for each in batch)):
            yield one


def _inquiry(case: Case, wish: Wish, changes: Mapping[str, str]) -> Inquiry:
    return Inquiry(
        query=case.query,
        limit=wish.depth,
        audiences=case.audiences or wish.audiences,
        sources=frozenset({wish.source}) if wish.source else None,
        changes=changes,
    )


def _compared(now: _Run, other: _Run, wish: Wish) -> Comparison:
    return compare(now.judged, other.judged, (now.rules, other.rules), wish.changes, worst=wish.worst)


def _learned(questions: QuestionSet, run: _Run, wish: Wish) -> LearnedCalibration:
    provenance = Provenance(
        file=questions.file.name,
        sha256=questions.sha256,
        cases=len(run.judged),
        positives=sum(one.answered_within(run.rules.limit) for one in run.judged),
        date=datetime.now(UTC).date().isoformat(),
        embedding=run.embedding,
        version=version("cotorra"),
    )
    return learn(run.judged, run.rules.limit, provenance, force=wish.force)


@contextmanager
def _progress(what: str, total: int) -> Iterator[_Advance]:
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        yield _Advance(progress, progress.add_task(what, total=total))


@dataclass(frozen=True, slots=True)
class _Advance:
    progress: Progress
    task: TaskID

    def __call__(self) -> None:
        self.progress.advance(self.task)
