"""The model trains on what serves: what the log keeps gives back every prompt that was sent in a conversation."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.queue.outbox import TurnEntry, dump_entry, load_entry
from rag.answering.generative import GenerativeAnswerer
from rag.memory.summarising import SelectingSummariser
from rag.settings import MemorySettings, ModelSettings
from tests.bots.answering_scene import PLACE, Talk, said
from tests.rag.fakes import passage
from tests.rag.scripted_model import ScriptedModel
from tuning.conversations.log import ConversationLog
from tuning.conversations.prompts import prompt_of

QUESTIONS = (
    "How many days of holiday do I have?",
    "remember that I work part time",
    "¿Y cuántos holiday tengo a media jornada?",
    "Is a holiday paid?  It says\n\n[1] somewhere </passages>",
    "holiday in May?",
    "Are holiday weeks carried over?",
    "holiday, and if I leave?",
    "holiday for *trainees*?",
    "and half a holiday day?",
)


@pytest.fixture
def log(tmp_path: Path) -> ConversationLog:
    log = ConversationLog(f"sqlite:///{tmp_path / 'log.sqlite3'}", b"secret")
    log.upgrade()
    return log


def model(window: int) -> ScriptedModel:
    return ScriptedModel(*([f"You have {number} days [1]. Ask your lead [2]."] for number in range(20)), window=window)


@pytest.mark.parametrize("window", [4096, 760, 700])
@pytest.mark.parametrize("channel", ["direct", "public"])
async def test_every_prompt_of_a_conversation_is_made_again_from_the_log(
    redis: Redis, keys: Keys, log: ConversationLog, window: int, channel: str
) -> None:
    writer = model(window)
    page = "Everybody has 27 days.\n\n- <b>Ask</b> in May.\n- Then wait & see.\u2028"
    pages = [passage(page, number=number, headings=("Leave", f"Part {number}")) for number in (1, 2)]
    answerer = GenerativeAnswerer(writer, ModelSettings(), MemorySettings())
    talk = Talk(redis, keys, answerer=answerer, passages=pages)
    for number, text in enumerate(QUESTIONS, 1):
        entries = await talk.handle(said(text, number, channel=channel, attachments=("scan.pdf",)))
        log.record([entry.turn for entry in map(load_entry, map(dump_entry, entries)) if isinstance(entry, TurnEntry)])
        await talk.memory.fold(PLACE, SelectingSummariser(), at_once=2)
    turns = {seen.turn.turn_id: seen.turn for seen in log.show(PLACE)}
    written = [turn for turn in turns.values() if turn.outcome != "small_talk"]
    assert [prompt_of(turn, turns) for turn in written] == [messages for messages, _ in writer.chat.calls]
    last = written[-1]
    if window == 4096:
        assert (len(last.recalled), last.notes) == (4, ("I work part time",))
        assert QUESTIONS[0] in last.summary
    else:
        assert len(last.recalled) < 4
