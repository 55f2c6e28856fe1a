"""Forgetting while a worker answers: whichever comes last, nothing of the exchange stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from rag.memory.summarising import SelectingSummariser
from tests.bots.answering_scene import PLACE, DiedError, Step, Talk, deleted, edited, said
from tuning.conversations.privacy import pseudonym

QUESTION = "How many days of holiday do I have?"
LATER = timedelta(hours=1)


@pytest.fixture
def talk(redis: Redis, keys: Keys) -> Talk:
    return Talk(redis, keys)


async def replies(talk: Talk) -> int:
    return len([key async for key in talk.redis.scan_iter(talk.keys.reply(PLACE, "*"))])


async def forget(talk: Talk, speaker: str | None = None) -> None:
    await talk.forgetting.from_stores(PLACE, speaker, datetime.now(UTC))


@pytest.mark.parametrize("step", get_args(Step))
@pytest.mark.parametrize("speaker", [None, "ada"])
async def test_an_answer_that_a_wish_to_forget_overtook_leaves_nothing(
    talk: Talk, step: Step, speaker: str | None
) -> None:
    talk.screen.dies_at = step
    with pytest.raises(DiedError):
        await talk.handle(said(QUESTION))
    await forget(talk, speaker)
    assert not await talk.handle(said(QUESTION))
    assert await talk.remembered() == []
    assert await replies(talk) == 0


async def test_an_edit_that_a_wish_to_forget_overtook_leaves_nothing(talk: Talk) -> None:
    question = said(QUESTION)
    await talk.handle(question)
    edit = edited(question, "And on holiday?", 2)
    talk.screen.dies_at = "stands"
    with pytest.raises(DiedError):
        await talk.handle(edit)
    await forget(talk)
    assert not await talk.handle(edit)
    assert await talk.remembered() == []
    assert await replies(talk) == 0


async def test_an_apology_that_a_wish_to_forget_overtook_leaves_nothing(talk: Talk) -> None:
    await forget(talk)
    await talk.apologise(said(QUESTION))
    assert await replies(talk) == 0


async def test_what_is_said_after_the_wish_or_by_others_is_remembered(talk: Talk) -> None:
    await forget(talk, "ada")
    after = datetime.now(UTC) + LATER
    for message in (said(QUESTION, 1, sender="bob"), said(QUESTION, 2, received_at=after)):
        assert await talk.handle(message)
    assert len(await talk.remembered()) == 2


async def test_an_earlier_wish_that_comes_late_takes_nothing_back(talk: Talk) -> None:
    now = datetime.now(UTC)
    await talk.forgetting.from_stores(PLACE, None, now)
    await talk.forgetting.from_stores(PLACE, None, now - LATER)
    assert await talk.forgetting.covers(said(QUESTION, received_at=now))
    assert not await talk.forgetting.covers(said(QUESTION, received_at=now + LATER))
    assert 0 < await talk.redis.ttl(talk.keys.wishes(PLACE)) <= 24 * 3600


async def held(talk: Talk, words: str) -> list[str]:
    """Every key of Redis that holds the words somewhere."""
    await talk.redis.config_set("rdbcompression", "no")
    found = []
    async for key in talk.redis.scan_iter("*"):
        dump = await talk.redis.dump(key)
        if dump is not None and words.encode() in dump:
            found.append(key.decode())
    return found


async def talked_long(talk: Talk) -> None:
    """Ada's first words have gone into the summary that Bob's answers were given."""
    await talk.handle(said("How many days of holiday do ADAS-CHILDREN have?", 1, channel="public"))
    for number in range(2, 11):
        await talk.handle(said(QUESTION, number, sender="bob", channel="public"))
        await talk.memory.fold(PLACE, SelectingSummariser())


async def test_a_speaker_is_forgotten_in_the_summary_and_in_the_replies_that_were_given_it(talk: Talk) -> None:
    await talked_long(talk)
    kept = await held(talk, "ADAS-CHILDREN")
    assert [key for key in kept if key.endswith(":memory:summary")]
    assert [key for key in kept if ":reply:" in key]
    await forget(talk, "ada")
    assert await held(talk, "ADAS-CHILDREN") == []
    assert len(await talk.remembered()) == 4


async def test_a_deleted_question_goes_out_of_the_summary_too(talk: Talk) -> None:
    await talked_long(talk)
    await talk.handle(deleted(said("", 1), 20))
    assert await held(talk, "ADAS-CHILDREN") == []


async def test_a_person_is_forgotten_everywhere_by_the_pseudonym_that_the_log_shows(talk: Talk) -> None:
    await talk.handle(said("ADAS-WORDS and holiday?", 1, channel="public"))
    await talk.handle(said("remember that I like ADAS-WORDS", 2, channel="public"))
    assert await talk.inbox.accept(said("ADAS-WORDS wait", 3, channel="public"))
    await talk.handle(said("BOBS-WORDS and holiday?", 4, sender="bob", channel="public"))
    ada = pseudonym(b"secret", "ada")
    counts = await talk.forgetting.from_stores(PLACE, ada, datetime.now(UTC))
    assert counts == {"memory": 2, "notes": 1, "inbox": 1, "replies": 2}
    assert await held(talk, "ADAS-WORDS") == []
    assert await held(talk, "BOBS-WORDS")
    assert await talk.forgetting.covers(said(QUESTION, 5))
    assert not await talk.forgetting.covers(said(QUESTION, 5, sender="bob"))


async def test_who_forgets_a_private_conversation_forgets_notes_wherever_they_were_said(talk: Talk) -> None:
    elsewhere = "slack:T1:D1:2.0"
    await talk.handle(said("remember that I like ADAS-WORDS", 1, conversation=elsewhere))
    await talk.handle(said("/forget", 2, kind="command", command="forget"))
    assert not [key for key in await held(talk, "ADAS-WORDS") if ":notes" in key]


async def test_a_note_that_a_wish_to_forget_overtook_is_not_kept(talk: Talk) -> None:
    note = said("remember that I like ADAS-WORDS")
    talk.screen.dies_at = "sent"
    with pytest.raises(DiedError):
        await talk.handle(note)
    await forget(talk, "ada")
    assert not await talk.handle(note)
    assert await held(talk, "ADAS-WORDS") == []
