"""The ledger of replies: the intent comes first, and only the holder of the lease may write."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from bots.errors import LeaseLost
from bots.keys import Keys
from bots.messages import OutgoingReply
from bots.queue.replies import LEDGER_SECONDS, Lease, Post, ReplyLedger, ReplyRecord
from rag.errors import StoreUnavailable
from rag.store.client import connect
from tuning.conversations.records import LoggedTurn

LEASE = Lease(conversation="c", token="mine")


@pytest.fixture
async def ledger(redis: Redis, keys: Keys) -> ReplyLedger:
    await redis.set(keys.lease("c"), LEASE.token)
    return ReplyLedger(redis, keys)


async def test_the_intent_is_stored_before_anything_is_sent_and_found_again(ledger: ReplyLedger) -> None:
    first = await ledger.open("t", LEASE)
    assert not first.resumed
    again = await ledger.open("t", LEASE)
    assert again.resumed
    assert again.record == first.record


async def test_every_confirmed_step_is_found_by_whoever_takes_over(
    ledger: ReplyLedger, redis: Redis, keys: Keys
) -> None:
    entry = await ledger.open("t", LEASE)
    await entry.save(entry.record.with_post(Post(id="", kind="stream")))
    await entry.save(entry.record.with_post(Post(id="1.2", kind="stream", shown=10)))
    final = OutgoingReply(turn_id="t", kind="answer", text="So it is. [1]")
    await entry.save(replace(entry.record, final=final, text="So it is."))
    await redis.set(keys.lease("c"), "theirs")
    theirs = await ledger.open("t", Lease(conversation="c", token="theirs"))
    assert theirs.resumed
    assert theirs.record.posts == (Post(id="1.2", kind="stream", shown=10),)
    assert theirs.record.final == final
    assert 0 < await redis.ttl(keys.reply("c", "t")) <= LEDGER_SECONDS


async def test_a_worker_that_lost_its_lease_cannot_write(ledger: ReplyLedger, redis: Redis, keys: Keys) -> None:
    entry = await ledger.open("t", LEASE)
    await redis.set(keys.lease("c"), "theirs")
    with pytest.raises(LeaseLost):
        await entry.save(replace(entry.record, finished=True))
    assert entry.record.finished is False
    found = await ledger.find("c", "t")
    assert found is not None
    assert not found.finished


async def test_without_any_lease_nothing_is_written(ledger: ReplyLedger, redis: Redis, keys: Keys) -> None:
    await redis.delete(keys.lease("c"))
    with pytest.raises(LeaseLost):
        await ledger.open("t", LEASE)
    assert await ledger.find("c", "t") is None


def test_a_second_post_is_added_and_the_same_one_is_replaced() -> None:
    record = ReplyRecord(turn_id="t", conversation="c", intended_at=datetime.now(UTC))
    record = record.with_post(Post(id="1", kind="stream", shown=5)).with_post(Post(id="1", kind="stream", done=True))
    record = record.with_post(Post(id="2", kind="message", start=5))
    assert [(post.id, post.done) for post in record.posts] == [("1", True), ("2", False)]


async def test_forgetting_reaches_one_speaker_or_all_but_the_turn_in_work(ledger: ReplyLedger) -> None:
    for turn, speaker in (("a", "ada"), ("b", "bob"), ("now", "ada")):
        entry = await ledger.open(turn, LEASE)
        logged = LoggedTurn(
            turn_id=turn,
            conversation="c",
            platform="slack",
            speaker=speaker,
            language="en",
            question="?",
            answer="!",
            outcome="answered",
            asked_at=datetime.now(UTC),
        )
        await entry.save(replace(entry.record, logged=logged))
    assert await ledger.forget("c", "ada", keep="now") == 1
    assert [await ledger.find("c", turn) is None for turn in ("a", "b", "now")] == [True, False, False]
    assert await ledger.forget("c", keep="now") == 1
    assert await ledger.find("c", "now") is not None


async def test_without_redis_nothing_is_known_and_that_is_said(keys: Keys) -> None:
    async with connect("unix:///nowhere/redis.sock") as away:
        with pytest.raises(StoreUnavailable, match="Redis does not answer"):
            await ReplyLedger(away, keys).find("c", "t")
