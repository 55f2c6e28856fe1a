"""What is known of each source's syncs, in Redis: who asked, which run is under way, and how the last one ended.

Requests are numbered. A run answers the requests that were made before it began; who asks later gets the next one, so nobody is
told of documents as they were before. A run bears a token: one that was taken for dead and taken over writes nothing more.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter
from redis.asyncio import Redis

from bots.desk.seam import SyncedSource
from bots.errors import LeaseLost
from bots.keys import Keys
from rag.store.client import store_errors

_REPORT: TypeAdapter[SyncedSource] = TypeAdapter(SyncedSource)
_PURPOSE = "the sync goes on when it does"

_ASK = """
local number = redis.call('HINCRBY', KEYS[1], 'asked', 1)
if ARGV[1] == '1' then redis.call('HSET', KEYS[1], 'allowed', number) end
return number
"""
# A permission to shrink holds until a run that knew of it has ended.
_BEGIN = """
local asked = tonumber(redis.call('HGET', KEYS[1], 'asked') or 0)
local served = tonumber(redis.call('HGET', KEYS[1], 'served') or 0)
local allowed = tonumber(redis.call('HGET', KEYS[1], 'allowed') or 0)
local starts = redis.call('HINCRBY', KEYS[1], 'starts', 1)
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'covers', asked, 'done', 0, 'total', 0, 'passages', 0)
return {allowed > served and 1 or 0, starts}
"""
_TELL = """
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'done', ARGV[2], 'total', ARGV[3], 'passages', ARGV[4])
return 1
"""
_PAUSE = """
if redis.call('HGET', KEYS[1], 'run') == ARGV[1] then redis.call('HINCRBY', KEYS[1], 'starts', -1) end
"""
_END = """
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'served', redis.call('HGET', KEYS[1], 'covers'), 'ended', ARGV[2], 'report', ARGV[3], 'starts', 0)
redis.call('HDEL', KEYS[1], 'run')
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'succeeded', ARGV[2], 'recipe', ARGV[4], 'configured', ARGV[5])
end
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a source's sync; ``starts`` counts how often it began without an end, this time included."""

    source: str
    token: str
    allow_shrink: bool
    starts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """Where a source stands. Times are Unix times, 0 for never; ``recipe`` and ``configured`` are its last success's."""

    asked: int = 0
    served: int = 0
    covers: int = 0
    running: bool = False
    done: int = 0
    total: int = 0
    passages: int = 0
    ended: float = 0.0
    succeeded: float = 0.0
    recipe: str = ""
    configured: str = ""
    report: SyncedSource | None = None

    @property
    def expected(self) -> int:
        """How many documents the source had the last time."""
        last = self.report
        return 0 if last is None else last.added + last.changed + last.unchanged + len(last.skipped)


class Runs:
    """The states of all sources. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._ask = redis.register_script(_ASK)
        self._begin = redis.register_script(_BEGIN)
        self._tell = redis.register_script(_TELL)
        self._pause = redis.register_script(_PAUSE)
        self._end = redis.register_script(_END)

    def _key(self, source: str) -> str:
        return self._keys.of("sync", source)

    async def ask(self, source: str, *, allow_shrink: bool = False) -> int:
        """The number of a new request: it is answered by a run that serves this number or a later one."""
        with store_errors(_PURPOSE):
            return int(await self._ask(keys=[self._key(source)], args=[int(allow_shrink)]))

    async def begin(self, source: str) -> Run:
        """A new run in the place of any other."""
        token = secrets.token_hex(8)
        with store_errors(_PURPOSE):
            allowed, starts = await self._begin(keys=[self._key(source)], args=[token])
        return Run(source=source, token=token, allow_shrink=bool(allowed), starts=int(starts))

    async def tell(self, run: Run, *, done: int, total: int, passages: int) -> None:
        """How far a run has come. Raises ``LeaseLost`` when another run took its place."""
        with store_errors(_PURPOSE):
            told = await self._tell(keys=[self._key(run.source)], args=[run.token, done, total, passages])
        if not told:
            raise LeaseLost(f"the sync of {run.source} was taken over by another process")

    async def pause(self, run: Run) -> None:
        """The process stops on purpose: what goes on elsewhere is no sign of a source that kills."""
        with store_errors(_PURPOSE):
            await self._pause(keys=[self._key(run.source)], args=[run.token])

    async def end(self, run: Run, report: SyncedSource, recipe: str, configured: str = "") -> None:
        """The run is over; ``recipe`` names what everything was written for, and is empty where the source failed;
        ``configured`` names the settings that it was read with.

        Raises ``LeaseLost`` when another run took its place.
        """
        args: list[str | bytes | float] = [run.token, time.time(), _REPORT.dump_json(report), recipe, configured]
        with store_errors(_PURPOSE):
            ended = await self._end(keys=[self._key(run.source)], args=args)
        if not ended:
            raise LeaseLost(f"the sync of {run.source} was taken over by another process")

    async def bury(self, source: str) -> None:
        """A run under way is none any more: its process is dead for certain. It counts among the starts without an end."""
        with store_errors(_PURPOSE):
            await self._redis.hdel(self._key(source), "run")

    async def state(self, source: str) -> SourceState:
        """Where a source stands now."""
        with store_errors(_PURPOSE):
            values: Mapping[bytes, bytes] = await self._redis.hgetall(self._key(source))  # type: ignore[assignment]
        return _state({name.decode(): value for name, value in values.items()})

    async def disown(self, source: str) -> None:
        """What the source wrote for another recipe counts no more: that collection may be gone when it is wanted again."""
        with store_errors(_PURPOSE):
            await self._redis.hdel(self._key(source), "recipe")

    async def drop(self, source: str) -> None:
        """Nothing is known of a source that is no more."""
        with store_errors(_PURPOSE):
            await self._redis.delete(self._key(source))


def _state(values: Mapping[str, bytes]) -> SourceState:
    report = values.get("report")
    return SourceState(
        asked=int(values.get("asked", 0)),
        served=int(values.get("served", 0)),
        covers=int(values.get("covers", 0)),
        running="run" in values,
        done=int(values.get("done", 0)),
        total=int(values.get("total", 0)),
        passages=int(values.get("passages", 0)),
        ended=float(values.get("ended", 0)),
        succeeded=float(values.get("succeeded", 0)),
        recipe=values.get("recipe", b"").decode(),
        configured=values.get("configured", b"").decode(),
        report=_REPORT.validate_json(report) if report else None,
    )
