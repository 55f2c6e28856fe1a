"""Nobody waits for the rest of an answer once they went on: it ends, says so, and what came after it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from bots.conversation.stopping import nobody_waits, overtakes
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.queue.outbox import TurnEntry
from rag.answering.answerer import Piece, Quoted, Writer, Written
from rag.store.client import connect
from rag.types import AdapterRef, Exchange, Hit, Question
from tests.bots.answering_scene import INTERNAL, PLACE, Talk, deleted, edited, ordered, said

QUESTION = "How many days of holiday do I have?"


class Dictation:
    """Writes its first sentence, then waits as a slow model does; later answers are quick."""

    name = "slow"

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.stopped = asyncio.Event()
        self.histories: list[Sequence[Exchange]] = []
        self.adapters: list[AdapterRef | None] = []

    async def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[Piece]:
        self.histories.append(history)
        self.adapters.append(question.adapter)
        yield Writer(model=self.name, hits=tuple(hits))
        if len(self.histories) > 1:
            yield Quoted(text="Everybody has 27 days. [1]")
            return
        try:
            yield Written(text="Everybody has 27 days. [1] ")
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


@pytest.fixture
def writer() -> Dictation:
    return Dictation()


@pytest.fixture
def talk(redis: Redis, keys: Keys, writer: Dictation) -> Talk:
    return Talk(redis, keys, answerer=writer, adapter=AdapterRef(name="a", path="/a", digest="d"))


async def asked(talk: Talk, writer: Dictation, message: IncomingMessage, *later: IncomingMessage) -> Any:
    """What handling ``message`` comes to when ``later`` arrives while its answer is being written."""
    await talk.inbox.accept(message)
    handling = asyncio.create_task(talk.handle(message))
    await writer.begun.wait()
    for each in later:
        await talk.inbox.accept(each)
    async with asyncio.timeout(10):
        return await handling


async def test_an_answer_ends_when_its_asker_writes_again(talk: Talk, writer: Dictation) -> None:
    first, second = said(QUESTION), said("And for contractors on holiday?", 2)
    [entry] = await asked(talk, writer, first, second)
    assert writer.stopped.is_set()
    [text] = talk.screen.texts()
    assert text.startswith("Everybody has 27 days. [1]")
    assert len(text) > len("Everybody has 27 days. [1]")
    assert isinstance(entry, TurnEntry)
    await talk.handle(second)
    assert talk.screen.texts()[1] == "Everybody has 27 days. [1]"
    assert [each.question for each in writer.histories[1]] == [QUESTION]


async def test_an_answer_ends_when_its_question_is_taken_back_or_changed(talk: Talk, writer: Dictation) -> None:
    first = said(QUESTION)
    await asked(talk, writer, first, deleted(first, 2))
    assert writer.stopped.is_set()
    await talk.handle(deleted(first, 2))
    assert await talk.remembered() == []


async def test_an_answer_goes_on_when_somebody_else_writes(talk: Talk, writer: Dictation) -> None:
    first = said(QUESTION)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await asked(talk, writer, first, said("Hello there", 2, sender="ben"), ordered("help", 3))


@pytest.mark.parametrize(
    ("later", "over"),
    [
        (said("Again?", 2), True),
        (said("Again?", 2, sender="ben"), False),
        (edited(said(QUESTION), "And now?", 2), True),
        (edited(said("Another", 9), "And now?", 2), False),
        (deleted(said(QUESTION), 2), True),
        (deleted(said("Another", 9), 2), False),
        (ordered("new", 2), True),
        (ordered("forget", 2), True),
        (ordered("person", 2), True),
        (ordered("new", 2, sender="ben"), False),
        (ordered("sources", 2), False),
        (said("", 2, kind="handover", command="resume"), False),
    ],
)
def test_who_waits_no_longer(later: IncomingMessage, over: bool) -> None:
    assert overtakes(later, said(QUESTION)) is over


def test_the_answer_to_an_edit_is_overtaken_by_the_next_edit() -> None:
    question = said(QUESTION)
    assert overtakes(edited(question, "And?", 3), edited(question, "And now?", 2))


async def test_what_cannot_be_looked_up_stops_nothing(talk: Talk) -> None:
    away = connect("unix:///nowhere/redis.sock")
    inbox = Talk(away, talk.keys).inbox
    async with nobody_waits(inbox, said(QUESTION), grace=0) as abandoned:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(abandoned.wait(), 0.2)
    await away.aclose()


async def test_the_chain_is_told_the_adapter_and_memory_who_may_read_it_again(talk: Talk, writer: Dictation) -> None:
    talk.readers, talk.tenant = INTERNAL, "acme"
    writer.histories.append(())  # so that this one is quick
    await talk.handle(said(QUESTION))
    assert writer.adapters == [AdapterRef(name="a", path="/a", digest="d")]
    [kept] = await talk.memory.load(PLACE)
    assert (kept.audiences, kept.tenant, kept.answered) == (("employees", "public"), "acme", True)
    assert kept.speaker_name == "Name of ada"
