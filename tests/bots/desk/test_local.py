"""The terminal's desk remembers as the platforms do: turns, summary and notes, readable by who reads there."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.asyncio import Redis

from bots.conversation.audience import Readers
from bots.desk import operations
from bots.desk.local import SPEAKER, TerminalDesk
from bots.desk.operation import LocalDesk
from bots.desk.operations import OpenService
from bots.desk.seam import AskRequest, Complete
from bots.keys import Keys
from bots.queue.outbox import Outbox
from rag.chain import ConversationalChain
from rag.settings import RetrievalSettings
from rag.turn import Turns
from rag.types import Answer
from tests.bots.answering_scene import Talk
from tests.rag.heard import wishes
from tuning.conversations.privacy import pseudonym

PLACE = "terminal:here"
ELSEWHERE = "terminal:elsewhere"


class Terminal:
    """A desk over real stores and a few known passages."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.talk = Talk(redis, keys)
        self.to_summarise: list[str] = []
        chain = ConversationalChain(self.talk.finder, self.talk.answerer, RetrievalSettings(), wishes=wishes())
        self.desk = TerminalDesk(
            turns=Turns(chain, self.talk.memory, to_summarise=self.to_summarise.append),
            memory=self.talk.memory,
            outbox=Outbox(redis, keys),
            audiences=frozenset({"employees", "public"}),
        )
        unused = cast("Any", None)
        self.service = LocalDesk(
            OpenService(
                terminal=self.desk,
                retriever=unused,
                memory=self.talk.memory,
                inbox=self.talk.inbox,
                outbox=Outbox(redis, keys),
                forgetting=self.talk.forgetting,
                library=unused,
                readers=Readers(audiences=frozenset({"employees", "public"})),
            )
        )

    async def ask(self, text: str, conversation: str = PLACE) -> Answer:
        events = [event async for event in self.desk.ask(AskRequest(text=text, conversation=conversation))]
        assert isinstance(events[-1], Complete)
        return events[-1].answer


@pytest.fixture
def terminal(redis: Redis, keys: Keys) -> Terminal:
    return Terminal(redis, keys)


async def test_a_long_conversation_comes_with_its_summary_and_the_last_turns(terminal: Terminal) -> None:
    for number in range(8):
        await terminal.ask(f"What about holiday number {number}?")
    question = terminal.talk.asked[-1]
    assert [kept.question[-2] for kept in await terminal.talk.memory.load(PLACE)] == ["4", "5", "6", "7"]
    assert "holiday number 0?" in question.background.summary
    assert terminal.to_summarise == [PLACE]


async def test_what_the_terminal_is_told_to_remember_is_known_in_its_next_conversation(terminal: Terminal) -> None:
    assert "I work part time" in (await terminal.ask("remember that I work part time")).text
    await terminal.ask("How many days of holiday?", ELSEWHERE)
    assert [question.background.notes for question in terminal.talk.asked] == [("I work part time",)]
    assert (await terminal.ask("forget my notes")).text == "I have deleted your notes."


async def test_the_terminal_forgets_a_speaker_by_the_pseudonym_that_the_log_shows(terminal: Terminal) -> None:
    await terminal.ask("How many days of holiday?")
    request = operations.Forget(conversation=PLACE, speaker=pseudonym(b"secret", SPEAKER))
    counts = await terminal.service.call(operations.forget, request)
    assert counts["memory"] == 1
    assert await terminal.talk.memory.load(PLACE) == []


async def test_who_wants_a_person_at_a_terminal_is_told_that_nobody_can_come(terminal: Terminal) -> None:
    answer = await terminal.ask("can I talk to a person?")
    assert answer.outcome == "wants_person"
    assert answer.text.endswith("There is nobody whom I could ask to come. You can go on asking me.")
    assert not answer.answered
