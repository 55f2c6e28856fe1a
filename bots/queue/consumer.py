"""The working half of the inbox: takes conversations, hands out their messages one by one, keeps the leases alive."""

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
"""How long a read waits for work; also how long a stop may wait for the read."""

FORGOTTEN_AFTER_SECONDS = 3600
"""A consumer that owns nothing and read nothing for so long belongs to a process that is gone."""

Reply = Sequence[bytes | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A conversation's entry in the ready stream, and the token under which this process works it off."""

    entry: str
    conversation: str
    token: str

    @property
    def lease(self) -> Lease:
        return Lease(conversation=self.conversation, token=self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first message of a conversation, and how many tries were begun with it, this one included."""

    ready: Ready
    message: IncomingMessage
    tries: int


class Consumer:
    """One process's membership in the group of workers. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: Redis, keys: Keys, *, lease_seconds: float) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._redis = redis
        self._keys = keys
        self._lease_ms = int(lease_seconds * 1000)
        self._held: dict[str, Ready] = {}
        self._claimed_to: bytes | str = "0-0"
        self._take = redis.register_script(scripts.TAKE)
        self._finish = redis.register_script(scripts.FINISH)
        self._hand_back = redis.register_script(scripts.HAND_BACK)
        self._renew = redis.register_script(scripts.RENEW)

    async def join(self) -> None:
        """Creates the group where it is missing and clears away consumers of processes long gone."""
        with store_errors("this worker cannot join"):
            try:
                await self._redis.xgroup_create(self._keys.ready, scripts.GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            for consumer in await self._redis.xinfo_consumers(self._keys.ready, scripts.GROUP):
                if consumer["pending"] == 0 and consumer["idle"] > FORGOTTEN_AFTER_SECONDS * 1000:
                    await self._leave(consumer["name"])

    async def read(self, count: int) -> list[Ready]:
        """New entries, ``count`` at most; waits a quarter of a second for the first."""
        with store_errors("no work was read"):
            try:
                found: Any = await self._redis.xreadgroup(
                    scripts.GROUP, self.name, {self._keys.ready: ">"}, count=count, block=BLOCK_MILLISECONDS
                )
            except ResponseError as error:
                await self._rejoin(error)
                return []
        return self._entries(found[0][1]) if found else []

    async def claim(self, count: int) -> list[Ready]:
        """Entries that their worker neither finished nor renewed for a lease's time.

        A call looks at ten times ``count`` entries, and the next one goes on from there: those that pause stay at the front.
        """
        with store_errors("no work was claimed"):
            try:
                # A tenth longer than the lease, so that the lease has run out when its entry is claimed.
                idle = int(self._lease_ms * 1.1)
                found: Any = await self._redis.xautoclaim(
                    self._keys.ready, scripts.GROUP, self.name, idle, start_id=self._claimed_to, count=count
                )
            except ResponseError as error:
                await self._rejoin(error)
                return []
        self._claimed_to = found[0]
        return self._entries(found[1])

    async def _rejoin(self, error: ResponseError) -> None:
        """The group is gone when Redis was emptied or failed over to a replica that never saw it."""
        if not str(error).startswith("NOGROUP"):
            raise error
        await self.join()

    @staticmethod
    def _entries(found: Iterable[tuple[bytes, dict[bytes, bytes] | None]]) -> list[Ready]:
        return [
            Ready(entry=entry.decode(), conversation=fields[b"conversation"].decode(), token=secrets.token_hex(8))
            for entry, fields in found
            if fields  # Redis 6.2 lists deleted entries as empty.
        ]

    async def take(self, ready: Ready, *, counted: bool = True) -> Head | None:
        """Takes (or keeps) the lease and begins a try of the first message.

        None when there is nothing to do, or another worker holds the lease; the entry then stays pending, to be claimed.
        ``counted`` is False when the last try ended without the message's fault.
        """
        conversation = ready.conversation
        names = (self._keys.lease, self._keys.queue, self._keys.messages, self._keys.tries, self._keys.mark)
        places = [*(name(conversation) for name in names), self._keys.ready]
        with store_errors("the conversation was not taken"):
            reply = await self._take(keys=places, args=[ready.token, ready.entry, self._lease_ms, int(counted)])
        return await self._head(ready, reply)

    async def done(self, head: Head, outbox: Sequence[OutboxEntry] = (), *, stop: bool = False) -> Head | None:
        """Takes the handled message off the queue together with posting ``outbox``, and begins the next one.

        None when the queue is empty, or with ``stop``: then the conversation was let go. Raises ``LeaseLost``.
        """
        return await self._end(head.ready, head.message.turn_id, [dump_entry(entry) for entry in outbox], stop=stop)

    async def set_aside(self, head: Head, error: str, *, stop: bool = False) -> Head | None:
        """Like :meth:`done`, but the message goes to those set aside."""
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
                self._held[ready.entry] = ready
                try:
                    return Head(ready=ready, message=IncomingMessage.from_json(raw), tries=tries)
                except ValidationError:
                    return await self._skip(ready, turn.decode(), raw.decode())
            case [b"lost"]:
                self._held.pop(ready.entry, None)
                raise LeaseLost(f"conversation {ready.conversation} was taken over by another worker")
            case _:
                self._held.pop(ready.entry, None)
                return None

    async def _skip(self, ready: Ready, turn: str, raw: str) -> Head | None:
        """Sets a message aside that an older or newer release accepted and this one cannot read."""
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
        """Renews every lease in one step; returns those that were lost."""
        held = list(self._held.values())
        if not held:
            return []
        places = [self._keys.ready, *(self._keys.lease(ready.conversation) for ready in held)]
        pairs = [value for ready in held for value in (ready.entry, ready.token)]
        with store_errors("leases were not renewed"):
            lost = {
                entry.decode() for entry in await self._renew(keys=places, args=[self.name, self._lease_ms, *pairs])
            }
        return [ready for ready in held if ready.entry in lost and self._held.pop(ready.entry, None) is not None]

    def abandon(self, ready: Ready) -> None:
        """Renews this lease no more; another worker takes over when it runs out."""
        self._held.pop(ready.entry, None)

    async def let_go(self, ready: Ready, *, uncount: bool = False) -> None:
        """Gives a conversation up, so that any worker takes it at once; ``uncount`` takes the begun try back."""
        self._held.pop(ready.entry, None)
        await self._give(ready, uncount=uncount)

    async def leave(self) -> None:
        """Gives everything up that was read and not finished, and leaves the group."""
        with store_errors("work is given up when its leases run out"):
            await self._give_pending(self.name, token="")
            await self._leave(self.name)

    async def take_over(self) -> None:
        """Breaks every lease. Only for whoever knows that no other worker lives: the service that owns COTORRA_HOME."""
        with store_errors("work is taken over when its leases run out"):
            await self._give_pending(None, token="*")  # noqa: S106

    async def _give_pending(self, consumer: str | None, *, token: str) -> None:
        pending = await self._redis.xpending_range(
            self._keys.ready, scripts.GROUP, "-", "+", 1_000_000, consumername=consumer
        )
        for each in pending:
            place = each["message_id"]
            found: Any = await self._redis.xrange(self._keys.ready, place, place)
            for ready in self._entries(found):
                await self._give(replace(ready, token=token))

    async def _give(self, ready: Ready, *, uncount: bool = False) -> None:
        conversation = ready.conversation
        names = (self._keys.lease, self._keys.queue, self._keys.tries, self._keys.mark)
        places = [*(name(conversation) for name in names), self._keys.ready]
        with store_errors("the conversation is given up when its lease runs out"):
            await self._hand_back(keys=places, args=[ready.token, ready.entry, conversation, int(uncount)])

    async def _leave(self, consumer: str | bytes) -> None:
        """Deleting a consumer deletes what is pending with it, so it goes only when nothing is."""
        if not await self._redis.xpending_range(self._keys.ready, scripts.GROUP, "-", "+", 1, consumername=consumer):
            await self._redis.xgroup_delconsumer(self._keys.ready, scripts.GROUP, consumer)
