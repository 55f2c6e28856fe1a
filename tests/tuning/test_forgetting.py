"""A person can be forgotten: nothing of them stays, and nothing comes back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.tuning.conftest import NOON, SECRET, feedback, passage, turn
from tuning.conversations.log import ConversationLog
from tuning.conversations.privacy import pseudonym
from tuning.conversations.records import LogCounts

PLACE = "slack:T1:C1:1.0"
NOTHING = LogCounts(conversations=0, turns=0, passages=0, feedback=0)


def questions(log: ConversationLog, conversation: str = PLACE) -> list[str]:
    return [seen.turn.turn_id for seen in log.show(conversation)]


def test_forgetting_a_conversation_leaves_nothing_of_it(log: ConversationLog) -> None:
    log.record([turn(), turn("t2", minutes=1)])
    log.give_feedback([feedback(), feedback("t2")])
    assert log.forget(PLACE) == 2
    assert log.counts() == NOTHING


def test_snapshots_that_another_conversation_shows_stay(log: ConversationLog) -> None:
    log.record([turn(passages=(passage("mine"), passage("shared"))), turn("t2", conversation="c2")])
    log.record([turn("t3", conversation="c2", passages=(passage("shared"),))])
    log.forget(PLACE)
    assert [shown.text for seen in log.show("c2") for shown in seen.turn.passages] == ["Press *Save*.", "shared"]
    assert log.counts().passages == 2


def test_forgetting_one_speaker_keeps_the_others_but_not_the_speakers_opinion_of_them(log: ConversationLog) -> None:
    log.record([turn(speaker="U1"), turn("t2", speaker="U2"), turn("t3", speaker="U1", conversation="c2")])
    log.give_feedback([feedback("t2", speaker="U1"), feedback("t2", speaker="U3"), feedback("t3", speaker="U1")])
    assert log.forget(PLACE, "U1") == 1
    assert questions(log) == ["t2"]
    assert [given.speaker for given in log.show(PLACE)[0].feedback] == [pseudonym(SECRET, "U3")]
    assert len(log.show("c2")[0].feedback) == 1


def test_a_speaker_can_be_forgotten_by_the_pseudonym_that_the_log_shows(log: ConversationLog) -> None:
    log.record([turn()])
    assert log.forget(PLACE, log.show(PLACE)[0].turn.speaker) == 1


def test_a_turn_alone_is_forgotten_and_does_not_come_back(log: ConversationLog) -> None:
    log.record([turn(), turn("t2", minutes=1)])
    log.give_feedback([feedback(), feedback("late")])
    assert log.forget_turn(turn().turn_id)
    assert not log.forget_turn("late")
    log.give_feedback([feedback()])
    assert log.record([turn(), turn("late"), turn("t2", minutes=1)]) == 1
    assert questions(log) == ["t2"]
    assert log.counts().feedback == 0


def test_only_what_was_asked_before_is_forgotten(log: ConversationLog) -> None:
    log.record([turn("t0"), turn("t5", minutes=5)])
    assert log.forget(PLACE, before=NOON + timedelta(minutes=1)) == 1
    assert questions(log) == ["t5"]


def test_a_turn_recorded_after_it_was_forgotten_does_not_come_back(log: ConversationLog) -> None:
    log.give_feedback([feedback("t0")])
    log.forget(PLACE, before=NOON)
    assert log.record([turn("t0"), turn("t1", minutes=1)]) == 1
    log.give_feedback([feedback("t0", minutes=9, reason="late")])
    assert questions(log) == ["t1"]
    assert log.counts().feedback == 0


def test_only_the_forgotten_speakers_late_turns_stay_out(log: ConversationLog) -> None:
    log.forget(PLACE, "U1", before=NOON)
    log.record([turn("t1", speaker="U1"), turn("t2", speaker="U2"), turn("t3", speaker="U1", conversation="c2")])
    assert questions(log) == ["t2"]
    assert questions(log, "c2") == ["t3"]


def test_feedback_on_a_forgotten_turn_is_not_kept(log: ConversationLog) -> None:
    log.record([turn()])
    log.forget(PLACE)
    log.give_feedback([feedback(minutes=60, better_answer="mine")])
    assert log.counts() == NOTHING


def test_a_forgotten_speakers_feedback_that_arrives_late_is_not_kept(log: ConversationLog) -> None:
    log.record([turn("t1", speaker="U1")])
    log.give_feedback([feedback("t2", speaker="U2", minutes=1)])
    log.forget(PLACE, "U2", before=NOON + timedelta(minutes=5))
    log.give_feedback([feedback("t1", speaker="U2", minutes=2), feedback("t1", speaker="U3", minutes=2)])
    log.record([turn("t2", speaker="U1")])
    assert {given.speaker for seen in log.show(PLACE) for given in seen.feedback} == {pseudonym(SECRET, "U3")}


def test_forgetting_earlier_after_later_forgets_no_less(log: ConversationLog) -> None:
    log.forget(PLACE, before=NOON + timedelta(minutes=5))
    log.forget(PLACE, before=NOON)
    assert log.record([turn(minutes=3)]) == 0


def test_a_question_asked_again_after_forgetting_is_kept_and_can_be_rated(log: ConversationLog) -> None:
    log.record([turn()])
    log.forget(PLACE, before=NOON)
    log.record([turn(minutes=2)])
    log.give_feedback([feedback(minutes=3)])
    assert len(log.show(PLACE)[0].feedback) == 1


def test_the_turns_of_a_migrated_chat_move_also_those_that_arrive_late(log: ConversationLog) -> None:
    log.record([turn("t1", conversation="telegram:-7:0")])
    assert log.rename("telegram:-7:0", "telegram:-1007:0") == 1
    log.record([turn("t2", conversation="telegram:-7:0", minutes=1)])
    assert questions(log, "telegram:-1007:0") == ["t1", "t2"] == questions(log, "telegram:-7:0")
    log.rename("telegram:-1007:0", "telegram:-1008:0")
    assert log.forget("telegram:-7:0") == 2
    assert log.record([turn("t3", conversation="telegram:-1007:0")]) == 0


def test_what_was_forgotten_stays_forgotten_under_the_new_name(log: ConversationLog) -> None:
    log.forget("old", "U1", before=NOON)
    log.rename("old", "new")
    assert log.record([turn("t1", conversation="old"), turn("t2", conversation="new")]) == 0


def test_a_name_that_is_given_back_is_a_name_again(log: ConversationLog) -> None:
    log.rename("a", "b")
    log.rename("b", "a")
    log.record([turn(conversation="a"), turn("t2", conversation="b")])
    assert questions(log, "a") == ["t1", "t2"]


def test_pruning_removes_what_is_old_and_feedback_whose_turn_never_came(log: ConversationLog) -> None:
    log.record([turn("old", passages=(passage("old"),)), turn("new", minutes=10)])
    log.give_feedback([feedback("old"), feedback("new"), feedback("lost"), feedback("coming", minutes=11)])
    assert log.prune(NOON + timedelta(minutes=5)) == 1
    assert log.counts() == LogCounts(conversations=1, turns=1, passages=1, feedback=2)


def test_forgotten_words_are_gone_from_the_files_too(tmp_path: Path) -> None:
    log = ConversationLog(f"sqlite:///{tmp_path}/log.sqlite3", SECRET)
    log.upgrade()
    log.record([turn(f"t{number}", question=f"the heron {number} " * 40) for number in range(50)])
    assert any(b"heron" in file.read_bytes() for file in tmp_path.iterdir())
    log.forget(PLACE)
    assert not any(b"heron" in file.read_bytes() for file in tmp_path.iterdir())


def test_who_is_forgotten_goes_out_of_the_summaries_in_what_others_asked(log: ConversationLog) -> None:
    told: dict[str, Any] = {"summary": "U2 lives in Madrid", "recalled": ("t1",)}
    log.record([turn(speaker="U2"), turn("t2", minutes=1, **told), turn("t3", conversation="c2", **told)])
    assert log.forget(PLACE, "U2") == 1
    [left] = [seen.turn for seen in log.show(PLACE)]
    assert (left.turn_id, left.summary, left.prompt_version) == ("t2", "", "")
    assert log.show("c2")[0].turn.summary == "U2 lives in Madrid"


def test_a_summary_that_comes_after_the_wish_to_forget_is_not_kept(log: ConversationLog) -> None:
    log.forget(PLACE, "U2", before=NOON + timedelta(minutes=5))
    log.record([turn(minutes=4, summary="U2 lives in Madrid"), turn("t2", minutes=6, summary="nothing of anybody")])
    assert [seen.turn.summary for seen in log.show(PLACE)] == ["", "nothing of anybody"]


def test_a_forgotten_turn_goes_out_of_the_summaries_of_its_conversation(log: ConversationLog) -> None:
    log.record(
        [turn(), turn("t2", minutes=1, summary="they asked how to save"), turn("t3", conversation="c2", summary="x")]
    )
    log.forget_turn("t1")
    assert log.show(PLACE)[0].turn.summary == ""
    assert log.show("c2")[0].turn.summary == "x"


def test_a_forgotten_persons_notes_go_out_of_every_conversation(log: ConversationLog) -> None:
    noted: dict[str, Any] = {"notes": ("I work part time",)}
    log.record(
        [turn(**noted), turn("t2", conversation="c2", **noted), turn("t3", conversation="c2", speaker="U2", **noted)]
    )
    log.forget(PLACE, "U1")
    assert {seen.turn.turn_id: seen.turn.notes for seen in log.show("c2")} == {"t2": (), "t3": ("I work part time",)}


def test_forgetting_a_private_conversation_forgets_its_persons_notes_elsewhere(log: ConversationLog) -> None:
    noted: dict[str, Any] = {"notes": ("I work part time",)}
    log.record([turn(**noted), turn("t2", conversation="c2", **noted)])
    log.forget(PLACE)
    assert log.show("c2")[0].turn.notes == ()
