"""``cotorra eval retrieval``: a set is read, a running service finds, and what is shown and kept is what came out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bots.desk.seam import RetrieveRequest, RetrieveResponse
from bots.errors import BotsError
from bots.evaluation.retrieval import EvaluationRequest, evaluate_retrieval
from bots.evaluation.tables import print_evaluated
from rag.errors import ConfigurationError, EvaluationError
from rag.evaluation.changes import apply_changes
from rag.retrieval.calibrated import FILE, read_calibrations
from rag.retrieval.calibration import DEFAULT
from rag.settings import RetrievalSettings
from rag.types import Hit, Retrieval
from tests.bots.desk.test_cli import Shell, shell
from tests.bots.fake_desk import FakeDesk, running
from tests.rag.fakes import passage

__all__ = ["shell"]

PAGES = ("Leave", "Pay", "Travel")


@dataclass(slots=True)
class FindingDesk(FakeDesk):
    """Finds the page whose name the question holds, first with many candidates and second with few."""

    async def retrieve(self, inquiry: RetrieveRequest) -> RetrieveResponse:
        self.note("retrieve", inquiry)
        settings = apply_changes(RetrievalSettings(), inquiry.changes)
        asked = inquiry.query.text.lower()
        pages = sorted(PAGES, key=lambda page: page.lower() not in asked)
        if settings.candidates < 160:
            pages = [pages[1], pages[0], pages[2]]
        score = 0.8 if any(page.lower() in asked for page in PAGES) else 0.4
        return RetrieveResponse(
            retrieval=_retrieval(pages[: inquiry.limit], score),
            limit=settings.limit,
            threshold=settings.threshold,
            embedding="fake",
        )


def _retrieval(pages: Sequence[str], score: float) -> Retrieval:
    hits = tuple(Hit(passage=passage(title=page, number=rank), score=score) for rank, page in enumerate(pages))
    return Retrieval(hits=hits, score=score, evidence={"cosine": score})


SET: tuple[dict[str, Any], ...] = (
    {"question": "How much leave?", "expected": {"document": "Leave.md", "source": "kb"}, "language": "en"},
    {"conversation": ["Hi", "Hello", "And my pay?"], "expected": {"document": "Pay.md"}, "language": "en"},
    {"question": "¿Y travel?", "expected": {"document": "Travel.md"}, "language": "es", "audience": "board"},
    {"question": "Where is \u001b[31mthe moon?", "expected": {"document": "Moon.md"}, "language": "en"},
    {"question": "Who won in 1987?", "expected": None, "language": "en"},
)


@pytest.fixture
def questions(shell: Shell) -> Path:
    return write(shell.folder / "set.jsonl", SET)


def write(file: Path, cases: Sequence[dict[str, Any]]) -> Path:
    file.write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    return file


@pytest.fixture
async def desk(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FindingDesk]:
    monkeypatch.chdir(shell.folder)
    monkeypatch.setenv("COTORRA_HOME", str(shell.home))
    desk = FindingDesk()
    async with running(desk, shell.home):
        yield desk


async def test_the_service_finds_and_the_command_tells_how_well(desk: FindingDesk, questions: Path) -> None:
    told = (await evaluate_retrieval(EvaluationRequest(file=questions))).report
    assert (told.turns, told.conversations, told.answerable) == (5, 5, 4)
    assert {name: one.value for name, one in told.retrieval.items()}["recall@1"] == 0
    assert told.retrieval["recall@5"].value == 0.75
    assert set(told.by_language) == {"en", "es"}
    assert {name: one["mrr"].n for name, one in told.by_source.items()} == {"kb": 3, "unknown": 1}
    assert told.abstention["auroc"].value == 0.875
    assert told.abstention["false_answers"].value == 0
    assert (told.rules.limit, told.rules.threshold) == (RetrievalSettings().limit, RetrievalSettings().threshold)


async def test_each_turn_is_asked_for_as_the_set_says(desk: FindingDesk, questions: Path) -> None:
    await evaluate_retrieval(EvaluationRequest(file=questions, depth=7, audiences=frozenset({"staff"})))
    asked: list[Any] = [call[1] for call in desk.calls]
    assert [one.query.text for one in asked] == [
        case.get("question", "And my pay?").replace("\x1b", " ") for case in SET
    ]
    assert asked[1].query.history == ("Hi", "Hello")
    assert asked[2].query.language == "es"
    assert [one.audiences for one in asked] == [frozenset({"board" if at == 2 else "staff"}) for at in range(5)]
    assert {one.limit for one in asked} == {7}
    assert all(one.sources is None and not one.changes for one in asked)


async def test_one_source_alone_is_asked_only_what_it_should_answer(desk: FindingDesk, questions: Path) -> None:
    told = (await evaluate_retrieval(EvaluationRequest(file=questions, source="kb"))).report
    asked: list[Any] = [call[1] for call in desk.calls]
    assert (told.turns, told.answerable) == (2, 1)
    assert {one.sources for one in asked} == {frozenset({"kb"})}
    with pytest.raises(EvaluationError, match="expects the source faq"):
        await evaluate_retrieval(EvaluationRequest(file=questions, source="faq"))


async def test_two_settings_are_run_and_their_difference_told(desk: FindingDesk, questions: Path) -> None:
    changes = {"retrieval.candidates": "160", "retrieval.threshold": ".3"}
    out = await evaluate_retrieval(EvaluationRequest(file=questions, changes=changes))
    assert out.comparison is not None
    assert out.comparison.difference["recall@1"].value == 0.75
    assert out.comparison.difference["false_answers"].value == 1
    assert (out.report.rules.threshold, out.comparison.changed.rules.threshold) == (0.5, 0.3)
    assert [bool(call[1].changes) for call in desk.calls] == [False] * 5 + [True] * 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"retrieval.candidats": "80"}, "retrieval.candidats: there is no such setting"),
        ({"retrieval.candidates": "many"}, "retrieval.candidates: Input should be a valid integer"),
        ({"retrieval.threshold": "2"}, "retrieval.threshold: Input should be less than or equal to 1"),
    ],
)
async def test_a_wrong_setting_is_told_before_anything_runs(
    desk: FindingDesk, questions: Path, changes: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await evaluate_retrieval(EvaluationRequest(file=questions, changes=changes))
    assert str(caught.value).startswith(complaint)
    assert not desk.calls


def many(count: int) -> list[dict[str, Any]]:
    answered = [{"question": f"{number}: leave?", "expected": {"document": "Leave.md"}} for number in range(count)]
    return answered + [{"question": f"{number}: the moon?", "expected": None} for number in range(count)]


async def test_a_calibration_is_learned_written_and_says_from_what(desk: FindingDesk, shell: Shell) -> None:
    file = write(shell.folder / "many.jsonl", many(40))
    out = await evaluate_retrieval(EvaluationRequest(file=file, calibrate=True))
    assert out.written == str(shell.home / FILE)
    kept = read_calibrations(shell.home, {"cosine"}, DEFAULT).of("fake")
    assert out.learned is not None
    assert kept == out.learned.calibration
    assert (kept.provenance.cases, kept.provenance.positives, kept.provenance.embedding) == (80, 40, "fake")
    assert kept.provenance.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert kept.probability({"cosine": 0.8}) > 0.9
    assert kept.probability({"cosine": 0.4}) < 0.1


async def test_too_few_questions_write_nothing_unless_one_insists(desk: FindingDesk, shell: Shell) -> None:
    file = write(shell.folder / "few.jsonl", many(5))
    with pytest.raises(EvaluationError, match="too little to calibrate on"):
        await evaluate_retrieval(EvaluationRequest(file=file, calibrate=True))
    assert not (shell.home / FILE).exists()
    await evaluate_retrieval(EvaluationRequest(file=file, calibrate=True, force=True))
    assert (shell.home / FILE).exists()


async def test_an_error_of_the_service_ends_the_run_in_its_words(desk: FindingDesk, questions: Path) -> None:
    desk.error = BotsError("Qdrant does not answer")
    with pytest.raises(BotsError, match="Qdrant does not answer"):
        await evaluate_retrieval(EvaluationRequest(file=questions))


async def test_what_is_printed_for_people_holds_every_figure_and_steers_no_terminal(
    desk: FindingDesk, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_evaluated(await evaluate_retrieval(EvaluationRequest(file=questions)), as_json=False)
    out = capsys.readouterr().out
    assert "5 turns of 5 conversations, 4 answerable" in out
    for named in (
        "recall@1",
        "ndcg@10",
        "language es",
        "source kb",
        "threshold 0.5",
        "auroc_found",
        "Worst cases",
        ".750 [.250, 1.000]",
    ):
        assert named in out
    assert ".750 [.250, 1.000]" in out
    assert "line 4: Where is  [31mthe moon?" in out
    assert "expected document Moon.md; not found, score 0.40" in out
    assert "\x1b" not in out


async def test_a_comparison_and_a_calibration_are_printed_for_people(
    desk: FindingDesk, shell: Shell, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"retrieval.candidates": "160"}
    print_evaluated(await evaluate_retrieval(EvaluationRequest(file=questions, changes=changes)), as_json=False)
    assert "Now, and with retrieval.candidates=160" in (compared := capsys.readouterr().out)
    assert "+.750 [+.250, +1.000]" in compared
    file = write(shell.folder / "many.jsonl", many(40))
    print_evaluated(await evaluate_retrieval(EvaluationRequest(file=file, calibrate=True)), as_json=False)
    learned = capsys.readouterr().out
    for named in ("brier", "predicted", "retrieval.threshold", "cosine", str(shell.home / FILE)):
        assert named in learned


async def test_the_command_prints_one_json_object(shell: Shell, desk: FindingDesk, questions: Path) -> None:
    ended = await shell(
        "eval", "retrieval", str(questions), "--json", "--compare", "retrieval.candidates=160", "retrieval.limit=1"
    )
    assert (ended.status, ended.err) == (0, "")
    told = json.loads(ended.out)
    assert set(told) == {"file", "report", "comparison", "learned", "written"}
    assert set(told["report"]["retrieval"]["mrr"]) == {"value", "low", "high", "n"}
    assert told["comparison"]["changes"] == {"retrieval.candidates": "160", "retrieval.limit": "1"}
    assert told["comparison"]["changed"]["rules"]["limit"] == 1


async def test_a_set_that_cannot_be_used_is_one_line_and_status_1(shell: Shell, desk: FindingDesk) -> None:
    (shell.folder / "set.jsonl").write_text('{"question": "a", "expected": null}\n{"qestion": "b"}\n', encoding="utf-8")
    ended = await shell("eval", "retrieval", "set.jsonl")
    assert ended.status == 1
    assert ended.complaint.startswith("cotorra: set.jsonl was not used; line 2: 'qestion' is unknown")
    assert not desk.calls


@pytest.mark.parametrize(
    "arguments",
    [
        ("set.jsonl", "retrieval.limit=1"),
        ("set.jsonl", "--calibrate", "--compare", "retrieval.limit=1"),
        ("set.jsonl", "--force"),
        ("set.jsonl", "--limit", "0"),
        (),
    ],
)
async def test_wrong_usage_is_status_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    ended = await shell("eval", "retrieval", *arguments)
    assert (ended.status, ended.out) == (2, "")


@pytest.mark.parametrize("change", ["retrieval.limit", "embedding.model=x", "retrieval.limit="])
async def test_only_settings_of_retrieval_can_be_compared(shell: Shell, change: str) -> None:
    ended = await shell("eval", "retrieval", "set.jsonl", "--compare", change)
    assert ended.status == 1
    assert ended.complaint.startswith(f"cotorra: {change.removesuffix('=x')}")
