"""Export and import: what leaves the log comes back the same, and nothing else gets in."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.tuning.conftest import NOON, SECRET, feedback, passage, turn
from tuning.conversations.log import ConversationLog
from tuning.conversations.transfer import export_turns, import_turns, read_turns
from tuning.errors import ImportRefused

PROMPT: dict[str, Any] = {
    "recalled": ("t1",),
    "summary": "They asked.",
    "notes": ("tea",),
    "adapter_digest": "ab",
    "dropped": 2,
    "interrupted": True,
}


@pytest.fixture
def exported(log: ConversationLog, tmp_path: Path) -> Path:
    """Two conversations of two turns, with shared snapshots, as a file."""
    log.record([turn(f"t{number}", conversation=f"c{number % 2}", minutes=number) for number in range(3)])
    log.record([turn("t3", conversation="c1", passages=(passage("ñandú\n\u2028"), passage()), adapter="v1", **PROMPT)])
    log.give_feedback([feedback("t3", rating="down", reason="no", better_answer="yes"), feedback("t3", speaker="U9")])
    file = tmp_path / "log.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        assert export_turns(log, lines) == 4
    return file


def other_log(tmp_path: Path) -> ConversationLog:
    log = ConversationLog(f"sqlite:///{tmp_path / 'other.sqlite3'}", SECRET)
    log.upgrade()
    return log


def test_an_export_read_into_another_log_is_the_same_log(log: ConversationLog, exported: Path, tmp_path: Path) -> None:
    other = other_log(tmp_path)
    assert import_turns(other, exported) == 4
    assert list(other.turns()) == list(log.turns())


def test_importing_twice_changes_nothing(log: ConversationLog, exported: Path) -> None:
    before = list(log.turns())
    assert import_turns(log, exported) == 4
    assert list(log.turns()) == before


def test_one_conversation_can_be_exported_alone(log: ConversationLog, exported: Path) -> None:
    lines = io.StringIO()
    assert export_turns(log, lines, "c0") == 2
    assert {json.loads(line)["turn"]["conversation"] for line in lines.getvalue().splitlines()} == {"c0"}


def test_a_conversation_is_exported_under_its_former_name_too(log: ConversationLog, exported: Path) -> None:
    log.rename("c0", "c9")
    lines = io.StringIO()
    assert export_turns(log, lines, "c0") == 2
    assert {json.loads(line)["turn"]["conversation"] for line in lines.getvalue().splitlines()} == {"c9"}


def test_what_was_forgotten_here_is_not_imported_again(log: ConversationLog, exported: Path) -> None:
    log.forget("c1", before=NOON + timedelta(hours=1))
    assert import_turns(log, exported) == 2
    assert [seen.conversation for seen in log.conversations()] == ["c0"]


def test_an_import_is_redacted_too(tmp_path: Path, exported: Path) -> None:
    value = json.loads(exported.read_text().splitlines()[0])
    value["turn"]["question"] = "I am ann@x.example"
    value["turn"]["speaker"] = "U1"
    exported.write_text(json.dumps(value) + "\n\n")
    other = other_log(tmp_path)
    import_turns(other, exported)
    [read] = other.turns()
    assert (read.turn.question, read.turn.speaker[0]) == ("I am [email]", "~")


def test_a_large_file_is_written_in_batches(tmp_path: Path, exported: Path) -> None:
    assert import_turns(other_log(tmp_path), exported, at_once=3) == 4


@pytest.mark.parametrize(
    ("where", "value", "complaint"),
    [
        (("turn", "outcome"), "guessed", r"turn\.outcome: Input should be 'answered'"),
        (("turn", "asked_at"), "2026-01-31T12:00:00", "a time has no zone"),
        (("turn", "asked_at"), "0001-01-01T00:00:00+14:00", "a time lies outside the years"),
        (("turn", "reply_id"), "a\0b", "holds a NUL"),
        (("turn", "asked_at"), "yesterday", r"turn\.asked_at: "),
        (("turn", "cited"), [7], "cited names a passage that was not shown"),
        (("turn", "seconds"), {"answer": float("nan")}, "figure is not finite"),
        (("turn", "passages", 0, "text"), "forged", "not the one that its digest names"),
        (("feedback",), [{"turn_id": "t9", "speaker": "U", "rating": "up", "given_at": "2026-01-31T12:00:00Z"}], "another"),
        (("turn", "question"), None, r"turn\.question: "),
        (("turn", "dropped"), 2**40, "dropped is no count"),
        (("turn", "dropped"), -1, "dropped is no count"),
        (("turn", "recalled"), ["a\0b"], "holds a NUL"),
    ],
)  # fmt: skip
def test_a_line_that_no_export_writes_is_named_and_nothing_is_written(
    where: tuple[Any, ...], value: object, complaint: str, tmp_path: Path, exported: Path
) -> None:
    lines = exported.read_text().splitlines()
    broken = json.loads(lines[2])
    place = broken
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    exported.write_text("\n".join([*lines[:2], json.dumps(broken), lines[3]]))
    other = other_log(tmp_path)
    with pytest.raises(ImportRefused, match=rf"log\.jsonl, line 3: .*{complaint}"):
        import_turns(other, exported)
    assert other.counts().turns == 0


def test_the_complaint_quotes_nobody(exported: Path) -> None:
    exported.write_text('{"turn": "my secret words"}')
    with pytest.raises(ImportRefused) as refusal:
        list(read_turns(exported))
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]"])
def test_what_is_not_json_lines_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ImportRefused, match=r"x, line 1: "):
        list(read_turns(tmp_path / "x"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="cannot be read: No such file"):
        list(read_turns(tmp_path / "x"))


def test_a_turn_survives_the_journey_unchanged(log: ConversationLog, tmp_path: Path) -> None:
    """Floats, time zones and odd characters included."""
    log.record([turn(seconds={"answer": 0.1 + 0.2}, passages=(passage("a\u2028b\\n\t", score=1 / 3),))])
    [read] = log.turns()
    with (tmp_path / "f").open("w", encoding="utf-8") as lines:
        export_turns(log, lines)
    assert [replace(line) for line in read_turns(tmp_path / "f")] == [read]


def test_an_export_of_the_version_before_is_read(exported: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in exported.read_text().strip().split("\n")]
    for line in lines:
        for key in (*PROMPT, "prompt_version"):
            del line["turn"][key]
    exported.write_text("\n".join(map(json.dumps, lines)))
    other = other_log(tmp_path)
    assert import_turns(other, exported) == 4
    assert {(read.turn.summary, read.turn.prompt_version) for read in other.turns()} == {("", "")}
