"""The inbox: stores each message durably and only once, lists the waiting messages and removes some.

Handling them is the other half: ``bots/queue/consumer.py`` and ``bots/queue/worker.py``.
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
"""How long a redelivery is recognised: longer than Slack retries (an hour) and Telegram keeps an update (a day)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Sizes of the queues.

    ``queued``: messages that wait or are being handled; ``oldest_seconds``: the age of the oldest of them; ``aside``: messages
    set aside; ``outbox``: entries on their way into the log.
    """

    queued: int
    oldest_seconds: float
    aside: int
    outbox: int


class Inbox:
    """Messages by conversation, in Redis. ``arrivals`` reports a message that comes while others wait in its conversation.

    Every method raises ``StoreUnavailable`` if Redis does not answer.
    """

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
        """A new consumer of this inbox, with a unique name."""
        return Consumer(self._redis, self._keys, lease_seconds=self._settings.lease_seconds)

    async def accept(self, message: IncomingMessage) -> bool:
        """Stores ``message`` and wakes a worker, in one atomic step. Returns False if it was accepted before."""
        keys, conversation = self._keys, message.conversation
        seen = [keys.seen(key) for key in message.seen]
        names = (keys.queue, keys.messages, keys.mark)
        places = [*(name(conversation) for name in names), keys.ready, keys.waiting, keys.seen_of(conversation)]
        arguments: list[str | int] = [message.turn_id, message.to_json(), conversation, SEEN_SECONDS, keys.arrivals]
        # Seen keys are hashes that name nobody, so each is listed with its sender's digest: forgetting must find them.
        members = [f"{sender_digest(message.sender.id)}|{key}" for key in seen]
        # A platform may send a retry beside the first delivery, so looking and storing must be one script.
        with store_errors("the message was not accepted"):
            return bool(await self._accept(keys=[*places, *seen], args=[*arguments, *members]))

    async def backlog(self) -> Backlog:
        """Sizes of the queues, for metrics and readiness."""
        with store_errors("the backlog is unknown"):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zcard(self._keys.waiting)
                pipe.zrange(self._keys.waiting, 0, 0, withscores=True)
                pipe.time()
                pipe.hlen(self._keys.aside)
                pipe.xlen(self._keys.outbox)
                queued, oldest, (seconds, microseconds), aside, outbox = await pipe.execute()
        # Scores are times of Redis, so the age is measured by its clock and not by this machine's.
        now = seconds + microseconds / 1e6
        age = max(0.0, now - oldest[0][1] / 1000) if oldest else 0.0
        return Backlog(queued=queued, oldest_seconds=age, aside=aside, outbox=outbox)

    async def queue_length(self) -> int:
        """The number of messages that wait or are being handled."""
        return (await self.backlog()).queued

    async def list_aside(self) -> list[AsideMessage]:
        """Messages that were set aside, the oldest first."""
        with store_errors("messages set aside cannot be listed"):
            values = await self._redis.hvals(self._keys.aside)
        return sorted((AsideMessage.from_json(text(value)) for value in values), key=lambda aside: aside.at)

    async def senders(self, conversation: str) -> set[str]:
        """The ids of the people whose messages wait in a conversation or were set aside."""
        with store_errors("nothing was forgotten"):
            waiting = await self._redis.hvals(self._keys.messages(conversation))
        aside = [each.raw for each in await self.list_aside() if each.conversation == conversation]
        return {message.sender.id for raw in (*waiting, *aside) if (message := _parsed(raw)) is not None}

    async def prune(self, before: datetime) -> int:
        """Deletes messages that were set aside before then. Returns how many."""
        with store_errors("messages set aside are kept a while longer"):
            expired = [aside.turn_id for aside in await self.list_aside() if aside.at < before]
            return int(await self._redis.hdel(self._keys.aside, *expired)) if expired else 0

    async def retry(self, turn: str | None = None) -> int:
        """Puts one message (or all, for None) back at the end of its conversation's queue. Returns how many."""
        chosen = [aside for aside in await self.list_aside() if turn in (None, aside.turn_id)]
        count = 0
        for aside in chosen:
            conversation = aside.conversation
            names = (self._keys.queue, self._keys.messages, self._keys.mark)
            places = [self._keys.aside, *(name(conversation) for name in names), self._keys.ready, self._keys.waiting]
            with store_errors(f"message {aside.turn_id} stays set aside"):
                count += int(await self._put_back(keys=places, args=[aside.turn_id, aside.raw, conversation]))
        return count

    async def waiting(self, conversation: str, *, behind: str) -> list[IncomingMessage]:
        """Messages that wait behind the turn ``behind``, which is being handled. Unparsable ones are left out."""
        messages = self._keys.messages(conversation)
        with store_errors("what waits in a conversation is unknown"):
            # Nearly always only the turn in work is there: its text need not be fetched to see that.
            if await self._redis.hlen(messages) < 2:
                return []
            raws = await self._redis.hgetall(messages)
        others = [raw for turn, raw in raws.items() if text(turn) != behind]
        return [message for raw in others if (message := _parsed(raw)) is not None]

    async def drop(self, conversation: str, message_id: str) -> bool:
        """Removes a message of which no try was begun. Returns False if it is being handled, was handled or is unknown."""
        keys = self._keys
        names = (keys.queue, keys.messages, keys.tries)
        places = [*(name(conversation) for name in names), keys.waiting]
        with store_errors("the queued message was not dropped"):
            return bool(await self._drop(keys=places, args=[turn_id(message_id)]))

    async def drop_aside(self, conversation: str, turn: str) -> None:
        """Deletes from the messages set aside a turn and its edits."""
        with store_errors("the message stays set aside; try again"):
            if ids := [aside.turn_id for aside in await self.list_aside() if _belongs_to(aside, conversation, turn)]:
                await self._redis.hdel(self._keys.aside, *ids)

    async def forget(
        self, conversation: str, sender: str | None = None, *, command: IncomingMessage | None = None
    ) -> int:
        """Removes waiting and set-aside messages, of one sender or of all, with their seen keys. Returns the number of messages.

        ``command`` is the message that asks for it: it stays, and so do messages received after it.
        """
        with store_errors("nothing was forgotten"):
            raws = await self._redis.hgetall(self._keys.messages(conversation))
        waiting = {text(turn): text(raw) for turn, raw in raws.items()}
        aside = {each.turn_id: each.raw for each in await self.list_aside() if each.conversation == conversation}
        removed, retained = _split(aside | waiting, sender, command)
        names = (self._keys.queue, self._keys.messages, self._keys.tries)
        places = [*(name(conversation) for name in names), self._keys.waiting, self._keys.aside]
        with store_errors("not everything was forgotten; ask again"):
            count = int(await self._remove(keys=places, args=removed)) if removed else 0
            await self._forget_seen(conversation, sender, [*retained, *((command,) if command else ())])
        return count

    async def _forget_seen(self, conversation: str, sender: str | None, retained: Iterable[IncomingMessage]) -> None:
        """Deletes the seen keys of a sender (or of all), except those of the messages that stay."""
        place = self._keys.seen_of(conversation)
        # A redelivery of a message that stays would otherwise be answered again.
        spared = {self._keys.seen(key) for message in retained for key in message.seen}
        prefix = "" if sender is None else f"{sender_digest(sender)}|"
        members = [text(member) for member in await self._redis.zrange(place, 0, -1)]
        removed = [each for each in members if each.startswith(prefix) and each.partition("|")[2] not in spared]
        if removed:
            async with self._redis.pipeline() as pipe:
                pipe.delete(*(member.partition("|")[2] for member in removed))
                pipe.zrem(place, *removed)
                await pipe.execute()


def _split(
    raws: Mapping[str, str], sender: str | None, command: IncomingMessage | None
) -> tuple[Sequence[str], Sequence[IncomingMessage]]:
    """Turn ids to remove, and messages to retain. Unparsable messages have no known sender, so they go only with everybody's."""
    removed: list[str] = []
    retained: list[IncomingMessage] = []
    for turn, raw in raws.items():
        try:
            message = IncomingMessage.from_json(raw)
        except ValidationError:
            removed += [turn] if sender is None else []
            continue
        # The command itself is being handled, and it covers only what was received before it.
        later = command is not None and (turn == command.turn_id or message.received_at > command.received_at)
        if later or sender not in (None, message.sender.id):
            retained.append(message)
        else:
            removed.append(turn)
    return removed, retained


def _parsed(raw: bytes | str) -> IncomingMessage | None:
    """The message, or None if another release wrote it in another form."""
    try:
        return IncomingMessage.from_json(raw)
    except ValidationError:
        return None


def _belongs_to(aside: AsideMessage, conversation: str, turn: str) -> bool:
    """Whether a message that was set aside is the turn, or an edit of it."""
    if aside.conversation != conversation or aside.turn_id == turn:
        return aside.conversation == conversation
    try:
        return turn_id(aside.message.original) == turn
    except ValidationError:
        return False


def sender_digest(sender: str) -> str:
    """A short hash that stands for a person in keys that outlive the message."""
    return hashlib.sha256(sender.encode()).hexdigest()[:16]
