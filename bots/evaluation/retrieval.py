"""``cotorra eval retrieval``: a desk retrieves passages for every turn of a question set; the figures are computed here."""

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
from bots.desk.seam import RetrieveRequest, RetrieveResponse
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

CONCURRENT_REQUESTS = 8
"""Requests at the same time: their embeddings share a batch, and questions of other people still get their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What to evaluate. ``depth``: passages a turn; an empty ``source`` means all, empty ``audiences`` the terminal's."""

    file: Path
    depth: int = 10
    worst: int = 10
    changes: Mapping[str, str] = field(default_factory=dict)
    audiences: frozenset[str] = frozenset()
    source: str = ""
    calibrate: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """The result, printed as JSON by field. ``written``: the file of the calibration, where one was learnt."""

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


async def evaluate_retrieval(request: EvaluationRequest) -> EvaluationResult:
    """Raises ``EvaluationError``, ``ConfigurationError`` and what a desk raises."""
    questions = read_questions(request.file)
    cases = _select_cases(questions, request.source)
    settings = load_settings(PLATFORMS)
    apply_changes(settings.retrieval, request.changes)  # a wrong one is told before a run of minutes
    async with open_desk() as desk:
        current = await _run(desk, cases, request, {})
        variant = await _run(desk, cases, request, request.changes) if request.changes else None
    learned = _learn_calibration(questions, current, request) if request.calibrate else None
    return EvaluationResult(
        file=str(request.file),
        report=report(current.judged, current.rules, worst=request.worst),
        comparison=_comparison(current, variant, request) if variant else None,
        learned=learned,
        written=str(write_calibration(settings.home, learned.calibration)) if learned else None,
    )


def _select_cases(questions: QuestionSet, source: str) -> Sequence[Case]:
    """The cases of one source: questions that expect it, and those that no document answers."""
    cases = [case for case in questions.cases if not source or not case.answerable or expects(case, source)]
    if source and not any(case.answerable for case in cases):
        raise EvaluationError(
            f"no question of {questions.file} expects the source {source}; name it in expected, as source or as the "
            "beginning of document"
        )
    return cases


async def _run(desk: Desk, cases: Sequence[Case], request: EvaluationRequest, changes: Mapping[str, str]) -> _Run:
    """Retrieves for every turn, with a progress bar on a terminal."""
    # On standard error, so that --json prints nothing else on standard output.
    with _progress("settings compared" if changes else "questions", len(cases)) as advance:
        responses: list[RetrieveResponse] = []
        async for one in _responses(desk, [_retrieve_request(case, request, changes) for case in cases]):
            responses.append(one)
            advance()
    # Every response names the settings in force; they do not change during a run.
    last = responses[-1]
    return _Run(
        judged=judge(cases, [one.retrieval for one in responses]),
        rules=Rules(depth=request.depth, limit=last.limit, threshold=last.threshold),
        embedding=last.embedding,
    )


# Not a task group over all turns: a set of thousands would fill the service's queue before other people's questions.
async def _responses(desk: Desk, requests: Sequence[RetrieveRequest]) -> AsyncIterator[RetrieveResponse]:
    for start in range(0, len(requests), CONCURRENT_REQUESTS):
        batch = requests[start : start + CONCURRENT_REQUESTS]
        for one in await asyncio.gather(*(desk.call(operations.retrieve, each) for each in batch)):
            yield one


def _retrieve_request(case: Case, request: EvaluationRequest, changes: Mapping[str, str]) -> RetrieveRequest:
    return RetrieveRequest(
        query=case.query,
        limit=request.depth,
        audiences=case.audiences or request.audiences,
        sources=frozenset({request.source}) if request.source else None,
        changes=changes,
    )


def _comparison(current: _Run, variant: _Run, request: EvaluationRequest) -> Comparison:
    return compare(current.judged, variant.judged, (current.rules, variant.rules), request.changes, worst=request.worst)


def _learn_calibration(questions: QuestionSet, run: _Run, request: EvaluationRequest) -> LearnedCalibration:
    provenance = Provenance(
        file=questions.file.name,
        sha256=questions.sha256,
        cases=len(run.judged),
        positives=sum(one.answered_within(run.rules.limit) for one in run.judged),
        date=datetime.now(UTC).date().isoformat(),
        embedding=run.embedding,
        version=version("cotorra"),
    )
    return learn(run.judged, run.rules.limit, provenance, force=request.force)


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
