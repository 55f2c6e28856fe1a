"""Consumer of the inbox: takes conversations from the ready stream, hands out their messages one by one, renews the leases.

Each conversation with queued messages has one entry in the ready stream. A consumer reads the entry, takes the
conversation's lease, and works through its queue in order. The atomic steps are Lua scripts (``scripts.py``).
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from bots.errors import LeaseLost
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.queue import scripts
from bots.queue.aside import AsideMessage
from bots.queue.outbox import OutboxEntry, dump_entry
from bots.queue.replies import Lease
from rag.store.client import store_errors

BLOCK_MILLISECONDS = 250
"""How long a read waits for work, and so how long a stop may have to wait for the read to return."""

STALE_CONSUMER_SECONDS = 3600
"""A consumer of the group that has no pending entries and read nothing for so long belongs to a dead process."""

Reply = Sequence[bytes | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A conversation's entry in the ready stream, and the lease token under which this process handles the conversation."""

    entry: str
    conversation: str
    token: str

    @property
    def lease(self) -> Lease:
        return Lease(conversation=self.conversation, token=self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first message in a conversation's queue, and how many tries of it were begun, this one included."""

    ready: Ready
    message: IncomingMessage
    tries: int


class Consumer:
    """One process's member of the Redis consumer group. Every method may raise ``StoreUnavailable``."""

    def __init__(self, redis: Redis, keys: Keys, *, lease_seconds: float) -> None:
        # Random, since a container's host name and process id are often the same after a restart.
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._redis = redis
        self._keys = keys
        self._lease_ms = int(lease_seconds * 1000)
        self._leased: dict[str, Ready] = {}
        self._claim_cursor: bytes | str = "0-0"
        self._take = redis.register_script(scripts.TAKE)
        self._finish = redis.register_script(scripts.FINISH)
        self._hand_back = redis.register_script(scripts.HAND_BACK)
        self._renew = redis.register_script(scripts.RENEW)

    async def join(self) -> None:
        """Creates the group if it is missing, and deletes the consumers of dead processes from it."""
        with store_errors("this worker cannot join"):
            try:
                # From "0": conversations accepted before the first worker started are work too.
                await self._redis.xgroup_create(self._keys.ready, scripts.GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            for consumer in await self._redis.xinfo_consumers(self._keys.ready, scripts.GROUP):
                if consumer["pending"] == 0 and consumer["idle"] > STALE_CONSUMER_SECONDS * 1000:
                    await self._leave(consumer["name"])

    async def read(self, count: int) -> list[Ready]:
        """New entries of the ready stream, at most ``count``. Waits up to ``BLOCK_MILLISECONDS`` for the first."""
        with store_errors("no work was read"):
            try:
                streams: Any = await self._redis.xreadgroup(
                    scripts.GROUP, self.name, {self._keys.ready: ">"}, count=count, block=BLOCK_MILLISECONDS
                )
            except ResponseError as error:
                await self._rejoin(error)
                return []
        return self._entries(streams[0][1]) if streams else []

    async def claim(self, count: int) -> list[Ready]:
        """Entries whose worker died: neither finished nor renewed for the length of a lease. At most ``count``.

        Redis examines ten times ``count`` entries in one call; the next call continues behind them.
        """
        with store_errors("no work was claimed"):
            try:
                # A tenth longer than the lease, so that the lease has surely expired when its entry is claimed.
                idle = int(self._lease_ms * 1.1)
                # Continues where the last call stopped: entries in a long pause stay at the front of the pending list,
                # and a search from the start would never get past many of them.
                cursor, entries, *_ = await self._redis.xautoclaim(
                    self._keys.ready, scripts.GROUP, self.name, idle, start_id=self._claim_cursor, count=count
                )
            except ResponseError as error:
                await self._rejoin(error)
                return []
        self._claim_cursor = cursor
        return self._entries(entries)

    async def _rejoin(self, error: ResponseError) -> None:
        """Creates the group again: it is missing after Redis was emptied, or failed over to a replica that lacked it."""
        if not str(error).startswith("NOGROUP"):
            raise error
        await self.join()

    @staticmethod
    def _entries(entries: Iterable[tuple[bytes, dict[bytes, bytes] | None]]) -> list[Ready]:
        return [
            Ready(entry=entry.decode(), conversation=fields[b"conversation"].decode(), token=secrets.token_hex(8))
            for entry, fields in entries
            if fields  # XAUTOCLAIM of Redis 6.2 also returns entries that were deleted, without their fields.
        ]

    async def take(self, ready: Ready, *, counted: bool = True) -> Head | None:
        """Takes the lease, or keeps it, and begins a try of the first message.

        Returns None if the queue is empty or another worker has the lease; in the second case the entry stays pending, and
        is claimed later. ``counted`` is False if the last try ended without the message's fault.
        """
        conversation = ready.conversation
        names = (self._keys.lease, self._keys.queue, self._keys.messages, self._keys.tries, self._keys.mark)
        places = [*(name(conversation) for name in names), self._keys.ready]
        with store_errors("the conversation was not taken"):
            reply = await self._take(keys=places, args=[ready.token, ready.entry, self._lease_ms, int(counted)])
        return await self._head(ready, reply)

    async def finish(self, head: Head, outbox: Sequence[OutboxEntry] = (), *, stop: bool = False) -> Head | None:
        """Removes the handled message from the queue, posts ``outbox`` in the same atomic step, and begins the next message.

        Returns None after releasing the conversation: when its queue is empty, or with ``stop``. Raises ``LeaseLost``.
        """
        return await self._end(head.ready, head.message.turn_id, [dump_entry(entry) for entry in outbox], stop=stop)

    async def set_aside(self, head: Head, error: str, *, stop: bool = False) -> Head | None:
        """Like :meth:`finish`, but stores the message among those set aside."""
        aside = AsideMessage(
            turn_id=head.message.turn_id,
            conversation=head.ready.conversation,
            raw=head.message.to_json(),
            error=error,
            tries=head.tries,
            at=datetime.now(UTC),
        )
        return await self._end(head.ready, aside.turn_id, (), stop=stop, aside=aside.to_json())

    async def _end(
        self, ready: Ready, turn: str, outbox: Sequence[bytes], *, stop: bool, aside: str = ""
    ) -> Head | None:
        keys, conversation = self._keys, ready.conversation
        names = (keys.lease, keys.queue, keys.messages, keys.tries, keys.mark)
        places = [*(name(conversation) for name in names), keys.ready, keys.waiting, keys.outbox, keys.aside]
        arguments: list[str | int | bytes] = [ready.token, ready.entry, turn, conversation, int(stop), aside, *outbox]
        with store_errors("the end of the message was not stored"):
            reply = await self._finish(keys=places, args=arguments)
        return await self._head(ready, reply)

    async def _head(self, ready: Ready, reply: Reply) -> Head | None:
        match reply:
            case [b"head", bytes(turn), bytes(raw), int(tries)]:
                self._leased[ready.entry] = ready
                try:
                    return Head(ready=ready, message=IncomingMessage.from_json(raw), tries=tries)
                except ValidationError:
                    return await self._skip(ready, turn.decode(), raw.decode())
            case [b"lost"]:
                self._leased.pop(ready.entry, None)
                raise LeaseLost(f"conversation {ready.conversation} was taken over by another worker")
            case _:
                self._leased.pop(ready.entry, None)
                return None

    async def _skip(self, ready: Ready, turn: str, raw: str) -> Head | None:
        """Sets aside a message that this release cannot parse, because an older or newer one accepted it."""
        aside = AsideMessage(
            turn_id=turn,
            conversation=ready.conversation,
            raw=raw,
            error="the message cannot be read: another release accepted it",
            tries=0,
            at=datetime.now(UTC),
        )
        return await self._end(ready, turn, (), stop=False, aside=aside.to_json())

    async def renew(self) -> list[Ready]:
        """Renews every lease in one step. Returns the conversations whose leases were lost."""
        leased = list(self._leased.values())
        if not leased:
            return []
        places = [self._keys.ready, *(self._keys.lease(ready.conversation) for ready in leased)]
        pairs = [value for ready in leased for value in (ready.entry, ready.token)]
        with store_errors("leases were not renewed"):
            lost = {
                entry.decode() for entry in await self._renew(keys=places, args=[self.name, self._lease_ms, *pairs])
            }
        # Finished while Redis was asked: such a conversation has no lease any more, but it was not lost either.
        return [ready for ready in leased if ready.entry in lost and self._leased.pop(ready.entry, None) is not None]

    def abandon(self, ready: Ready) -> None:
        """Stops renewing this lease; another worker takes over when it expires."""
        self._leased.pop(ready.entry, None)

    async def release(self, ready: Ready, *, uncount: bool = False) -> None:
        """Releases a conversation, so that any worker can take it at once. ``uncount`` subtracts the try that was begun."""
        self._leased.pop(ready.entry, None)
        await self._release(ready, uncount=uncount)

    async def leave(self) -> None:
        """Releases every conversation that was read and not finished, and leaves the group."""
        with store_errors("work is given up when its leases run out"):
            await self._release_pending(self.name, token="")
            await self._leave(self.name)

    async def take_over(self) -> None:
        """Breaks every lease. Only for a caller that knows that no other worker is alive: the service that owns COTORRA_HOME."""
        with store_errors("work is taken over when its leases run out"):
            await self._release_pending(None, token="*")  # noqa: S106

    async def _release_pending(self, consumer: str | None, *, token: str) -> None:
        pending = await self._redis.xpending_range(
            self._keys.ready, scripts.GROUP, "-", "+", 1_000_000, consumername=consumer
        )
        for each in pending:
            place = each["message_id"]
            entries: Any = await self._redis.xrange(self._keys.ready, place, place)
            for ready in self._entries(entries):
                await self._release(replace(ready, token=token))

    async def _release(self, ready: Ready, *, uncount: bool = False) -> None:
        conversation = ready.conversation
        names = (self._keys.lease, self._keys.queue, self._keys.tries, self._keys.mark)
        places = [*(name(conversation) for name in names), self._keys.ready]
        with store_errors("the conversation is given up when its lease runs out"):
            await self._hand_back(keys=places, args=[ready.token, ready.entry, conversation, int(uncount)])

    async def _leave(self, consumer: str | bytes) -> None:
        """Deletes a consumer from the group, unless entries are pending with it."""
        # XGROUP DELCONSUMER drops the consumer's pending entries: nobody could claim them any more.
        if not await self._redis.xpending_range(self._keys.ready, scripts.GROUP, "-", "+", 1, consumername=consumer):
            await self._redis.xgroup_delconsumer(self._keys.ready, scripts.GROUP, consumer)
