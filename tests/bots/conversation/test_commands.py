"""new, forget, sources, help: the same on every platform, and forgetting reaches every store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.metrics import Metrics
from bots.queue.outbox import ForgetEntry, Outbox, OutboxEntry
from bots.queue.recorder import Recorder
from bots.queue.worker import Worker
from bots.settings import WorkerSettings
from rag.types import Hit
from tests.bots.answering_scene import INTERNAL, PLACE, PUBLIC, Talk, deleted, edited, ordered, said
from tests.rag.fakes import passage
from tests.waiting import until
from tuning.conversations.log import ConversationLog

QUESTION = "How many days of holiday do I have?"
CHANNEL = "slack:T1:C1:1.0"


@pytest.fixture
def talk(redis: Redis, keys: Keys) -> Talk:
    return Talk(redis, keys, contact="Write to help@example.com.")


async def told(talk: Talk, message: IncomingMessage) -> str:
    await talk.handle(message)
    return talk.screen.texts()[-1]


async def group(talk: Talk) -> None:
    """Two people talk in a channel."""
    for number, sender in enumerate(("ada", "bob", "ada"), start=1):
        await talk.handle(said(QUESTION, number, conversation=CHANNEL, sender=sender, channel="public"))


async def speakers(talk: Talk) -> list[str]:
    return [exchange.speaker for exchange in await talk.memory.load(CHANNEL)]


async def test_new_starts_over_and_leaves_the_log_alone(talk: Talk) -> None:
    await talk.handle(said(QUESTION))
    assert not await talk.handle(ordered("new", 2))
    assert talk.screen.texts()[-1] == "Done. We start from scratch."
    assert await talk.remembered() == []


async def test_in_a_direct_chat_forget_takes_everything(talk: Talk) -> None:
    await talk.handle(said(QUESTION))
    command = ordered("forget", 2)
    [entry] = await talk.handle(command)
    assert entry == ForgetEntry(conversation=PLACE, speaker=None, at=command.received_at)
    assert await talk.remembered() == []
    assert await talk.ledger.find(PLACE, said(QUESTION).turn_id) is None
    assert talk.screen.texts()[-1] == "Done. Everything said in this conversation is deleted."


async def test_in_a_shared_place_forget_takes_ones_own_words(talk: Talk) -> None:
    await group(talk)
    [entry] = await talk.handle(ordered("forget", 9, conversation=CHANNEL, channel="public"))
    assert isinstance(entry, ForgetEntry)
    assert entry.speaker == "ada"
    assert await speakers(talk) == ["bob"]
    known = [await talk.ledger.find(CHANNEL, said("", n, conversation=CHANNEL).turn_id) for n in (1, 2, 3)]
    assert [record is not None for record in known] == [False, True, False]
    assert "Other people's words stay" in talk.screen.texts()[-1]


@pytest.mark.parametrize("word", ["all", "ALL", "todo"])
async def test_an_admin_may_forget_everybodys_words(talk: Talk, word: str) -> None:
    await group(talk)
    talk.screen.admins.add("bob")
    [entry] = await talk.handle(ordered("forget", 9, word, conversation=CHANNEL, channel="public", sender="bob"))
    assert isinstance(entry, ForgetEntry)
    assert entry.speaker is None
    assert await speakers(talk) == []


async def test_nobody_else_may_forget_everybodys_words(talk: Talk) -> None:
    await group(talk)
    assert not await talk.handle(ordered("forget", 9, "all", conversation=CHANNEL, channel="public"))
    assert talk.screen.texts()[-1].startswith("Only an admin")
    assert await speakers(talk) == ["ada", "bob", "ada"]


async def test_what_waits_or_was_set_aside_is_forgotten_and_recognised_no_more(talk: Talk) -> None:
    waits, broken = said(QUESTION, 1), said("broken", 2)
    await set_aside(talk, broken)
    await talk.inbox.accept(waits)
    await talk.handle(ordered("forget", 3))
    assert await talk.inbox.list_aside() == []
    assert await talk.inbox.queue_length() == 0
    assert [await talk.inbox.accept(each) for each in (waits, broken)] == [True, True]


async def test_a_question_deleted_is_no_longer_set_aside_nor_are_its_edits(talk: Talk) -> None:
    question, other = said("broken", 1), said("broken too", 3)
    for number, message in enumerate((question, edited(question, "still broken", 2), other), start=1):
        await set_aside(talk, message, number)
    await talk.handle(deleted(question, 4))
    assert [each.turn_id for each in await talk.inbox.list_aside()] == [other.turn_id]


async def test_what_was_asked_after_the_wish_to_forget_stays(talk: Talk) -> None:
    later = said(QUESTION, 5)
    await talk.inbox.accept(command := ordered("forget", 3))
    await talk.inbox.accept(later)
    await talk.handle(command)
    assert await talk.inbox.queue_length() == 2
    assert not await talk.inbox.accept(later)


async def test_the_log_forgets_turns_that_reach_it_after_the_wish_too(talk: Talk, tmp_path: Path) -> None:
    log = ConversationLog(f"sqlite:///{tmp_path / 'log.sqlite3'}", b"secret")
    log.upgrade()
    before = await talk.handle(said(QUESTION, 1))
    wish = await talk.handle(ordered("forget", 2))
    after = await talk.handle(said("Is there holiday pay?", 3))
    await recorded(talk, log, [*before, *wish, *before, *after])
    assert [shown.turn.question for shown in log.show(PLACE)] == ["Is there holiday pay?"]
    log.close()


async def test_forget_redelivered_after_a_crash_forgets_and_answers_once(talk: Talk) -> None:
    await talk.handle(said(QUESTION))
    command = ordered("forget", 2)
    first = await talk.handle(command)
    assert await talk.handle(command) == first
    assert len(talk.screen.posts) == 2


async def test_sources_lists_those_of_the_last_answer(talk: Talk) -> None:
    await talk.handle(said(QUESTION, 1))
    await talk.handle(said("thanks!", 2))
    lines = (await told(talk, ordered("sources", 3))).splitlines()
    assert lines == ["The last answer came from:", "", "1. [Page](https://help.example.com/Page)"]


async def test_sources_names_no_page_that_may_not_be_read_here_any_more(talk: Talk) -> None:
    internal = passage("Everybody has 27 days.", audience="employees")
    talk.finder.hits = {"holiday": [Hit(passage=internal, score=0.9)]}
    talk.readers = INTERNAL
    await talk.handle(said(QUESTION, 1))
    assert internal.title in await told(talk, ordered("sources", 2))
    talk.readers = PUBLIC
    assert await told(talk, ordered("sources", 3)) == "There is no answer with sources in this conversation yet."


async def test_sources_says_so_when_there_are_none(talk: Talk) -> None:
    assert await told(talk, ordered("sources", 1)) == "There is no answer with sources in this conversation yet."


@pytest.mark.parametrize("command", ["help", "start"])
async def test_help_and_start_explain_and_say_whom_to_turn_to(talk: Talk, command: str) -> None:
    text = await told(talk, ordered(command, 1))
    assert "**forget**" in text
    assert text.endswith("Write to help@example.com.")


async def test_an_unknown_command_gets_the_known_ones(talk: Talk) -> None:
    text = await told(talk, ordered("dance", 1, language="es-MX"))
    assert text.startswith("No conozco esa orden.")
    assert "**sources**" in text


async def test_a_command_is_neither_remembered_nor_computed(talk: Talk) -> None:
    await talk.handle(ordered("help", 1))
    assert await talk.remembered() == []
    assert not talk.asked
    assert talk.figure('cotorra_messages_answered_total{outcome="command",platform="slack"} 1.0')


async def set_aside(talk: Talk, message: IncomingMessage, count: int = 1) -> None:
    """Lets ``message`` fail until the worker gives up; it is the ``count``-th to lie aside."""

    async def fail(*_: object) -> list[OutboxEntry]:
        raise RuntimeError

    async def give_up(*_: object) -> None: ...

    await talk.inbox.accept(message)
    worker = Worker(talk.inbox, fail, give_up, WorkerSettings(tries=1), talk.metrics, backoff=lambda _: 0.0)

    async def aside() -> bool:
        return len(await talk.inbox.list_aside()) == count

    running = asyncio.create_task(worker.run())
    await until(aside)
    await worker.stop()
    await running


async def recorded(talk: Talk, log: ConversationLog, entries: list[OutboxEntry]) -> None:
    """Lets the recorder write ``entries`` in this order."""
    outbox = Outbox(talk.redis, talk.keys)
    for entry in entries:
        await outbox.post(entry)
    await Recorder(talk.redis, talk.keys, log, Metrics()).drain()
