"""The state of each source's syncs, in Redis: requests, the run in progress, and how the last run ended.

Requests are numbered. A run serves the requests that were made before it began; a later request is served by the next run, so
that nobody gets a report about documents as they were before the request. Each run has a token: a run that was believed dead and
was replaced by another one can write nothing more.
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
# A permission to shrink holds until a run that began with it has ended: a crash in between must not lose it.
# The fields of the run before are overwritten, its token too: from here on its writes are refused.
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
    """One run of a source's sync. ``starts`` counts the runs since the last one that ended, this one included."""

    source: str
    token: str
    allow_shrink: bool
    starts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """The state of a source. Times are Unix times, 0 means never.

    ``asked`` is the number of the last request, ``served`` of the last one that an ended run served, and ``covers`` of the last
    one that the latest run serves. ``done``, ``total`` (documents) and ``passages`` are that run's progress. ``recipe`` and
    ``configured`` belong to the last run that succeeded.
    """

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
        """The number of documents in the last report."""
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
        """Makes a request. Returns its number: a run that serves this number, or a later one, answers it."""
        with store_errors(_PURPOSE):
            return int(await self._ask(keys=[self._key(source)], args=[int(allow_shrink)]))

    async def begin(self, source: str) -> Run:
        """Begins a run, which replaces any other run of the source."""
        token = secrets.token_hex(8)
        with store_errors(_PURPOSE):
            allowed, starts = await self._begin(keys=[self._key(source)], args=[token])
        return Run(source=source, token=token, allow_shrink=bool(allowed), starts=int(starts))

    async def store_progress(self, run: Run, *, done: int, total: int, passages: int) -> None:
        """Stores the progress of a run, in documents and passages. Raises ``LeaseLost`` if another run replaced it."""
        with store_errors(_PURPOSE):
            stored = await self._tell(keys=[self._key(run.source)], args=[run.token, done, total, passages])
        if not stored:
            raise LeaseLost(f"the sync of {run.source} was taken over by another process")

    async def pause(self, run: Run) -> None:
        """Takes back a run's start, because the process stops on purpose and did not crash."""
        with store_errors(_PURPOSE):
            await self._pause(keys=[self._key(run.source)], args=[run.token])

    async def end(self, run: Run, report: SyncedSource, recipe: str, configured: str = "") -> None:
        """Ends a run and stores its report.

        ``recipe`` is the fingerprint for which everything was written, empty if the source failed; ``configured`` is the hash of
        the settings that the source was read with. Raises ``LeaseLost`` if another run replaced this one.
        """
        args: list[str | bytes | float] = [run.token, time.time(), _REPORT.dump_json(report), recipe, configured]
        with store_errors(_PURPOSE):
            ended = await self._end(keys=[self._key(run.source)], args=args)
        if not ended:
            raise LeaseLost(f"the sync of {run.source} was taken over by another process")

    async def clear_run(self, source: str) -> None:
        """Removes the run in progress, whose process is certainly dead. Its start stays counted, as that of a crash."""
        with store_errors(_PURPOSE):
            await self._redis.hdel(self._key(source), "run")

    async def state(self, source: str) -> SourceState:
        """The present state of a source."""
        with store_errors(_PURPOSE):
            values: Mapping[bytes, bytes] = await self._redis.hgetall(self._key(source))  # type: ignore[assignment]
        return _state({name.decode(): value for name, value in values.items()})

    async def clear_recipe(self, source: str) -> None:
        """Forgets for which recipe the source was last written.

        Another recipe is in use now. The old one's collection may be deleted meanwhile, so a return to it needs a new sync.
        """
        with store_errors(_PURPOSE):
            await self._redis.hdel(self._key(source), "recipe")

    async def drop(self, source: str) -> None:
        """Deletes the state of a source that is not configured any more."""
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
