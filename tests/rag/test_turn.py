"""One turn: what comes with a question, what is answered without the chain, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from rag.chain import ConversationalChain
from rag.memory.conversation import FOLDED_AT_ONCE, ConversationMemory
from rag.memory.notes import PersonalNotes
from rag.settings import MemorySettings, RetrievalSettings
from rag.turn import Turn, Turns
from rag.types import Background, ChainEvent, Delta, Done, Hit, Question
from tests.rag.fakes import FakeAnswerer, FakeFinder, passage, question
from tests.rag.heard import wishes

PARCELS = Hit(passage=passage("Parcels arrive within three days."), score=0.9)
NOTE = "remember that I live in Vigo"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Stage:
    """Turns over a real memory and a few known passages."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        settings = MemorySettings(notes=True)
        self.memory = ConversationMemory(
            redis, settings, keys.memory, PersonalNotes(redis, settings, keys.notes, keys.notes_of)
        )
        self.answerer = FakeAnswerer("Within three ", "days. [1]")
        self.to_summarise: list[str] = []
        finder = FakeFinder({"parcel": [PARCELS]})
        chain = ConversationalChain(finder, self.answerer, RetrievalSettings(), wishes=wishes())
        self.turns = Turns(chain, self.memory, to_summarise=self.to_summarise.append)

    async def events(self, turn: Turn) -> list[ChainEvent]:
        return [event async for event in self.turns.answer(turn)]

    async def remember(self, asked: Question, text: str, *, replaces: bool = False) -> None:
        await self.turns.remember(asked, text, outcome="answered", asked_at=NOW, replaces=replaces)


@pytest.fixture
def stage(redis: Redis, keys: Keys) -> Stage:
    return Stage(redis, keys)


async def test_a_turn_is_answered_in_its_conversation_and_remembered(stage: Stage) -> None:
    first = await stage.turns.prepare(question("When do parcels arrive?"), alone=True)
    *_, done = await stage.events(first)
    assert isinstance(done, Done)
    await stage.remember(first.question, done.answer.text)
    second = await stage.turns.prepare(replace(question("And to Spain?"), turn_id="t2"), alone=True)
    assert [(each.question, each.answer) for each in second.history] == [
        ("When do parcels arrive?", "Within three days. [1]")
    ]


async def test_a_summary_is_asked_for_once_enough_turns_wait_for_it(stage: Stage) -> None:
    kept = MemorySettings().turns
    for number in range(kept + FOLDED_AT_ONCE):
        assert stage.to_summarise == []
        await stage.remember(replace(question(f"Question {number}?"), turn_id=f"t{number}"), "An answer.")
    assert stage.to_summarise == ["c1"]


async def test_a_past_that_is_given_takes_the_place_of_what_memory_holds(stage: Stage) -> None:
    asked = question("When do parcels arrive?")
    await stage.remember(asked, "Within three days. [1]")
    assert (await stage.turns.prepare(asked, alone=True, history=())).history == ()


async def test_a_wish_about_notes_is_obeyed_without_the_chain_and_its_reply_is_whole_at_once(stage: Stage) -> None:
    [done] = await stage.events(await stage.turns.prepare(question(NOTE), alone=True))
    assert isinstance(done, Done)
    assert (done.answer.outcome, stage.answerer.asked) == ("small_talk", [])
    later = await stage.turns.prepare(replace(question("When do parcels arrive?"), conversation="c2"), alone=True)
    assert later.question.background.notes == ("I live in Vigo",)


async def test_a_question_outside_any_conversation_notes_nothing(stage: Stage) -> None:
    events = await stage.events(Turn(question=question(NOTE), notes=False))
    assert any(isinstance(event, Delta) for event in events)
    assert await stage.memory.background("c1", "ana", {"public"}, alone=True) == Background()


async def test_a_turn_is_remembered_once_and_in_its_place_where_it_replaces_the_earlier_one(stage: Stage) -> None:
    asked = replace(question("When do parcels arrive?"), speaker_name="Ana", audiences=frozenset({"staff", "public"}))
    for _ in range(2):
        await stage.remember(asked, "Within three days. [1]")
    await stage.remember(replace(asked, text="When, please?"), "Soon. [1]", replaces=True)
    [kept] = await stage.memory.load("c1")
    assert (kept.question, kept.answer, kept.asked_at) == ("When, please?", "Soon. [1]", NOW)
    assert (kept.speaker, kept.speaker_name, kept.audiences) == ("ana", "Ana", ("public", "staff"))
