"""What takes a conversation, one person's part of it or one turn out of every store."""

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
"""How long a wish to forget is remembered: longer than an answer that it overtook can take, retries included."""

_EVERYBODY = ""

# KEYS: the hash of wishes. ARGV: whose words, the wish's time in microseconds, seconds to live.
_WISH = """
if (tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0) < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""


class Forgetting:
    """Deletes from memory, notes, inbox, replies and handovers, and knows for a day what was to be forgotten.

    A worker may be answering meanwhile. It asks :meth:`covers` after its last write and takes back what it wrote, and the
    wish is stored before anything is deleted: whichever comes last finds what the other left.

    ``pseudonym`` is the log's: whom it names by a pseudonym can be forgotten by it everywhere.
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
        """Counts by store: memory, notes, inbox (queued and set aside, with their seen keys), replies.

        ``speaker`` is the platform's id or the log's pseudonym; ``keep`` is the message that asks for it, being handled.
        Raises ``StoreUnavailable``.
        """
        who = _EVERYBODY if speaker is None else sender_digest(speaker)
        with store_errors("nothing was forgotten, try again"):
            await self._wish(keys=[self._keys.wishes(conversation)], args=[who, _microseconds(at), WISH_SECONDS])
        counts = Counter({"memory": 0, "notes": await self._notes_of_who_asks(keep), "inbox": 0, "replies": 0})
        for one in await self._ids(conversation, speaker):
            counts.update(await self._forgotten(conversation, one, keep))
        return dict(counts)

    async def _forgotten(self, conversation: str, speaker: str | None, keep: IncomingMessage | None) -> dict[str, int]:
        notes = self._memory.notes
        counts = {
            "memory": await self._memory.forget(conversation, speaker),
            "notes": await notes.forget(conversation, speaker) if notes is not None else 0,
            "inbox": await self._inbox.forget(conversation, speaker, command=keep),
            "replies": await self._ledger.forget(conversation, speaker, keep=keep.turn_id if keep else ""),
        }
        await self._withdraw(conversation, lambda told: speaker is None or self._is(told.asked.sender.id, speaker))
        return counts

    def _is(self, sender: str, speaker: str) -> bool:
        """Whether ``speaker``, a platform's id or the log's pseudonym, names who sent something."""
        return speaker in (sender, self._pseudonym(sender))

    async def _notes_of_who_asks(self, command: IncomingMessage | None) -> int:
        """Who forgets a private conversation is alone in it: notes go, wherever they were said."""
        if command is None or command.channel not in ("direct", "ephemeral") or self._memory.notes is None:
            return 0
        return await self._memory.notes.forget(command.conversation, command.sender.id)

    async def _ids(self, conversation: str, speaker: str | None) -> Sequence[str | None]:
        """Under which ids the stores know a speaker: the log's pseudonym is nobody's id."""
        if speaker is None or self._pseudonym(speaker) != speaker:
            return [speaker]
        sources = (self._memory.speakers, self._inbox.senders, self._ledger.speakers)
        known = {one for source in sources for one in await source(conversation)} - {speaker}
        return [speaker, *sorted(one for one in known if self._pseudonym(one) == speaker)]

    def from_log(self, conversation: str, speaker: str | None, at: datetime) -> ForgetEntry:
        """What the log has to do: forget what was asked up to ``at``, also what it learns of only later."""
        return ForgetEntry(conversation=conversation, speaker=speaker, at=at)

    async def covers(self, message: IncomingMessage) -> bool:
        """Whether ``message`` was received before a wish to forget it. Raises ``StoreUnavailable``."""
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
        await self._withdraw(conversation, lambda told: turn_id in (told.turn_id, _turn_of(told.asked)))

    async def _withdraw(self, conversation: str, whole: Callable[[Handover], bool]) -> None:
        """Takes back what people were told who were asked to take over: all of it, or what was said in the conversation.

        The worker does so in the post; that it will is stored before anything is deleted.
        """
        now = datetime.now(UTC)
        for told in await self._handovers.all(conversation):
            if whole(told):
                await self._inbox.accept(redrawing(told, now, gone=True))
                await self._handovers.forget(told)
            elif told.stage == "open" and not told.bare:
                bare = replace(told, bare=True)
                if await self._handovers.change(told, bare):
                    await self._inbox.accept(redrawing(bare, now))


def _turn_of(message: IncomingMessage) -> str:
    """That of the question which an edit changed."""
    return message_turn(message.original or message.id)


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
