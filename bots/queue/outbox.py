"""Outbox: a Redis stream of turns and feedback on their way into the conversation log.

It stands between the workers and the log, so that a slow or broken log delays no reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from redis.asyncio import Redis

from bots.keys import Keys
from rag.store.client import store_errors
from tuning.conversations.records import LoggedFeedback, LoggedTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEntry:
    """An answered question."""

    turn: LoggedTurn
    type: Literal["turn"] = "turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEntry:
    """One person's rating of a turn."""

    feedback: LoggedFeedback
    type: Literal["feedback"] = "feedback"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetEntry:
    """A request to forget everything that was asked in a conversation up to ``at``, by ``speaker`` or, if None, by anybody.

    ``speaker`` has the same form as in the turns. Turns asked up to ``at`` that reach the log later are dropped.
    """

    conversation: str
    at: datetime
    speaker: str | None = None
    type: Literal["forget"] = "forget"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetTurnEntry:
    """A request to forget one turn: its question was deleted on the platform."""

    turn_id: str
    type: Literal["forget_turn"] = "forget_turn"


OutboxEntry = TurnEntry | FeedbackEntry | ForgetEntry | ForgetTurnEntry
_ENTRIES: TypeAdapter[OutboxEntry] = TypeAdapter(Annotated[OutboxEntry, Field(discriminator="type")])


def dump_entry(entry: OutboxEntry) -> bytes:
    return _ENTRIES.dump_json(entry)


def load_entry(raw: bytes) -> OutboxEntry:
    """Raises ``pydantic.ValidationError`` on anything that :func:`dump_entry` did not write."""
    return _ENTRIES.validate_json(raw)


class Outbox:
    """Posts entries for receivers. Workers do not use it: they post in the step that finishes a message (``Consumer.finish``)."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def post(self, entry: OutboxEntry) -> None:
        """Stores ``entry`` durably. Raises ``StoreUnavailable``."""
        with store_errors("nothing was recorded"):
            await self._redis.xadd(self._keys.outbox, {"entry": dump_entry(entry)})

    async def length(self) -> int:
        """The number of entries that are not in the log yet. Raises ``StoreUnavailable``."""
        with store_errors("the length of the outbox is unknown"):
            return int(await self._redis.xlen(self._keys.outbox))
