"""The ledger of each reply: what was meant, what the platform confirmed, what is still missing.

The intent to reply is stored before the first send and every confirmed step after it, so that whoever takes a conversation
over after a crash continues the reply instead of posting another. Writes are fenced by the conversation's lease: a worker
that lost it cannot write, and learns so before it sends again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import TypeAdapter
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from bots.errors import LeaseLost
from bots.keys import Keys
from bots.messages import OutgoingReply
from rag.store.client import store_errors, text
from rag.store.lease import LEASE_FUNCTIONS
from rag.types import Offer
from tuning.conversations.records import LoggedTurn

LEDGER_SECONDS = 7 * 24 * 3600
"""How long a reply can be continued, edited again or given feedback."""

# KEYS: lease, reply, replies. ARGV: token, record, seconds to live, turn id.
_SAVE_FENCED = """
if not owns_lease(KEYS[1], ARGV[1]) then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('SADD', KEYS[3], ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[3])
return 1
"""
_SAVE = LEASE_FUNCTIONS + _SAVE_FENCED
# The record that is there, or else the intent stored as new: reading and storing in one trip, which every message makes.
_OPEN = f"""{LEASE_FUNCTIONS}
local known = redis.call('GET', KEYS[2])
if known then return known end
{_SAVE_FENCED}"""

# Not fenced by a lease, but by what stood there: the worker that answers meanwhile is not overwritten.
_CHANGE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to answer in a conversation. ``token`` fences every write."""

    conversation: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One platform message of a reply.

    ``id`` is the platform's (empty while the first send is under way); ``kind`` is the platform's own word for how it was
    sent ("stream", "message", "draft", …); ``start`` and ``shown`` are offsets into the reply's Markdown, in characters:
    the post holds ``text[start:shown]`` for certain. ``done`` when nothing will be added to it.
    """

    id: str
    kind: str
    start: int = 0
    shown: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRecord:
    """All that is known of one reply. ``final`` is set once the answer is computed, ``finished`` once it stands on the screen.

    ``text`` is the part of the Markdown that was confirmed, so that a second computation can be compared with it;
    ``logged`` is what the log will say of the turn, stored with ``final`` so that a crash between the two loses neither;
    ``audiences`` are those that the answer may have used: it goes to nobody who is not in all of them, nor to anyone who does
    not belong to ``tenant``, if it may have used a tenant's own documents. ``offer`` is what it offered, for the memory.
    """

    turn_id: str
    conversation: str
    intended_at: datetime
    posts: tuple[Post, ...] = ()
    text: str = ""
    final: OutgoingReply | None = None
    logged: LoggedTurn | None = None
    audiences: tuple[str, ...] = ()
    tenant: str = ""
    offer: Offer | None = None
    finished: bool = False

    @property
    def stands(self) -> bool:
        """Whether the answer is on the screen."""
        return self.final is not None and self.finished

    def answer_for(self, audiences: frozenset[str], tenant: str = "") -> OutgoingReply | None:
        """The computed answer, if it stands already or those who read it now may read all of it.

        A record of version 0.1.0 tells no audiences; what it may have used is unknown.
        """
        belongs = self.tenant in ("", tenant)
        readable = belongs and bool(self.audiences) and audiences.issuperset(self.audiences)
        return self.final if self.stands or readable else None

    def with_post(self, post: Post) -> ReplyRecord:
        """The record with its last post replaced if it is the same one (or was still without an id), else added."""
        last = self.posts[-1] if self.posts else None
        if last is not None and (last.id == post.id or not last.id):
            return replace(self, posts=(*self.posts[:-1], post))
        return replace(self, posts=(*self.posts, post))


class ReplyEntry:
    """A record bound to the lease under which it may be written."""

    __slots__ = ("_lease", "_ledger", "record", "resumed")

    def __init__(self, ledger: ReplyLedger, lease: Lease, record: ReplyRecord, *, resumed: bool) -> None:
        self._ledger = ledger
        self._lease = lease
        self.record = record
        self.resumed = resumed

    async def save(self, record: ReplyRecord) -> None:
        """Stores ``record``. Raises ``LeaseLost`` or ``StoreUnavailable``."""
        await self._ledger.save(record, self._lease)
        self.record = record


class ReplyLedger:
    """Replies by conversation and turn, in Redis."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._open = redis.register_script(_OPEN)
        self._save = redis.register_script(_SAVE)
        self._change = redis.register_script(_CHANGE)

    async def open(self, turn_id: str, lease: Lease) -> ReplyEntry:
        """The entry of a turn; stores the intent when there is none yet, and says by ``resumed`` when there was."""
        record = ReplyRecord(turn_id=turn_id, conversation=lease.conversation, intended_at=datetime.now(UTC))
        stored = await self._fenced(self._open, record, lease)
        if isinstance(stored, bytes):
            return ReplyEntry(self, lease, _RECORDS.validate_json(stored), resumed=True)
        return ReplyEntry(self, lease, record, resumed=False)

    async def find(self, conversation: str, turn_id: str) -> ReplyRecord | None:
        """What is known of a turn's reply, or None. Raises ``StoreUnavailable``."""
        with store_errors("the reply is continued when it does"):
            raw = await self._redis.get(self._keys.reply(conversation, turn_id))
        return None if raw is None else _RECORDS.validate_json(raw)

    async def save(self, record: ReplyRecord, lease: Lease) -> None:
        """Stores ``record`` if ``lease`` still holds. Raises ``LeaseLost`` or ``StoreUnavailable``."""
        await self._fenced(self._save, record, lease)

    async def _fenced(self, script: AsyncScript, record: ReplyRecord, lease: Lease) -> object:
        """What a script that writes ``record`` under ``lease`` returns. Raises ``LeaseLost`` or ``StoreUnavailable``."""
        place = record.conversation
        keys = [self._keys.lease(place), self._keys.reply(place, record.turn_id), self._keys.replies(place)]
        with store_errors("the reply is continued when it does"):
            stored: object = await script(
                keys=keys, args=[lease.token, _RECORDS.dump_json(record), LEDGER_SECONDS, record.turn_id]
            )
        if not stored:
            raise LeaseLost(f"conversation {place} was taken over by another worker")
        return stored

    async def forget(self, conversation: str, speaker: str | None = None, *, keep: str = "") -> int:
        """Deletes what is known of a conversation's replies (or of those to one speaker) but for turn ``keep``; counts them.

        Summaries in what is left may hold the speaker's words, and go too. Raises ``StoreUnavailable``.
        """
        with store_errors("nothing more was forgotten, try again"):
            turns = [turn for turn in await self._turns(conversation) if turn != keep]
            doomed = [turn for turn in turns if speaker is None or await self._spoke(conversation, turn, speaker)]
            await self._delete(conversation, doomed)
        return len(doomed)

    async def forget_turn(self, conversation: str, turn_id: str) -> None:
        """Deletes what is known of the replies to a turn, to its edits too, and summaries in others.

        Raises ``StoreUnavailable``.
        """
        with store_errors("the reply was not forgotten, try again"):
            turns = await self._turns(conversation)
            doomed = [turn for turn in turns if turn == turn_id or await self._answers(conversation, turn, turn_id)]
            await self._delete(conversation, doomed)

    async def speakers(self, conversation: str) -> set[str]:
        """Who was replied to. Raises ``StoreUnavailable``."""
        with store_errors("nothing was forgotten, try again"):
            records = [await self.find(conversation, turn) for turn in await self._turns(conversation)]
        return {record.logged.speaker for record in records if record is not None and record.logged is not None}

    async def _turns(self, conversation: str) -> list[str]:
        return [text(member) for member in await self._redis.smembers(self._keys.replies(conversation))]

    async def _delete(self, conversation: str, doomed: Sequence[str]) -> None:
        if doomed:
            await self._redis.delete(*(self._keys.reply(conversation, turn) for turn in doomed))
            await self._redis.srem(self._keys.replies(conversation), *doomed)
        for turn in await self._turns(conversation):
            await self._drop_summary(self._keys.reply(conversation, turn))

    async def _drop_summary(self, key: str) -> None:
        changed = False
        while not changed and (raw := await self._redis.get(key)) is not None:
            record = _RECORDS.validate_json(raw)
            if record.logged is None or not record.logged.summary:
                return
            bare = replace(record, logged=replace(record.logged, summary="", prompt_version=""))
            changed = bool(await self._change(keys=[key], args=[raw, _RECORDS.dump_json(bare)]))

    async def _answers(self, conversation: str, turn_id: str, original: str) -> bool:
        record = await self.find(conversation, turn_id)
        return record is not None and record.logged is not None and record.logged.turn_id == original

    async def _spoke(self, conversation: str, turn_id: str, speaker: str) -> bool:
        record = await self.find(conversation, turn_id)
        return record is not None and record.logged is not None and record.logged.speaker == speaker


_RECORDS: TypeAdapter[ReplyRecord] = TypeAdapter(ReplyRecord)
