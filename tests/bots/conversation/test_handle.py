"""From a message to its reply, and what every crash on the way leaves for the next try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.queue.outbox import ForgetTurnEntry, OutboxEntry, TurnEntry
from rag.errors import IndexUnavailable, StoreUnavailable
from rag.store.client import connect
from tests.bots.answering_scene import INTERNAL, PLACE, PUBLIC, DiedError, Step, Talk, deleted, edited, said
from tuning.conversations.records import LoggedTurn

ANSWER = "Everybody has 27 days. [1]"
QUESTION = "How many days of holiday do I have?"
SPANISH = "¿Cuántos días tengo?"


@pytest.fixture
def talk(redis: Redis, keys: Keys) -> Talk:
    return Talk(redis, keys, contact="Write to help@example.com.")


def turn(entries: Sequence[OutboxEntry]) -> LoggedTurn:
    [entry] = entries
    assert isinstance(entry, TurnEntry)
    return entry.turn


async def test_a_question_is_answered_remembered_and_handed_to_the_log(talk: Talk) -> None:
    message = said(QUESTION)
    logged = turn(await talk.handle(message))
    assert talk.screen.texts() == [ANSWER]
    assert await talk.remembered() == [(QUESTION, ANSWER)]
    assert (logged.turn_id, logged.speaker, logged.platform) == (message.turn_id, "ada", "slack")
    assert (logged.question, logged.answer, logged.outcome) == (QUESTION, ANSWER, "answered")
    assert (logged.reply_id, logged.asked_at, logged.language) == ("p1", message.received_at, "en")


async def test_the_log_gets_a_snapshot_of_what_was_shown_and_what_was_cited(talk: Talk) -> None:
    logged = turn(await talk.handle(said(QUESTION)))
    [shown] = logged.passages
    hit = talk.finder.hits["holiday"][0]
    assert (shown.digest, shown.text, shown.score) == (hit.passage.digest, "Everybody has 27 days.", 0.9)
    assert logged.cited == (0,)
    assert set(logged.seconds) == {"condense", "retrieve", "answer", "ground"}


async def test_a_reply_grows_and_says_what_is_being_done(talk: Talk) -> None:
    await talk.handle(said(QUESTION))
    assert talk.screen.statuses == ["condense", "retrieve", "answer"]
    assert talk.screen.partial[-1] == ANSWER
    assert all(ANSWER.startswith(part) for part in talk.screen.partial)
    assert talk.figure('cotorra_messages_answered_total{outcome="answered",platform="slack"} 1.0')


async def test_the_chain_is_asked_for_who_speaks_with_what_its_readers_may_read(talk: Talk) -> None:
    await talk.handle(said(QUESTION))
    [asked] = talk.asked
    assert (asked.speaker, asked.speaker_name, asked.audiences) == ("ada", "Name of ada", PUBLIC)


@pytest.mark.parametrize("step", get_args(Step))
async def test_a_message_redelivered_after_a_crash_is_answered_once(talk: Talk, step: Step) -> None:
    talk.screen.dies_at = step
    message = said(QUESTION)
    with pytest.raises(DiedError):
        await talk.handle(message)
    logged = turn(await talk.handle(message))
    assert talk.screen.texts() == [ANSWER]
    assert await talk.remembered() == [(QUESTION, ANSWER)]
    assert (logged.answer, logged.reply_id) == (ANSWER, "p1")
    assert len(talk.asked) == (2 if step == "shown" else 1)


async def test_a_message_redelivered_after_everything_was_done_changes_nothing(talk: Talk) -> None:
    message = said(QUESTION)
    first = turn(await talk.handle(message))
    assert turn(await talk.handle(message)) == first
    assert talk.screen.texts() == [ANSWER]
    assert await talk.remembered() == [(QUESTION, ANSWER)]
    assert len(talk.asked) == 1


async def test_a_redelivery_after_the_crash_answers_with_the_words_that_were_stored(talk: Talk) -> None:
    talk.screen.dies_at = "computed"
    with pytest.raises(DiedError):
        await talk.handle(said(QUESTION))
    talk.answerer.pieces = ("Something else. [1]",)
    await talk.handle(said(QUESTION))
    assert talk.screen.texts() == [ANSWER]


async def test_a_stored_answer_is_computed_again_when_others_read_it_by_now(talk: Talk) -> None:
    talk.readers, talk.screen.dies_at = INTERNAL, "computed"
    with pytest.raises(DiedError):
        await talk.handle(said(QUESTION))
    talk.readers, talk.answerer.pieces = PUBLIC, ("Ask your manager. [1]",)
    logged = turn(await talk.handle(said(QUESTION)))
    assert [asked.audiences for asked in talk.asked] == [INTERNAL, PUBLIC]
    assert talk.screen.texts() == [logged.answer] == ["Ask your manager. [1]"]


async def test_a_stored_answer_is_computed_again_when_a_tenant_alone_may_have_read_it(talk: Talk) -> None:
    talk.tenant, talk.screen.dies_at = "acme", "computed"
    with pytest.raises(DiedError):
        await talk.handle(said(QUESTION))
    talk.tenant = ""
    await talk.handle(said(QUESTION))
    assert [asked.tenant for asked in talk.asked] == ["acme", ""]


async def test_a_stored_answer_of_which_nobody_knows_who_may_read_it_is_computed_again(talk: Talk) -> None:
    message = said(QUESTION)
    talk.screen.dies_at = "computed"
    with pytest.raises(DiedError):
        await talk.handle(message)
    entry = await talk.ledger.open(message.turn_id, await talk.lease(message))
    await entry.save(replace(entry.record, audiences=()))
    await talk.handle(message)
    assert len(talk.asked) == 2


@pytest.mark.parametrize(("step", "before", "after"), [("computed", PUBLIC, INTERNAL), ("stands", INTERNAL, PUBLIC)])
async def test_a_stored_answer_goes_to_whom_it_was_meant_for_and_stays_where_it_stands(
    talk: Talk, step: Step, before: frozenset[str], after: frozenset[str]
) -> None:
    talk.readers, talk.screen.dies_at = before, step
    with pytest.raises(DiedError):
        await talk.handle(said(QUESTION))
    talk.readers = after
    await talk.handle(said(QUESTION))
    assert talk.screen.texts() == [ANSWER]
    assert len(talk.asked) == 1


async def test_the_last_question_edited_is_answered_in_place_and_kept_once(talk: Talk) -> None:
    question = said(QUESTION)
    await talk.handle(question)
    talk.answerer.pieces = ("Contractors have none. [1]",)
    logged = turn(await talk.handle(edited(question, "How many holidays do contractors have?", 2)))
    assert talk.screen.texts() == ["Contractors have none. [1]"]
    assert await talk.remembered() == [("How many holidays do contractors have?", "Contractors have none. [1]")]
    assert (logged.turn_id, logged.reply_id) == (question.turn_id, "p1")
    assert logged.answer == "Contractors have none. [1]"


async def test_an_edited_question_is_not_its_own_history(talk: Talk) -> None:
    question = said(QUESTION)
    await talk.handle(question)
    talk.finder.queries.clear()
    await talk.handle(edited(question, "And for contractors on holiday?", 2))
    assert [query.history for query in talk.finder.queries] == [()]


async def test_a_question_edited_twice_is_answered_in_the_same_place(talk: Talk) -> None:
    question = said(QUESTION)
    await talk.handle(question)
    for number, text in enumerate(("First", "Second"), start=2):
        talk.answerer.pieces = (f"{text}. [1]",)
        await talk.handle(edited(question, f"{text} holiday?", number))
    assert talk.screen.texts() == ["Second. [1]"]
    assert await talk.remembered() == [("Second holiday?", "Second. [1]")]


@pytest.mark.parametrize("step", get_args(Step))
async def test_an_edit_redelivered_after_a_crash_stays_in_place(talk: Talk, step: Step) -> None:
    question = said(QUESTION)
    await talk.handle(question)
    talk.screen.dies_at = step
    talk.answerer.pieces = ("None. [1]",)
    edit = edited(question, "And on holiday?", 2)
    with pytest.raises(DiedError):
        await talk.handle(edit)
    assert turn(await talk.handle(edit)).turn_id == question.turn_id
    assert talk.screen.texts() == ["None. [1]"]
    assert await talk.remembered() == [("And on holiday?", "None. [1]")]


async def test_an_edit_redelivered_after_its_intent_alone_was_stored_stays_in_place(talk: Talk) -> None:
    question = said(QUESTION)
    await talk.handle(question)
    edit = edited(question, "And on holiday?", 2)
    await talk.ledger.open(edit.turn_id, await talk.lease(edit))
    await talk.handle(edit)
    assert len(talk.screen.posts) == 1


async def test_an_older_question_edited_stands_as_it_is(talk: Talk) -> None:
    first, second = said(QUESTION, 1), said("Is there holiday pay?", 2)
    await talk.handle(first)
    await talk.handle(second)
    assert not await talk.handle(edited(first, "How many holidays?", 3))
    assert len(talk.asked) == 2
    assert [question for question, _ in await talk.remembered()] == [QUESTION, "Is there holiday pay?"]


async def test_edits_count_against_the_limits_as_questions_do(redis: Redis, keys: Keys) -> None:
    talk = Talk(redis, keys, user_per_minute=2)
    question = said(QUESTION)
    await talk.handle(question)
    for number in (2, 3, 4):
        await talk.handle(edited(question, f"holiday {number}?", number))
    assert len(talk.asked) == 2
    assert talk.screen.texts()[1:] == ["That is faster than I can answer. Please wait a minute and ask again."]


async def test_a_question_deleted_is_no_longer_remembered(talk: Talk) -> None:
    first, second = said(QUESTION, 1), said("Is there holiday pay?", 2)
    await talk.handle(first)
    await talk.handle(second)
    assert await talk.handle(deleted(first, 3)) == (ForgetTurnEntry(turn_id=first.turn_id),)
    assert [question for question, _ in await talk.remembered()] == ["Is there holiday pay?"]
    await talk.handle(deleted(said("never seen", 9), 4))
    assert len(await talk.remembered()) == 1


async def test_a_question_deleted_leaves_neither_its_reply_nor_those_to_its_edits(talk: Talk) -> None:
    question, edit = said(QUESTION), edited(said(QUESTION), "And on holiday?", 2)
    other = said(QUESTION, 3)
    for message in (question, edit, other, deleted(question, 4)):
        await talk.handle(message)
    known = [await talk.ledger.find(PLACE, message.turn_id) for message in (question, edit, other)]
    assert [record is not None for record in known] == [False, False, True]


async def test_who_asks_too_fast_is_told_once_and_not_answered(redis: Redis, keys: Keys) -> None:
    talk = Talk(redis, keys, user_per_minute=1)
    outcomes = [await talk.handle(said(QUESTION, number)) for number in (1, 2, 3)]
    assert [len(entries) for entries in outcomes] == [1, 0, 0]
    assert talk.screen.texts() == [ANSWER, "That is faster than I can answer. Please wait a minute and ask again."]
    assert len(talk.asked) == 1
    assert talk.figure("cotorra_messages_limited_total 2.0")


async def test_a_message_that_is_too_long_is_refused_with_the_figures(redis: Redis, keys: Keys) -> None:
    talk = Talk(redis, keys, message_characters=100)
    assert not await talk.handle(said("x" * 101))
    [sentence] = talk.screen.texts()
    assert "101 characters; 100 at most" in sentence
    assert not talk.asked
    assert await talk.remembered() == []


async def test_what_the_service_says_itself_is_in_the_language_of_the_question(redis: Redis, keys: Keys) -> None:
    talk = Talk(redis, keys, user_per_minute=1)
    await talk.handle(said(QUESTION, 1))
    await talk.handle(said(SPANISH, 2))
    assert talk.screen.texts()[1].startswith("Vas más rápido")


@pytest.mark.parametrize("message", [said(QUESTION), edited(said(QUESTION), "x", 2), deleted(said(QUESTION), 2)])
async def test_a_memory_that_is_away_is_a_store_that_is_away(
    redis: Redis, keys: Keys, message: IncomingMessage
) -> None:
    async with connect("unix:///nowhere/redis.sock") as nowhere:
        talk = Talk(redis, keys, memory=nowhere)
        with pytest.raises(StoreUnavailable):
            await talk.handle(message)


async def test_a_failure_ends_in_one_sentence_with_its_reference(talk: Talk) -> None:
    message = said(QUESTION)
    talk.answerer.error = IndexUnavailable("the index is away")
    with pytest.raises(IndexUnavailable):
        await talk.handle(message)
    await talk.apologise(message)
    await talk.apologise(message)
    [sentence] = talk.screen.texts()
    assert message.turn_id in sentence
    assert sentence.startswith("Sorry")
    assert await talk.remembered() == []
    assert talk.figure('cotorra_messages_answered_total{outcome="failed",platform="slack"}')


@pytest.mark.parametrize(("text", "language"), [(SPANISH, None), (SPANISH, "en"), ("RTFM", "es")])
async def test_an_apology_is_in_spanish_for_who_speaks_spanish(talk: Talk, text: str, language: str | None) -> None:
    message = said(text, language=language)
    await talk.apologise(message)
    assert talk.screen.texts()[0].startswith("Lo siento")
    assert message.turn_id in talk.screen.texts()[0]


@pytest.mark.parametrize("step", [None, "stands"])
async def test_a_message_retried_after_an_apology_is_answered_in_its_place(talk: Talk, step: Step | None) -> None:
    message = said(QUESTION)
    talk.screen.dies_at = step
    if step:
        with pytest.raises(DiedError):
            await talk.apologise(message)
    await talk.apologise(message)
    await talk.handle(message)
    assert talk.screen.texts() == [ANSWER]
    assert await talk.remembered() == [(QUESTION, ANSWER)]


async def test_nobody_apologises_for_an_answer_that_stands(talk: Talk) -> None:
    message = said(QUESTION)
    await talk.handle(message)
    await talk.apologise(message)
    assert talk.screen.texts() == [ANSWER]


async def test_files_that_were_not_read_are_named(talk: Talk) -> None:
    logged = turn(await talk.handle(said(QUESTION, attachments=("plan.pdf", "photo.png"))))
    unread = "I cannot read attached files, so I did not look at: plan.pdf, photo.png."
    assert talk.screen.texts() == [f"{ANSWER}\n\n{unread}"]
    assert logged.answer == ANSWER


@pytest.mark.parametrize(
    ("conversation", "text", "shown"),
    [
        ("telegram:7:0", "What is the meaning of life?", True),
        ("telegram:7:0", QUESTION, False),
        ("telegram:7:0", "thanks!", False),
        ("slack:T1:D1:1.0", "What is the meaning of life?", False),
    ],
)
async def test_customers_alone_are_told_whom_to_turn_to_when_the_bot_does_not_know(
    talk: Talk, conversation: str, text: str, shown: bool
) -> None:
    await talk.handle(said(text, conversation=conversation))
    [sentence] = talk.telegram.texts() + talk.screen.texts()
    assert ("help@example.com" in sentence) is shown


async def test_an_abstention_is_logged_as_one(talk: Talk) -> None:
    logged = turn(await talk.handle(said("What is the meaning of life?")))
    assert (logged.outcome, logged.cited) == ("abstained", ())
    assert talk.figure('cotorra_messages_answered_total{outcome="abstained",platform="slack"} 1.0')
