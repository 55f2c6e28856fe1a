"""Forgetting: deletes a conversation, one person's part of it, or one turn from every store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from bots.conversation.handover.state import Handover, HandoverStore, redrawing
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.messages import turn_id as message_turn
from bots.queue.inbox import Inbox, sender_digest
from bots.queue.outbox import ForgetEntry
from bots.queue.replies import ReplyLedger
from rag.memory.conversation import ConversationMemory
from rag.store.client import store_errors

WISH_SECONDS = 24 * 3600
"""How long a request to forget is remembered: longer than any answer that was being written meanwhile, with its retries."""

_EVERYBODY = ""
"""The field of a request to forget what everybody said."""

# KEYS: the hash of requests. ARGV: whose words, the request's time in microseconds, seconds to live.
# Only a later time replaces an earlier one: requests may be stored out of order, and each covers all that came before it.
_WISH = """
if (tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0) < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""


class Forgetting:
    """Deletes from memory, notes, inbox, replies and handovers, and remembers the request for a day.

    A worker may be answering in the conversation meanwhile. The request is stored before anything is deleted, and a worker
    calls :meth:`covers` after its last write and then deletes what it wrote. So whichever of the two is last deletes all.

    ``pseudonym`` is the conversation log's function: a person can also be forgotten everywhere by their pseudonym.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        memory: ConversationMemory,
        inbox: Inbox,
        ledger: ReplyLedger,
        pseudonym: Callable[[str], str] = lambda speaker: speaker,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._memory = memory
        self._inbox = inbox
        self._ledger = ledger
        self._pseudonym = pseudonym
        self._handovers = HandoverStore(redis, keys)
        self._wish = redis.register_script(_WISH)

    async def from_stores(
        self, conversation: str, speaker: str | None, at: datetime, *, keep: IncomingMessage | None = None
    ) -> dict[str, int]:
        """Forgets what ``speaker`` (or, for None, everybody) said in a conversation. Returns counts by store.

        The stores are memory, notes, inbox (queued and set aside, with their seen keys) and replies. ``speaker`` is the
        platform's id or the log's pseudonym; ``keep`` is the message that asks for it and is being handled. Raises
        ``StoreUnavailable``.
        """
        who = _EVERYBODY if speaker is None else sender_digest(speaker)
        # First, so that an answer that is finished while the stores are emptied is caught too.
        with store_errors("nothing was forgotten, try again"):
            await self._wish(keys=[self._keys.wishes(conversation)], args=[who, _microseconds(at), WISH_SECONDS])
        counts = Counter({"memory": 0, "notes": await self._forget_private_notes(keep), "inbox": 0, "replies": 0})
        for known_id in await self._ids(conversation, speaker):
            counts.update(await self._forget_in_stores(conversation, known_id, keep))
        return dict(counts)

    async def _forget_in_stores(
        self, conversation: str, speaker: str | None, keep: IncomingMessage | None
    ) -> dict[str, int]:
        notes = self._memory.notes
        counts = {
            "memory": await self._memory.forget(conversation, speaker),
            "notes": await notes.forget(conversation, speaker) if notes is not None else 0,
            "inbox": await self._inbox.forget(conversation, speaker, command=keep),
            "replies": await self._ledger.forget(conversation, speaker, keep=keep.turn_id if keep else ""),
        }
        await self._withdraw(conversation, lambda case: speaker is None or self._is(case.asked.sender.id, speaker))
        return counts

    def _is(self, sender: str, speaker: str) -> bool:
        """Whether ``speaker``, a platform's id or the log's pseudonym, names this sender."""
        return speaker in (sender, self._pseudonym(sender))

    async def _forget_private_notes(self, command: IncomingMessage | None) -> int:
        """Deletes the notes of a person who forgets a private conversation: all of them, from every conversation."""
        if command is None or command.channel not in ("direct", "ephemeral") or self._memory.notes is None:
            return 0
        return await self._memory.notes.forget(command.conversation, command.sender.id)

    async def _ids(self, conversation: str, speaker: str | None) -> Sequence[str | None]:
        """The ids under which the stores know a speaker. A pseudonym cannot be reversed, so it is compared with all known ids."""
        if speaker is None or self._pseudonym(speaker) != speaker:
            return [speaker]
        sources = (self._memory.speakers, self._inbox.senders, self._ledger.speakers)
        known_ids = {known_id for source in sources for known_id in await source(conversation)} - {speaker}
        return [speaker, *sorted(known_id for known_id in known_ids if self._pseudonym(known_id) == speaker)]

    def from_log(self, conversation: str, speaker: str | None, at: datetime) -> ForgetEntry:
        """The outbox entry that makes the log forget what was asked up to ``at``, including turns that reach it later."""
        return ForgetEntry(conversation=conversation, speaker=speaker, at=at)

    async def covers(self, message: IncomingMessage) -> bool:
        """Whether ``message`` was received before a request to forget it. Raises ``StoreUnavailable``."""
        sender = message.sender.id
        people = [_EVERYBODY, *map(sender_digest, (sender, self._pseudonym(sender)))]
        with store_errors("the answer is checked again when it does"):
            times: Any = await self._redis.hmget(self._keys.wishes(message.conversation), people)
        return any(time is not None and _microseconds(message.received_at) <= int(time) for time in times)

    async def turn(self, conversation: str, turn_id: str) -> None:
        """Deletes one turn from memory and notes, from what is set aside, and from replies.

        Raises ``StoreUnavailable``.
        """
        await self._memory.remove_turn(conversation, turn_id)
        if self._memory.notes is not None:
            await self._memory.notes.remove_turn(conversation, turn_id)
        await self._inbox.drop_aside(conversation, turn_id)
        await self._ledger.forget_turn(conversation, turn_id)
        await self._withdraw(conversation, lambda case: turn_id in (case.turn_id, _turn_of(case.asked)))

    async def _withdraw(self, conversation: str, whole: Callable[[Handover], bool]) -> None:
        """Withdraws the posts by which people were asked to take over.

        A post for which ``whole`` is true is removed, with all that is known of its handover. From any other, what was said in
        the conversation is removed. A worker does it later, when it handles the
        message that is put into the inbox here.
        """
        now = datetime.now(UTC)
        for handover in await self._handovers.all(conversation):
            if whole(handover):
                # Queued before the record is deleted: after a crash in between, nothing else would name the post.
                await self._inbox.accept(redrawing(handover, now, removed=True))
                await self._handovers.forget(handover)
            elif handover.stage == "open" and not handover.bare:
                bare = replace(handover, bare=True)
                if await self._handovers.change(handover, bare):
                    await self._inbox.accept(redrawing(bare, now))


def _turn_of(message: IncomingMessage) -> str:
    """The turn of a question; for an edit, the turn of the question that it changed."""
    return message_turn(message.original or message.id)


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
