"""The recorder: nothing lost, nothing twice, forgotten stays forgotten, and one bad entry blocks no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.queue.outbox import FeedbackEntry, ForgetEntry, ForgetTurnEntry, Outbox, TurnEntry
from bots.queue.recorder import NoLog, Recorder
from rag.errors import StoreUnavailable
from rag.store.client import connect
from tests.waiting import until
from tuning.conversations.log import ConversationLog
from tuning.conversations.records import LoggedFeedback, LoggedTurn
from tuning.errors import LogRefused, LogUnavailable

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def turn(number: int, *, conversation: str = "c", speaker: str = "ada", minutes: int = 0) -> LoggedTurn:
    return LoggedTurn(
        turn_id=f"{number:016x}",
        conversation=conversation,
        platform="slack",
        speaker=speaker,
        language="en",
        question="How?",
        answer="So.",
        outcome="answered",
        asked_at=NOON + timedelta(minutes=minutes),
    )


@dataclass
class ListLog:
    """A log in a list that can be made to fail."""

    turns: dict[str, LoggedTurn] = field(default_factory=dict)
    feedback: list[LoggedFeedback] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    fails: Callable[[Sequence[LoggedTurn]], Exception | None] = lambda turns: None
    failures: int = 0
    starts: list[Exception] = field(default_factory=list)
    upgraded: bool = False

    def upgrade(self) -> None:
        if self.starts:
            raise self.starts.pop()
        self.upgraded = True

    def record(self, turns: Sequence[LoggedTurn]) -> None:
        if error := self.fails(turns):
            raise error
        self.batches.append(len(turns))
        self.turns |= {turn.turn_id: turn for turn in turns}

    def give_feedback(self, feedback: Sequence[LoggedFeedback]) -> None:
        self.feedback += feedback

    def forget(self, conversation: str, speaker: str | None = None, before: datetime | None = None) -> None:
        self.turns.clear()

    def forget_turn(self, turn_id: str) -> None:
        self.turns.pop(turn_id, None)

    def log_failure(self) -> None:
        self.failures += 1


@pytest.fixture
def outbox(redis: Redis, keys: Keys) -> Outbox:
    return Outbox(redis, keys)


@asynccontextmanager
async def recording(redis: Redis, keys: Keys, log: ListLog) -> AsyncIterator[Recorder]:
    recorder = Recorder(redis, keys, log, log)
    running = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        await recorder.stop()
        await running


async def test_turns_and_feedback_reach_the_log_in_batches(outbox: Outbox, redis: Redis, keys: Keys) -> None:
    log = ListLog()
    for number in range(450):
        await outbox.post(TurnEntry(turn=turn(number)))
    word = LoggedFeedback(turn_id=turn(1).turn_id, speaker="ada", rating="up", given_at=NOON)
    await outbox.post(FeedbackEntry(feedback=word))
    await Recorder(redis, keys, log, log).drain()
    assert log.batches == [200, 200, 50]
    assert log.turns[turn(7).turn_id] == turn(7)
    assert log.feedback == [word]
    assert await outbox.length() == 0


async def test_what_is_posted_later_is_recorded_too(outbox: Outbox, redis: Redis, keys: Keys) -> None:
    log = ListLog()
    async with recording(redis, keys, log):
        await outbox.post(TurnEntry(turn=turn(1)))
        await until(lambda: len(log.turns) == 1)
        await outbox.post(TurnEntry(turn=turn(2)))
        await until(lambda: len(log.turns) == 2)


async def test_a_log_that_is_away_is_waited_for(outbox: Outbox, redis: Redis, keys: Keys) -> None:
    log = ListLog(fails=lambda _: LogUnavailable("away"))
    await outbox.post(TurnEntry(turn=turn(1)))
    async with recording(redis, keys, log):
        await until(lambda: log.failures >= 2)
        assert await outbox.length() == 1
        log.fails = lambda _: None
        await until(lambda: len(log.turns) == 1)


async def test_an_entry_that_the_log_refuses_or_nobody_can_read_blocks_no_other(
    outbox: Outbox, redis: Redis, keys: Keys
) -> None:
    bad = turn(2)
    log = ListLog(fails=lambda turns: LogRefused("no") if bad in turns else None)
    for number in (1, 2, 3):
        await outbox.post(TurnEntry(turn=turn(number)))
    await redis.xadd(keys.outbox, {"entry": b'{"type": "turn"}'})
    await Recorder(redis, keys, log, log).drain()
    assert sorted(log.turns) == [turn(1).turn_id, turn(3).turn_id]
    assert await outbox.length() == 0
    dead: Any = await redis.xrange(keys.of("outbox", "dead"))
    assert [fields[b"error"] for _, fields in dead] == [b"ValidationError", b"LogRefused"]


async def test_a_crash_between_commit_and_removal_records_nothing_twice(
    outbox: Outbox, redis: Redis, keys: Keys
) -> None:
    log = ListLog()
    await outbox.post(TurnEntry(turn=turn(1)))
    log.record([turn(1)])  # the recorder that died had come so far
    await Recorder(redis, keys, log, log).drain()
    assert list(log.turns) == [turn(1).turn_id]


async def test_forgetting_reaches_turns_before_it_and_turns_that_arrive_late(
    outbox: Outbox, redis: Redis, keys: Keys, tmp_path: Path
) -> None:
    log = ConversationLog(f"sqlite:///{tmp_path / 'log.sqlite3'}", b"secret")
    log.upgrade()
    await outbox.post(TurnEntry(turn=turn(1, minutes=0)))
    await outbox.post(TurnEntry(turn=turn(2, minutes=0, speaker="bob")))
    await outbox.post(ForgetEntry(conversation="c", speaker="ada", at=NOON + timedelta(minutes=5)))
    await outbox.post(TurnEntry(turn=turn(3, minutes=4)))
    await outbox.post(TurnEntry(turn=turn(4, minutes=4, speaker="bob")))
    await outbox.post(TurnEntry(turn=turn(5, minutes=6)))
    await Recorder(redis, keys, log, ListLog()).drain()
    assert {each.turn.turn_id for each in log.turns("c")} == {turn(number).turn_id for number in (2, 4, 5)}
    log.close()


async def test_forgetting_reaches_what_the_log_refused(outbox: Outbox, redis: Redis, keys: Keys) -> None:
    log = ListLog(fails=lambda turns: LogRefused("no"))
    await outbox.post(TurnEntry(turn=turn(1)))
    await Recorder(redis, keys, log, log).drain()
    log.fails = lambda _: None
    await outbox.post(ForgetEntry(conversation="c", at=NOON + timedelta(minutes=5)))
    await Recorder(redis, keys, log, log).drain()
    assert await redis.xlen(keys.of("outbox", "dead")) == 0


async def test_a_turn_alone_is_forgotten_in_the_log_and_among_what_it_refused(
    outbox: Outbox, redis: Redis, keys: Keys
) -> None:
    log = ListLog(fails=lambda turns: LogRefused("no") if turns[0].turn_id != turn(3).turn_id else None)
    for number in (1, 2, 3):
        await outbox.post(TurnEntry(turn=turn(number)))
        await Recorder(redis, keys, log, log).drain()
    for number in (1, 3):
        await outbox.post(ForgetTurnEntry(turn_id=turn(number).turn_id))
    await Recorder(redis, keys, NoLog(log), log).drain()
    refused: Any = await redis.xrange(keys.of("outbox", "dead"))
    assert [turn(2).turn_id.encode() in fields[b"entry"] for _, fields in refused] == [True]
    assert not log.turns


async def test_what_the_log_refused_is_deleted_when_it_is_too_old(outbox: Outbox, redis: Redis, keys: Keys) -> None:
    log = ListLog(fails=lambda turns: LogRefused("no"))
    recorder = Recorder(redis, keys, log, log)
    await outbox.post(TurnEntry(turn=turn(1)))
    await recorder.drain()
    kept = []
    for hours in (-1, 1):
        await recorder.prune(datetime.now(UTC) + timedelta(hours=hours))
        kept.append(await redis.xlen(keys.of("outbox", "dead")))
    assert kept == [1, 0]


async def test_one_recorder_is_at_work_and_another_takes_over_when_it_stops(
    outbox: Outbox, redis: Redis, keys: Keys
) -> None:
    first, second = ListLog(), ListLog()
    async with recording(redis, keys, first):
        await outbox.post(TurnEntry(turn=turn(1)))
        await until(lambda: len(first.turns) == 1)
        await Recorder(redis, keys, second, second).drain()
        assert not second.turns
    await outbox.post(TurnEntry(turn=turn(2)))
    await Recorder(redis, keys, second, second).drain()
    assert list(second.turns) == [turn(2).turn_id]


async def test_feedback_is_refused_when_redis_is_away(keys: Keys) -> None:
    async with connect("unix:///nowhere/redis.sock") as away:
        with pytest.raises(StoreUnavailable):
            await Outbox(away, keys).post(ForgetEntry(conversation="c", at=NOON))


async def test_a_log_that_is_switched_off_keeps_nothing_new_and_still_forgets(
    outbox: Outbox, redis: Redis, keys: Keys
) -> None:
    kept = ListLog(turns={"old": turn(1)})
    await outbox.post(TurnEntry(turn=turn(2)))
    await Recorder(redis, keys, NoLog(kept), kept).drain()
    assert list(kept.turns) == ["old"]
    await outbox.post(ForgetEntry(conversation="c", at=NOON))
    await Recorder(redis, keys, NoLog(kept), kept).drain()
    assert not kept.turns


async def test_a_log_that_is_away_at_the_start_is_brought_up_to_date_when_it_returns(redis: Redis, keys: Keys) -> None:
    log = ListLog(starts=[LogUnavailable("away"), LogUnavailable("still away")])
    await Outbox(redis, keys).post(TurnEntry(turn=turn(1)))
    async with recording(redis, keys, log):
        await until(lambda: bool(log.turns))
    assert log.upgraded
