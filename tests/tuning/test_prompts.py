"""The model trains on what serves: a logged turn gives back the prompt that was sent, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bots.conversation.turns import logged_turn
from rag.prompts.instructions import answer_prompt
from rag.types import AdapterRef, Answer, Background, Exchange, Hit, Passage, Question, Source
from tests.tuning.conftest import NOON
from tuning.conversations.log import ConversationLog
from tuning.conversations.prompts import prompt_of
from tuning.conversations.records import LoggedTurn

PLACE = "slack:T1:C1:1.0"
ADAPTER = AdapterRef(name="chat", path="/adapters/chat", digest="ab" * 32)
KNOWN = Background(summary="They asked about leave → 23 days.", notes=("I work part time", "I live in Vigo"))


def passage(number: int, text: str = "An employee has 23 days.", **changes: object) -> Passage:
    made = Passage(
        id=f"p{number}", document="leave", source="handbook", title="Leave", headings=("Leave", f"Part {number}"),
        url=f"https://x.example/leave#{number}", text=text, position=number, language="en", audience="public",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def question(turn_id: str, text: str, background: Background = KNOWN) -> Question:
    return Question(
        turn_id=turn_id, conversation=PLACE, text=text, audiences=frozenset({"public"}), speaker="U1", adapter=ADAPTER,
        background=background,
    )  # fmt: skip


def answered(text: str, passages: list[Passage], **changes: object) -> Answer:
    hits = tuple(Hit(passage=each, score=0.5) for each in passages)
    sources = tuple(Source(number=1, passage=each, score=0.5) for each in passages[:1])
    made = Answer(text=text, outcome="answered", language="es", sources=sources, shown=hits, adapter="chat")
    return replace(made, **changes)  # type: ignore[arg-type]


def exchange(asked: Question, answer: Answer) -> Exchange:
    """As it is remembered after the answer."""
    return Exchange(
        turn_id=asked.turn_id,
        question=asked.text,
        answer=answer.text,
        asked_at=NOON,
        speaker=asked.speaker,
        audiences=("public",),
    )


def logged(log: ConversationLog) -> dict[str, LoggedTurn]:
    return {seen.turn.turn_id: seen.turn for seen in log.show(PLACE)}


def converse(log: ConversationLog, texts: list[str], page: str = "An employee has 23 days.") -> list[object]:
    """Two turns of a conversation; returns the prompt of the second as it was sent."""
    first, second = question("t1", texts[0], Background()), question("t2", texts[1])
    shown = [passage(1, page), passage(2)]
    before = answered("Tienes **23 días** [1].", shown)
    history = [exchange(first, before)]
    sent = answer_prompt(second, history, shown, "es")
    after = answered("Sí [1].", shown, recalled=("t1",), background=KNOWN)
    log.record(
        [
            logged_turn(first, before, platform="slack", asked_at=NOON),
            logged_turn(second, after, platform="slack", asked_at=NOON + timedelta(minutes=1)),
        ]
    )
    return [*sent]


def test_a_logged_turn_gives_back_the_prompt_that_was_sent(log: ConversationLog) -> None:
    sent = converse(log, ["¿Cuántos días de vacaciones tengo?", "¿Y a media jornada?"])
    turns = logged(log)
    assert prompt_of(turns["t2"], turns) == sent
    assert turns["t2"].adapter_digest == ADAPTER.digest


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(page=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_whatever_a_page_holds_the_prompt_is_the_same_byte_for_byte(log: ConversationLog, page: str) -> None:
    sent = converse(log, ["How many?", "And if I work part time?"], page)
    turns = logged(log)
    assert prompt_of(turns["t2"], turns) == sent


def test_a_prompt_of_which_something_was_forgotten_or_redone_is_not_made_up(log: ConversationLog) -> None:
    converse(log, ["How many?", "And if I work part time?"])
    turns = logged(log)
    assert prompt_of(turns["t2"], {}) is None
    assert prompt_of(replace(turns["t2"], prompt_version="another"), turns) is None
    log.forget_turn("t1")
    assert prompt_of(logged(log)["t2"], turns) is None


def test_a_turn_of_an_older_prompt_stays_readable_though_its_prompt_is_not_made_again(log: ConversationLog) -> None:
    shown = [passage(1, "Tell the user that a refund takes ten days.")]
    turn = logged_turn(question("t1", "How long?"), answered("Ten days [1].", shown), platform="slack", asked_at=NOON)
    log.record([replace(turn, prompt_version="1")])
    kept = logged(log)["t1"]
    assert (kept.prompt_version, kept.question, kept.answer) == ("1", "How long?", "Ten days [1].")
    assert [one.text for one in kept.passages] == ["Tell the user that a refund takes ten days."]
    assert prompt_of(kept, {}) is None


@pytest.mark.parametrize(("wrote", "digest"), [("chat", ADAPTER.digest), (None, ""), ("other", "")])
def test_only_the_adapter_that_wrote_is_logged(wrote: str | None, digest: str) -> None:
    turn = logged_turn(question("t1", "How?"), answered("So.", [], adapter=wrote), platform="slack", asked_at=NOON)
    assert (turn.adapter, turn.adapter_digest) == (wrote, digest)
