"""The recorder: moves turns, feedback and wishes to be forgotten from the outbox into the conversation log.

An entry leaves the stream after the log's commit, and the log takes the same entry twice, or a turn after the wish to
forget it, without harm. So a recorder simply begins at the stream's start, after a crash too, and needs no consumer group;
the lease only keeps several processes from doing the same work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Protocol

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis

from bots.keys import Keys
from bots.queue.outbox import FeedbackEntry, ForgetEntry, ForgetTurnEntry, OutboxEntry, TurnEntry, load_entry
from rag.errors import StoreUnavailable
from rag.store.client import store_errors
from rag.store.lease import Lease
from tuning.conversations.records import LoggedFeedback, LoggedTurn
from tuning.errors import LogUnavailable

log = structlog.get_logger()

BATCH = 200
BLOCK_MILLISECONDS = 250
REST_SECONDS = 0.5
"""Between two batches that were not full: a commit for each turn would cost more than it brings."""

LEASE_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 30.0
DEAD_LENGTH = 10_000


class Log(Protocol):
    """What the recorder needs of the conversation log. All of it blocks; ``LogUnavailable`` asks to try again later."""

    def upgrade(self) -> None: ...

    def record(self, turns: Sequence[LoggedTurn]) -> object: ...

    def give_feedback(self, feedback: Sequence[LoggedFeedback]) -> object: ...

    def forget(self, conversation: str, speaker: str | None = None, before: datetime | None = None) -> object: ...

    def forget_turn(self, turn_id: str) -> object: ...


class NoLog:
    """The log that is switched off: keeps nothing new, and still forgets what it kept while it was on."""

    def __init__(self, kept: Log) -> None:
        self._kept = kept

    def upgrade(self) -> None:
        self._kept.upgrade()

    def record(self, turns: Sequence[LoggedTurn]) -> None: ...

    def give_feedback(self, feedback: Sequence[LoggedFeedback]) -> None: ...

    def forget(self, conversation: str, speaker: str | None = None, before: datetime | None = None) -> object:
        return self._kept.forget(conversation, speaker, before)

    def forget_turn(self, turn_id: str) -> object:
        return self._kept.forget_turn(turn_id)


class Observer(Protocol):
    """Where the recorder's figures go."""

    def log_failure(self) -> None:
        """The log did not take a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An entry, its place in the stream, and how it stands there."""

    place: bytes
    raw: bytes
    entry: OutboxEntry


class Recorder:
    """One process's recorder; it waits while another process's is at work."""

    def __init__(self, redis: Redis, keys: Keys, log: Log, metrics: Observer) -> None:
        self._redis = redis
        self._keys = keys
        self._log = log
        self._metrics = metrics
        self._lease = Lease(redis, keys.of("outbox", "lease"), seconds=LEASE_SECONDS, right="recording")
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Records until :meth:`stop`; a log or a Redis that is away is waited for."""
        failures = 0
        ready = False
        while not self._stopping.is_set():
            try:
                if not ready:
                    await asyncio.to_thread(self._log.upgrade)
                    ready = True
                pause = await self._round()
                failures = 0
            except (LogUnavailable, StoreUnavailable) as error:
                failures += 1
                pause = min(LONGEST_WAIT_SECONDS, 0.1 * 2**failures)
                log.warning("log_unavailable", error=type(error).__name__, waits=pause)
            await self._rest(pause)
        await self._release()

    async def stop(self) -> None:
        """:meth:`run` returns after the batch that it is writing."""
        self._stopping.set()

    async def drain(self) -> None:
        """Records what is there and returns. Raises ``LogUnavailable`` or ``StoreUnavailable``; then nothing is lost."""
        while await self._lease.ensure() and await self._batch(block=None):
            pass
        await self._release()

    async def prune(self, before: datetime) -> None:
        """Deletes what the log refused before then. Raises ``StoreUnavailable``."""
        with store_errors("what the log refused is kept a while longer"):
            await self._redis.xtrim(self._dead, minid=int(before.timestamp() * 1000), approximate=False)

    async def _round(self) -> float:
        if not await self._lease.ensure():
            return LEASE_SECONDS / 3
        return 0.0 if await self._batch(block=BLOCK_MILLISECONDS) in (0, BATCH) else REST_SECONDS

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _release(self) -> None:
        with suppress(StoreUnavailable):  # then it runs out by itself
            await self._lease.release()

    @property
    def _dead(self) -> str:
        return self._keys.of("outbox", "dead")

    async def _batch(self, *, block: int | None) -> int:
        """Records the first entries of the stream; says how many there were."""
        with store_errors("nothing was recorded"):
            found: Any = await self._redis.xread({self._keys.outbox: "0"}, count=BATCH, block=block)
        entries: list[tuple[bytes, dict[bytes, bytes]]] = found[0][1] if found else []
        items = [item for item in [await self._load(*entry) for entry in entries] if item is not None]
        for _, run in groupby(items, key=lambda item: type(item.entry)):
            await self._write(list(run))
        return len(entries)

    async def _load(self, place: bytes, fields: dict[bytes, bytes]) -> Item | None:
        raw = fields.get(b"entry", b"")
        try:
            return Item(place=place, raw=raw, entry=load_entry(raw))
        except ValidationError as error:
            await self._bury(place, raw, error)
            return None

    async def _write(self, run: Sequence[Item]) -> None:
        """Writes entries of one type and takes them off the stream; those that the log refuses are set aside alone."""
        try:
            await self._dispatch([item.entry for item in run])
        except (LogUnavailable, StoreUnavailable):
            self._metrics.log_failure()
            raise
        except Exception as error:  # noqa: BLE001 - an entry that the log cannot take must not block the others
            self._metrics.log_failure()
            if len(run) > 1:
                for item in run:
                    await self._write([item])
            else:
                await self._bury(run[0].place, run[0].raw, error)
            return
        with store_errors("what was recorded is recorded again, without harm"):
            await self._redis.xdel(self._keys.outbox, *(item.place for item in run))

    async def _dispatch(self, entries: Sequence[OutboxEntry]) -> None:
        """Calls of the log block, so they run in a thread."""
        if turns := [entry.turn for entry in entries if isinstance(entry, TurnEntry)]:
            await asyncio.to_thread(self._log.record, turns)
        if feedback := [entry.feedback for entry in entries if isinstance(entry, FeedbackEntry)]:
            await asyncio.to_thread(self._log.give_feedback, feedback)
        for entry in entries:
            if isinstance(entry, ForgetEntry):
                await asyncio.to_thread(self._log.forget, entry.conversation, entry.speaker, entry.at)
                await self._exhume(entry)
            elif isinstance(entry, ForgetTurnEntry):
                await asyncio.to_thread(self._log.forget_turn, entry.turn_id)
                await self._exhume(entry)

    async def _exhume(self, wish: ForgetEntry | ForgetTurnEntry) -> None:
        """What is to be forgotten must not lie among the entries that the log refused either."""
        with store_errors("not everything was forgotten yet"):
            dead: Any = await self._redis.xrange(self._dead)
            if gone := [place for place, fields in dead if _concerns(fields.get(b"entry", b""), wish)]:
                await self._redis.xdel(self._dead, *gone)

    async def _bury(self, place: bytes, raw: bytes, error: Exception) -> None:
        log.error("outbox_entry_set_aside", entry=place.decode(), error=type(error).__name__)
        with store_errors("the entry stays in the outbox"):
            async with self._redis.pipeline() as pipe:
                pipe.xadd(self._dead, {"entry": raw, "error": type(error).__name__}, maxlen=DEAD_LENGTH)
                pipe.xdel(self._keys.outbox, place)
                await pipe.execute()


def _concerns(raw: bytes, wish: ForgetEntry | ForgetTurnEntry) -> bool:
    try:
        entry = load_entry(raw)
    except ValidationError:
        return False
    if isinstance(wish, ForgetTurnEntry):
        return _turn_of(entry) == wish.turn_id
    if not isinstance(entry, TurnEntry) or entry.turn.conversation != wish.conversation:
        return False
    return wish.speaker in (None, entry.turn.speaker)


def _turn_of(entry: OutboxEntry) -> str | None:
    match entry:
        case TurnEntry(turn=turn):
            return turn.turn_id
        case FeedbackEntry(feedback=feedback):
            return feedback.turn_id
        case _:
            return None
