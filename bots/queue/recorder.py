"""The recorder: moves turns, feedback and requests to forget from the outbox into the conversation log.

An entry is deleted from the stream after the log's commit. The log accepts the same entry twice, and drops a turn that comes
after the request to forget it. So a recorder always reads from the start of the stream, after a crash too, and needs no
consumer group; the lease only keeps several processes from doing the same work.
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
"""Entries that are read and committed together, at most."""
BLOCK_MILLISECONDS = 250
REST_SECONDS = 0.5
"""Pause after a batch that was not full, so that turns are committed together: each commit is a sync to the disk."""

LEASE_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 30.0
REFUSED_LENGTH = 10_000
"""Entries that the log refused are kept in a stream of at most this length."""


class Log(Protocol):
    """What the recorder needs of the conversation log. Methods block; after ``LogUnavailable`` the same call may work later."""

    def upgrade(self) -> None: ...

    def record(self, turns: Sequence[LoggedTurn]) -> object: ...

    def give_feedback(self, feedback: Sequence[LoggedFeedback]) -> object: ...

    def forget(self, conversation: str, speaker: str | None = None, before: datetime | None = None) -> object: ...

    def forget_turn(self, turn_id: str) -> object: ...


class NoLog:
    """The log when it is switched off: writes nothing new, but still forgets in ``existing``, the log of earlier times."""

    def __init__(self, existing: Log) -> None:
        self._existing = existing

    def upgrade(self) -> None:
        self._existing.upgrade()

    def record(self, turns: Sequence[LoggedTurn]) -> None: ...

    def give_feedback(self, feedback: Sequence[LoggedFeedback]) -> None: ...

    def forget(self, conversation: str, speaker: str | None = None, before: datetime | None = None) -> object:
        return self._existing.forget(conversation, speaker, before)

    def forget_turn(self, turn_id: str) -> object:
        return self._existing.forget_turn(turn_id)


class Observer(Protocol):
    """Receives the recorder's metrics."""

    def log_failure(self) -> None:
        """The log did not accept a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An entry of the outbox with its id in the stream and its bytes as stored there."""

    place: bytes
    raw: bytes
    entry: OutboxEntry


class Recorder:
    """One process's recorder. It waits while another process has the lease."""

    def __init__(self, redis: Redis, keys: Keys, log: Log, metrics: Observer) -> None:
        self._redis = redis
        self._keys = keys
        self._log = log
        self._metrics = metrics
        self._lease = Lease(redis, keys.of("outbox", "lease"), seconds=LEASE_SECONDS, right="recording")
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Records until :meth:`stop`. While the log or Redis does not answer, it tries again with growing pauses."""
        failures = 0
        ready = False
        while not self._stopping.is_set():
            try:
                if not ready:  # not before the loop: the database may start later than this process
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
        """Records the whole outbox. Raises ``LogUnavailable`` or ``StoreUnavailable``; entries stay in the outbox then."""
        while await self._lease.ensure() and await self._batch(block=None):
            pass
        await self._release()

    async def prune(self, before: datetime) -> None:
        """Deletes entries that the log refused before then. Raises ``StoreUnavailable``."""
        with store_errors("what the log refused is kept a while longer"):
            await self._redis.xtrim(self._refused, minid=int(before.timestamp() * 1000), approximate=False)

    async def _round(self) -> float:
        if not await self._lease.ensure():
            return LEASE_SECONDS / 3
        # An empty read has waited already, and behind a full batch there is more: only between the two a pause pays.
        return 0.0 if await self._batch(block=BLOCK_MILLISECONDS) in (0, BATCH) else REST_SECONDS

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _release(self) -> None:
        with suppress(StoreUnavailable):  # then it runs out by itself
            await self._lease.release()

    @property
    def _refused(self) -> str:
        return self._keys.of("outbox", "dead")

    async def _batch(self, *, block: int | None) -> int:
        """Records the first entries of the stream. Returns how many there were."""
        with store_errors("nothing was recorded"):
            streams: Any = await self._redis.xread({self._keys.outbox: "0"}, count=BATCH, block=block)
        entries: list[tuple[bytes, dict[bytes, bytes]]] = streams[0][1] if streams else []
        items = [item for item in [await self._load(*entry) for entry in entries] if item is not None]
        # groupby joins only neighbours of one type, so entries are written in the order in which they were posted.
        for _, run in groupby(items, key=lambda item: type(item.entry)):
            await self._write(list(run))
        return len(entries)

    async def _load(self, place: bytes, fields: dict[bytes, bytes]) -> Item | None:
        raw = fields.get(b"entry", b"")
        try:
            return Item(place=place, raw=raw, entry=load_entry(raw))
        except ValidationError as error:
            await self._set_aside(place, raw, error)
            return None

    async def _write(self, run: Sequence[Item]) -> None:
        """Writes entries of one type and deletes them from the stream. An entry that the log refuses is set aside by itself."""
        try:
            await self._dispatch([item.entry for item in run])
        except (LogUnavailable, StoreUnavailable):
            self._metrics.log_failure()
            raise
        except Exception as error:  # noqa: BLE001 - an entry that the log cannot take must not block the others
            self._metrics.log_failure()
            if len(run) > 1:
                # One bad entry fails the whole transaction; tried one by one, the good ones are written.
                for item in run:
                    await self._write([item])
            else:
                await self._set_aside(run[0].place, run[0].raw, error)
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
                await self._forget_refused(entry)
            elif isinstance(entry, ForgetTurnEntry):
                await asyncio.to_thread(self._log.forget_turn, entry.turn_id)
                await self._forget_refused(entry)

    async def _forget_refused(self, request: ForgetEntry | ForgetTurnEntry) -> None:
        """Deletes what is to be forgotten from the entries that the log refused."""
        with store_errors("not everything was forgotten yet"):
            refused: Any = await self._redis.xrange(self._refused)
            if places := [place for place, fields in refused if _concerns(fields.get(b"entry", b""), request)]:
                await self._redis.xdel(self._refused, *places)

    async def _set_aside(self, place: bytes, raw: bytes, error: Exception) -> None:
        """Moves an entry to the stream of refused entries, and logs its kind of error."""
        log.error("outbox_entry_set_aside", entry=place.decode(), error=type(error).__name__)
        with store_errors("the entry stays in the outbox"):
            # One transaction: a crash in between must neither lose the entry nor leave it at the stream's start.
            async with self._redis.pipeline() as pipe:
                pipe.xadd(self._refused, {"entry": raw, "error": type(error).__name__}, maxlen=REFUSED_LENGTH)
                pipe.xdel(self._keys.outbox, place)
                await pipe.execute()


def _concerns(raw: bytes, request: ForgetEntry | ForgetTurnEntry) -> bool:
    """Whether a refused entry is something that ``request`` wants forgotten."""
    try:
        entry = load_entry(raw)
    except ValidationError:
        return False
    if isinstance(request, ForgetTurnEntry):
        return _turn_of(entry) == request.turn_id
    if not isinstance(entry, TurnEntry) or entry.turn.conversation != request.conversation:
        return False
    return request.speaker in (None, entry.turn.speaker)


def _turn_of(entry: OutboxEntry) -> str | None:
    match entry:
        case TurnEntry(turn=turn):
            return turn.turn_id
        case FeedbackEntry(feedback=feedback):
            return feedback.turn_id
        case _:
            return None
