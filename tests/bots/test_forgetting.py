"""Forgetting while a worker answers: whichever comes last, nothing of the exchange stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from tests.bots.answering_scene import PLACE, DiedError, Step, Talk, edited, said

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
