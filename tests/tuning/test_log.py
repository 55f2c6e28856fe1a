"""What the log keeps, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from tests.tuning.conftest import NOON, SECRET, feedback, passage, turn
from tuning.conversations.log import ConversationLog
from tuning.conversations.privacy import pseudonym
from tuning.conversations.records import LogCounts
from tuning.errors import DatabaseUrlWrong, LogUnavailable

PLACE = "slack:T1:C1:1.0"


def known(speaker: str) -> str:
    return pseudonym(SECRET, speaker)


def test_a_turn_comes_back_as_it_was_with_its_passages_in_the_order_shown(log: ConversationLog) -> None:
    shown = (passage("second best", score=0.1 + 0.2), passage("best", score=0.9), passage("second best", score=1e-17))
    written = turn(passages=shown, cited=(1, 0), outcome="abstained", adapter="v2")
    assert log.record([written]) == 1
    [read] = log.show(PLACE)
    assert read.turn == replace(written, speaker=known("U1"))


def test_what_the_prompt_was_made_of_comes_back(log: ConversationLog) -> None:
    written = turn(
        outcome="wants_person",
        recalled=("t9", "t10"),
        summary="They asked for leave. ñ",
        notes=("works part time", "\u2028"),
        prompt_version="7",
        adapter="chat",
        adapter_digest="ab" * 32,
        dropped=3,
        interrupted=True,
    )
    log.record([written])
    assert log.show(PLACE)[0].turn == replace(written, speaker=known("U1"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(), title=st.text(max_size=5), headings=st.lists(st.text(max_size=5), max_size=3))
def test_the_prefix_rendered_from_a_snapshot_is_the_prefix_that_was_served(
    log: ConversationLog, text: str, title: str, headings: list[str]
) -> None:
    clean = text.replace("\x00", ""), title.replace("\x00", ""), tuple(one.replace("\x00", "") for one in headings)
    shown = passage(clean[0], title=clean[1], headings=clean[2])
    log.record([turn(passages=(shown,))])
    assert log.show(PLACE)[0].turn.passages == (shown,)


def test_text_that_no_database_stores_is_replaced_and_gets_its_own_digest(log: ConversationLog) -> None:
    log.record([turn(question="a\x00b\ud800c", passages=(passage("x\x00y"),))])
    read = log.show(PLACE)[0].turn
    assert read.question == "a\ufffdb\ufffdc"
    assert read.passages == (passage("x\ufffdy"),)


def test_recording_again_replaces_and_adds_nothing(log: ConversationLog) -> None:
    log.record([turn(), turn("t2", minutes=1)])
    log.record([turn(answer="first"), turn(answer="last", passages=(passage("other"), passage()))])
    assert [(seen.turn.turn_id, seen.turn.answer) for seen in log.show(PLACE)] == [
        ("t1", "last"),
        ("t2", "Press Save. [1]"),
    ]
    assert [shown.text for shown in log.show(PLACE)[0].turn.passages] == ["other", "Press *Save*."]


def test_nothing_to_record_is_nothing(log: ConversationLog) -> None:
    log.give_feedback([])
    assert log.record([]) == 0
    assert log.counts() == LogCounts(conversations=0, turns=0, passages=0, feedback=0)


def test_two_hundred_turns_cost_as_many_statements_as_two(log: ConversationLog) -> None:
    statements = []
    event.listen(log._database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    log.record([turn(f"a{number}") for number in range(2)])
    for_two = len(statements)
    log.record([turn(f"b{number}", passages=(passage(f"p{number}"), passage())) for number in range(200)])
    assert len(statements) == 2 * for_two
    assert log.counts() == LogCounts(conversations=1, turns=202, passages=201, feedback=0)


def test_times_are_kept_to_the_microsecond_in_utc(log: ConversationLog) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5)))
    log.record([turn(asked_at=elsewhere)])
    assert log.show(PLACE)[0].turn.asked_at.isoformat() == "2026-03-01T12:00:00.123456+00:00"


def test_what_is_written_is_redacted_and_speakers_are_pseudonyms(log: ConversationLog) -> None:
    log.record([turn(question="I am ann@x.example", answer="Write to ann@x.example or help@x.example. [1]")])
    log.give_feedback([feedback(reason="call 415-555-2671", better_answer="Ask ann@x.example")])
    [read] = log.show(PLACE)
    assert read.turn.question == "I am [email]"
    assert read.turn.answer == "Write to [email] or [email]. [1]"
    assert (read.feedback[0].reason, read.feedback[0].better_answer) == ("call [phone]", "Ask [email]")
    assert (read.turn.speaker, read.feedback[0].speaker) == (known("U1"), known("U2"))


def test_redaction_can_be_switched_off_but_pseudonyms_cannot(url: str) -> None:
    log = ConversationLog(url, SECRET, redact=False)
    log.upgrade()
    log.record([turn(question="I am ann@x.example")])
    read = log.show(PLACE)[0].turn
    assert (read.question, read.speaker) == ("I am ann@x.example", known("U1"))


def test_feedback_that_arrives_before_its_turn_waits_for_it(log: ConversationLog) -> None:
    log.give_feedback([feedback(rating="down")])
    log.record([turn()])
    assert [given.rating for given in log.show(PLACE)[0].feedback] == ["down"]


def test_a_person_has_one_rating_and_the_later_one_counts_in_whatever_order_they_arrive(log: ConversationLog) -> None:
    log.record([turn()])
    log.give_feedback([feedback(minutes=5, rating="down"), feedback(minutes=2), feedback(speaker="U3")])
    log.give_feedback([feedback(minutes=3)])
    assert {given.speaker: given.rating for given in log.show(PLACE)[0].feedback} == {
        known("U2"): "down",
        known("U3"): "up",
    }


def test_a_reason_added_later_erases_no_better_answer(log: ConversationLog) -> None:
    log.record([turn()])
    log.give_feedback([feedback(rating="down", better_answer="Press twice.")])
    log.give_feedback([feedback(minutes=2, rating="down", reason="wrong button")])
    log.give_feedback([feedback(minutes=3, rating="down", reason="wrong page"), feedback(minutes=0, reason="old")])
    [given] = log.show(PLACE)[0].feedback
    assert (given.rating, given.reason, given.better_answer) == ("down", "wrong page", "Press twice.")


def test_conversations_are_listed_latest_first_page_by_page(log: ConversationLog) -> None:
    log.record([turn(f"t{number}", conversation=f"c{number % 3}", minutes=number) for number in range(7)])
    first = log.conversations(limit=2)
    assert [(seen.conversation, seen.turns, seen.platform) for seen in first] == [
        ("c0", 3, "slack"),
        ("c2", 2, "slack"),
    ]
    assert (first[0].first_at, first[0].last_at) == (NOON, NOON + timedelta(minutes=6))
    assert [seen.conversation for seen in log.conversations(before=first[-1].last_at)] == ["c1"]


def test_every_turn_is_read_page_by_page(log: ConversationLog) -> None:
    log.record([turn(f"t{number}", conversation=f"c{number % 2}") for number in range(4)])
    assert [seen.turn.turn_id for seen in log.turns(at_once=2)] == ["t0", "t1", "t2", "t3"]
    assert [seen.turn.turn_id for seen in log.turns("c1", at_once=2)] == ["t1", "t3"]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("mysql://me:hunter2@db/x", "begins with mysql://"),
        ("postgresql://me:hunter2@db:port/x", "is no URL"),
        ("sqlite://", "begins with sqlite://"),
    ],
)
def test_a_wrong_url_is_refused_without_showing_its_password(wrong: str, complaint: str) -> None:
    with pytest.raises(DatabaseUrlWrong, match=complaint) as refusal:
        ConversationLog(wrong, SECRET)
    assert "hunter2" not in str(refusal.value)


def test_a_database_that_does_not_answer_is_named_without_its_password(free_port: int) -> None:
    log = ConversationLog(f"postgres://me:hunter2@127.0.0.1:{free_port}/x", SECRET)
    with pytest.raises(LogUnavailable, match=r"me:\*\*\*@127.0.0.1.* does not answer") as refusal:
        log.record([turn()])
    assert "hunter2" not in repr(log) + str(refusal.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogUnavailable, match="cannot be opened at"):
        ConversationLog(f"sqlite:///{tmp_path}/file/log.sqlite3", SECRET)


def test_the_sqlite_files_are_private(tmp_path: Path) -> None:
    log = ConversationLog(f"sqlite:///{tmp_path}/log.sqlite3", SECRET)
    log.upgrade()
    log.record([turn()])
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
