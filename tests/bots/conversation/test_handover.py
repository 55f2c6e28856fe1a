"""A conversation that a person was asked to take over: what the bot still does in it, and what no crash changes."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from redis.asyncio import Redis

from bots.conversation.audience import Readers
from bots.conversation.handover.case import EXCHANGE_CHARACTERS, compose, masked
from bots.conversation.handover.state import Handover, HandoverStore, resumption
from bots.errors import DeliveryRefused, DeliveryRetry, LeaseLost
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.queue.outbox import TurnEntry
from bots.queue.replies import Lease
from rag.types import Exchange
from tests.bots.answering_scene import INTERNAL, PLACE, PUBLIC, DiedError, Step, Talk, deleted, edited, ordered, said
from tests.bots.handover_channel import Board

WISH = "I want to talk to a person"
QUESTION = "How many days of holiday do I have?"
ANSWER = "Everybody has 27 days. [1]"
TOLD = "You would like to talk to a person.\n\nI have asked a person to take over"


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def talk(redis: Redis, keys: Keys, board: Board) -> Talk:
    return Talk(redis, keys, channel=board, contact="Write to help@example.com.")


async def redraw(talk: Talk) -> None:
    """Works off what waits about posts."""
    consumer = talk.inbox.consumer()
    await consumer.join()
    for ready in await consumer.read(100):
        head = await consumer.take(ready)
        while head is not None:
            head = await consumer.finish(head, await talk.conversations.handle(head.message, ready.lease))


@pytest.mark.parametrize("step", get_args(Step))
async def test_a_wish_redelivered_after_a_crash_is_told_once_to_both_sides(
    talk: Talk, board: Board, step: Step
) -> None:
    talk.screen.dies_at = step
    with pytest.raises(DiedError):
        await talk.handle(said(WISH))
    [entry] = await talk.handle(said(WISH))
    assert isinstance(entry, TurnEntry)
    assert entry.turn.outcome == "wants_person"
    assert len(board.posts) == 1
    [text] = talk.screen.texts()
    assert text.startswith(TOLD)
    assert talk.figure('cotorra_handovers_total{outcome="asked"} 1.0')


async def test_the_turn_is_remembered_as_one_without_an_answer(talk: Talk) -> None:
    await talk.handle(said(WISH))
    [kept] = await talk.memory.load(PLACE)
    assert not kept.answered


async def test_who_asks_too_fast_of_a_silent_bot_hears_nothing(redis: Redis, keys: Keys, board: Board) -> None:
    talk = Talk(redis, keys, channel=board, user_per_minute=1)
    await talk.handle(said(WISH))
    for number in range(2, 5):
        assert await talk.handle(said(QUESTION, number)) == ()
    assert len(talk.screen.posts) == 1


async def test_a_silent_bot_does_not_apologise(talk: Talk) -> None:
    await talk.handle(said(WISH))
    await talk.apologise(said(QUESTION, 2))
    assert len(talk.screen.posts) == 1


async def test_a_silent_bot_answers_no_edit(talk: Talk) -> None:
    wish = said(WISH)
    await talk.handle(said(QUESTION))
    await talk.handle(replace(wish, id="w", seen=("w",)))
    before = dict(talk.screen.posts)
    await talk.handle(said(QUESTION, 7, kind="edit", original="w"))
    assert talk.screen.posts == before


async def test_a_question_edited_into_a_wish_asks_people(talk: Talk, board: Board) -> None:
    question = said(QUESTION)
    await talk.handle(question)
    await talk.handle(edited(question, WISH, 2))
    assert len(board.posts) == 1
    assert talk.screen.texts()[0].startswith(TOLD)
    await talk.handle(said(QUESTION, 3))
    assert len(talk.screen.posts) == 1


async def test_an_answer_that_stood_before_is_still_logged(talk: Talk) -> None:
    question = said(QUESTION)
    first = await talk.handle(question)
    await talk.handle(said(WISH, 2))
    assert await talk.handle(question) == first


async def test_commands_are_obeyed_while_a_person_answers(talk: Talk) -> None:
    await talk.handle(said(QUESTION))
    await talk.handle(said(WISH, 2))
    await talk.handle(ordered("sources", 3))
    assert talk.screen.texts()[-1].startswith("The last answer came from")
    await talk.handle(ordered("person", 4))
    assert talk.screen.texts()[-1].startswith("A person was asked to take over here")
    assert len(talk.screen.posts) == 4


async def test_the_command_new_ends_it_and_the_post_says_so(talk: Talk, board: Board) -> None:
    await talk.handle(said(WISH))
    await talk.handle(ordered("new", 2))
    await redraw(talk)
    assert board.drawn["b1"].ended == "asker"
    await talk.handle(said(QUESTION, 3))
    assert talk.screen.texts()[-1] == ANSWER
    await talk.handle(said(WISH, 4))
    assert len(board.posts) == 2


async def test_the_message_deleted_in_which_somebody_wished_for_a_person_takes_the_wish_back(
    talk: Talk, board: Board
) -> None:
    wish = said(WISH)
    await talk.handle(wish)
    await talk.handle(deleted(wish, 2))
    await redraw(talk)
    assert board.posts == {}
    await talk.handle(said(QUESTION, 3))
    assert talk.screen.texts()[-1] == ANSWER


async def test_the_edit_deleted_in_which_somebody_wished_for_a_person_takes_the_wish_back(
    talk: Talk, board: Board
) -> None:
    question = said(QUESTION)
    await talk.handle(question)
    await talk.handle(edited(question, WISH, 2))
    await talk.handle(deleted(question, 3))
    await redraw(talk)
    assert board.posts == {}


async def test_a_resumption_redelivered_after_a_crash_tells_once_and_draws_once(talk: Talk, board: Board) -> None:
    wish = said(WISH)
    await talk.handle(wish)
    known = await HandoverStore(talk.redis, talk.keys).find(PLACE, wish.turn_id)
    assert known is not None
    resuming = resumption(known, "UANNA", wish.received_at)
    talk.screen.dies_at = "sent"
    with pytest.raises(DiedError):
        await talk.handle(resuming)
    await talk.handle(resuming)
    await redraw(talk)
    assert talk.screen.texts()[1:] == ["I am back and answer here again."]
    assert (board.drawn["b1"].ended, board.drawn["b1"].by) == ("resumed", "UANNA")


async def test_whoever_names_the_resumption_in_a_message_resumes_nothing(talk: Talk) -> None:
    await talk.handle(said(WISH))
    await talk.handle(ordered("resume", 2))
    assert talk.screen.texts()[-1].startswith("I do not know that command")
    assert await talk.handovers.current(PLACE) is not None


async def test_a_worker_that_lost_the_conversation_asks_nobody(talk: Talk, board: Board) -> None:
    message = said(WISH)
    await talk.redis.set(talk.keys.lease(PLACE), "another worker's")
    with pytest.raises(LeaseLost):
        await talk.conversations.handle(message, Lease(conversation=PLACE, token="token"))
    assert board.posts == {}


async def test_a_channel_that_takes_nothing_now_is_asked_again(talk: Talk, board: Board) -> None:
    board.failures = [DeliveryRetry("a limit", after=1.0, away=True)]
    with pytest.raises(DeliveryRetry):
        await talk.handle(said(WISH))
    await talk.handle(said(WISH))
    assert talk.screen.texts()[0].startswith(TOLD)


async def test_where_nobody_could_be_asked_the_next_wish_tries_again(talk: Talk, board: Board) -> None:
    board.failures = [DeliveryRefused("not_in_channel")]
    await talk.handle(said(WISH))
    assert "could not reach anybody" in talk.screen.texts()[0]
    await talk.handle(said(QUESTION, 2))
    await talk.handle(said(WISH, 3))
    assert talk.screen.texts()[1] == ANSWER
    assert talk.screen.texts()[2].startswith(TOLD)


async def test_what_another_release_wrote_keeps_nobody_silent(talk: Talk, redis: Redis, keys: Keys) -> None:
    wish = said(WISH)
    await talk.handle(wish)
    await redis.hset(keys.handovers(PLACE), wish.turn_id, '{"of": "another release"}')
    await talk.handle(said(QUESTION, 2))
    assert talk.screen.texts()[-1] == ANSWER
    await talk.forgetting.from_stores(PLACE, None, wish.received_at)


async def test_a_group_that_gets_another_id_stays_with_the_person(talk: Talk, board: Board) -> None:
    group, later = "telegram:-9:0", "telegram:-1009:0"
    wish = said(WISH, conversation=group)
    await talk.handle(wish)
    store = HandoverStore(talk.redis, talk.keys)
    for _ in range(2):  # Telegram tells it twice, once in each chat
        await store.move(group, later)
    await talk.handle(said(QUESTION, 2, conversation=later))
    assert len(talk.telegram.posts) == 1
    pressed = await store.find(group, wish.turn_id)
    assert pressed is not None
    await talk.handle(resumption(pressed, "UANNA", wish.received_at))
    await redraw(talk)
    assert talk.telegram.texts()[-1] == "I am back and answer here again."
    assert board.drawn["b1"].ended == "resumed"
    await talk.handle(said(QUESTION, 3, conversation=later))
    assert talk.telegram.texts()[-1] == ANSWER


async def test_what_was_said_is_not_kept_beside_the_conversation(talk: Talk, board: Board) -> None:
    await talk.handle(said(QUESTION))
    await talk.handle(said(WISH, 2))
    kept = str(await talk.redis.hgetall(talk.keys.handovers(PLACE)))
    assert "https://example.com/there" in kept
    assert WISH not in kept
    assert QUESTION not in kept
    assert board.posts["b1"].question == WISH


def exchange(audiences: tuple[str, ...], tenant: str = "", answer: str = "Answer [1].") -> Exchange:
    asked_at = said(QUESTION).received_at
    return Exchange(
        turn_id="t",
        question="Q",
        answer=answer,
        asked_at=asked_at,
        speaker="ada",
        audiences=audiences,
        tenant=tenant,
    )


@pytest.mark.parametrize(
    ("audiences", "tenant", "shown"),
    [
        (("public",), "", True),
        (("employees", "public"), "", True),
        (("board", "public"), "", False),
        ((), "", False),
        (("public",), "acme", True),
        (("public",), "other", False),
    ],
)
def test_people_are_shown_the_answers_that_all_of_them_may_read(
    audiences: tuple[str, ...], tenant: str, shown: bool
) -> None:
    [kept] = compose(
        handover(said(WISH)), WISH, "", [exchange(audiences, tenant)], Readers(audiences=INTERNAL, tenant="acme"), "en"
    ).exchanges
    assert (kept.answer == "Answer.") is shown
    assert (kept.answer is None) is not shown


def test_what_is_shown_is_bounded_and_the_newest() -> None:
    history = [exchange(("public",), answer=f"{number} " + "word " * 500) for number in range(9)]
    case = compose(handover(said(WISH)), WISH * 500, "s" * 9999, history, Readers(audiences=PUBLIC), "en")
    answers = [one.answer or "" for one in case.exchanges]
    assert [answer.split()[0] for answer in answers] == ["4", "5", "6", "7", "8"]
    assert all(len(answer) <= EXCHANGE_CHARACTERS for answer in answers)
    assert len(case.question) + len(case.summary) <= 2500


def test_secrets_are_masked_and_people_are_not() -> None:
    text = masked("I am Ana, ana@example.com, +34 600 123 456; api_key: abcd1234efgh5678", "en")
    assert "abcd1234" not in text
    assert "[secret]" in text
    assert "ana@example.com" in text
    assert "600 123 456" in text


def handover(message: IncomingMessage) -> Handover:
    at = message.received_at
    return Handover(conversation=PLACE, turn_id=message.turn_id, asked=message, since=at, until=at)
