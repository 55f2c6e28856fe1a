"""The inbox: accepts a message once and for good; what waits can be looked into and taken out.

Working the messages off is the other half: ``bots/queue/consumer.py`` and ``bots/queue/worker.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from redis.asyncio import Redis

from bots.keys import Keys
from bots.messages import IncomingMessage, turn_id
from bots.queue import scripts
from bots.queue.arrivals import Arrivals
from bots.queue.aside import AsideMessage
from bots.queue.consumer import Consumer
from bots.settings import WorkerSettings
from rag.store.client import store_errors, text

SEEN_SECONDS = 3 * 24 * 3600
"""How long a redelivery is recognised. Slack retries for an hour, Telegram keeps an update for a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits: messages (those in work too), the age of the oldest in seconds, and what was set aside."""

    queued: int
    oldest_seconds: float
    aside: int
    outbox: int


class Inbox:
    """Messages by conversation, in Redis; ``arrivals`` tells of those that come while others wait.

    Every method raises ``StoreUnavailable`` when Redis does not answer."""

    def __init__(self, redis: Redis, keys: Keys, settings: WorkerSettings) -> None:
        self._redis = redis
        self._keys = keys
        self._settings = settings
        self.arrivals = Arrivals(redis, keys.arrivals)
        self._accept = redis.register_script(scripts.ACCEPT)
        self._put_back = redis.register_script(scripts.PUT_BACK)
        self._remove = redis.register_script(scripts.REMOVE)
        self._drop = redis.register_script(scripts.DROP)

    def consumer(self) -> Consumer:
        """The working half, under a name that no other process has."""
        return Consumer(self._redis, self._keys, lease_seconds=self._settings.lease_seconds)

    async def accept(self, message: IncomingMessage) -> bool:
        """Stores ``message`` and wakes a worker, in one atomic step; False if it was accepted before."""
        keys, conversation = self._keys, message.conversation
        seen = [keys.seen(key) for key in message.seen]
        names = (keys.queue, keys.messages, keys.mark)
        places = [*(name(conversation) for name in names), keys.ready, keys.waiting, keys.seen_of(conversation)]
        arguments: list[str | int] = [message.turn_id, message.to_json(), conversation, SEEN_SECONDS, keys.arrivals]
        left_behind = [f"{sender_digest(message.sender.id)}|{key}" for key in seen]
        with store_errors("the message was not accepted"):
            return bool(await self._accept(keys=[*places, *seen], args=[*arguments, *left_behind]))

    async def backlog(self) -> Backlog:
        """Figures for metrics and readiness."""
        with store_errors("the backlog is unknown"):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zcard(self._keys.waiting)
                pipe.zrange(self._keys.waiting, 0, 0, withscores=True)
                pipe.time()
                pipe.hlen(self._keys.aside)
                pipe.xlen(self._keys.outbox)
                queued, oldest, (seconds, microseconds), aside, outbox = await pipe.execute()
        now = seconds + microseconds / 1e6
        age = max(0.0, now - oldest[0][1] / 1000) if oldest else 0.0
        return Backlog(queued=queued, oldest_seconds=age, aside=aside, outbox=outbox)

    async def queue_length(self) -> int:
        """Messages that wait or are in work."""
        return (await self.backlog()).queued

    async def list_aside(self) -> list[AsideMessage]:
        """Messages set aside, the oldest first."""
        with store_errors("messages set aside cannot be listed"):
            values = await self._redis.hvals(self._keys.aside)
        return sorted((AsideMessage.from_json(text(value)) for value in values), key=lambda aside: aside.at)

    async def senders(self, conversation: str) -> set[str]:
        """Whose messages wait in a conversation or were set aside."""
        with store_errors("nothing was forgotten"):
            waiting = await self._redis.hvals(self._keys.messages(conversation))
        aside = [each.raw for each in await self.list_aside() if each.conversation == conversation]
        return {found.sender.id for raw in (*waiting, *aside) if (found := _readable(raw)) is not None}

    async def prune(self, before: datetime) -> int:
        """Deletes messages that were set aside before then; says how many."""
        with store_errors("messages set aside are kept a while longer"):
            gone = [aside.turn_id for aside in await self.list_aside() if aside.at < before]
            return int(await self._redis.hdel(self._keys.aside, *gone)) if gone else 0

    async def retry(self, turn: str | None = None) -> int:
        """Puts one message (all, for None) back at the end of its conversation's queue; says how many."""
        chosen = [aside for aside in await self.list_aside() if turn in (None, aside.turn_id)]
        done = 0
        for aside in chosen:
            conversation = aside.conversation
            names = (self._keys.queue, self._keys.messages, self._keys.mark)
            places = [self._keys.aside, *(name(conversation) for name in names), self._keys.ready, self._keys.waiting]
            with store_errors(f"message {aside.turn_id} stays set aside"):
                done += int(await self._put_back(keys=places, args=[aside.turn_id, aside.raw, conversation]))
        return done

    async def waiting(self, conversation: str, *, behind: str) -> list[IncomingMessage]:
        """What waits in a conversation beside the turn ``behind``, which is being handled. What cannot be read is left out."""
        messages = self._keys.messages(conversation)
        with store_errors("what waits in a conversation is unknown"):
            if await self._redis.hlen(messages) < 2:
                return []
            raws = await self._redis.hgetall(messages)
        return [found for turn, raw in raws.items() if text(turn) != behind and (found := _readable(raw)) is not None]

    async def drop(self, conversation: str, message_id: str) -> bool:
        """Takes out a message that still waits untouched; False if it is answered, being answered or unknown."""
        keys = self._keys
        names = (keys.queue, keys.messages, keys.tries)
        places = [*(name(conversation) for name in names), keys.waiting]
        with store_errors("the queued message was not dropped"):
            return bool(await self._drop(keys=places, args=[turn_id(message_id)]))

    async def drop_aside(self, conversation: str, turn: str) -> None:
        """Deletes a message that was set aside, and its edits that were."""
        with store_errors("the message stays set aside; try again"):
            if gone := [each.turn_id for each in await self.list_aside() if _says(each, conversation, turn)]:
                await self._redis.hdel(self._keys.aside, *gone)

    async def forget(
        self, conversation: str, sender: str | None = None, *, command: IncomingMessage | None = None
    ) -> int:
        """Removes waiting and set-aside messages (of one sender, or all) and their traces; says how many messages.

        ``command`` is the message that asks for it: it stays, and so does what was received after it.
        """
        with store_errors("nothing was forgotten"):
            raws = await self._redis.hgetall(self._keys.messages(conversation))
        waiting = {text(turn): text(raw) for turn, raw in raws.items()}
        aside = {each.turn_id: each.raw for each in await self.list_aside() if each.conversation == conversation}
        removed, kept = _split(aside | waiting, sender, command)
        names = (self._keys.queue, self._keys.messages, self._keys.tries)
        places = [*(name(conversation) for name in names), self._keys.waiting, self._keys.aside]
        with store_errors("not everything was forgotten; ask again"):
            count = int(await self._remove(keys=places, args=removed)) if removed else 0
            await self._forget_seen(conversation, sender, [*kept, *((command,) if command else ())])
        return count

    async def _forget_seen(self, conversation: str, sender: str | None, kept: Iterable[IncomingMessage]) -> None:
        """A message that stays keeps its seen keys, or its redelivery would be answered again."""
        place = self._keys.seen_of(conversation)
        spared = {self._keys.seen(key) for message in kept for key in message.seen}
        prefix = "" if sender is None else f"{sender_digest(sender)}|"
        members = [text(member) for member in await self._redis.zrange(place, 0, -1)]
        gone = [each for each in members if each.startswith(prefix) and each.partition("|")[2] not in spared]
        if gone:
            async with self._redis.pipeline() as pipe:
                pipe.delete(*(member.partition("|")[2] for member in gone))
                pipe.zrem(place, *gone)
                await pipe.execute()


def _split(
    raws: Mapping[str, str], sender: str | None, command: IncomingMessage | None
) -> tuple[Sequence[str], Sequence[IncomingMessage]]:
    """Turn ids to remove, messages to keep. What cannot be read goes only when everything goes."""
    removed: list[str] = []
    kept: list[IncomingMessage] = []
    for turn, raw in raws.items():
        try:
            message = IncomingMessage.from_json(raw)
        except ValidationError:
            removed += [turn] if sender is None else []
            continue
        later = command is not None and (turn == command.turn_id or message.received_at > command.received_at)
        if later or sender not in (None, message.sender.id):
            kept.append(message)
        else:
            removed.append(turn)
    return removed, kept


def _readable(raw: bytes | str) -> IncomingMessage | None:
    try:
        return IncomingMessage.from_json(raw)
    except ValidationError:
        return None


def _says(aside: AsideMessage, conversation: str, turn: str) -> bool:
    if aside.conversation != conversation or aside.turn_id == turn:
        return aside.conversation == conversation
    try:
        return turn_id(aside.message.original) == turn
    except ValidationError:
        return False


def sender_digest(sender: str) -> str:
    """What stands for a person in keys that outlive the message."""
    return hashlib.sha256(sender.encode()).hexdigest()[:16]
