"""Handover records: which conversations are with a person.

They are in Redis, because every process checks them right before it sends something.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from bots.errors import LeaseLost
from bots.keys import Keys
from bots.messages import IncomingMessage, Sender
from bots.queue.replies import Lease
from rag.store.client import store_errors, text
from rag.store.lease import LEASE_FUNCTIONS

RETENTION_SECONDS = 90 * 24 * 3600
"""How long a record is kept after its last change, so that forgetting finds the post."""

Stage = Literal["intended", "open", "closed", "failed"]
"""In order: about to be posted; a person was asked and the bot is silent; the bot answers again; nobody could be asked."""

Ending = Literal["", "resumed", "time", "asker"]
"""Why the bot answers again: a person let it resume, the time was over, or the asker went on with the bot."""

_CURRENT = "current"
"""The field of the Redis hash that names the latest turn; every other field is a turn's id."""

# KEYS: lease, handovers. ARGV: token, turn, value, seconds. Returns the record that the turn has already, if any.
_BEGIN = f"""{LEASE_FUNCTIONS}
if not owns_lease(KEYS[1], ARGV[1]) then return {{'lost'}} end
local known = redis.call('HGET', KEYS[2], ARGV[2])
if known then return {{'known', known}} end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3], 'current', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return {{'begun'}}
"""
# KEYS: handovers. ARGV: turn, value before, value after, seconds. Compares and sets: any process may change a record.
_CHANGE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
# KEYS: handovers. One script, since the latest turn may change between two reads.
_LATEST = """
local turn = redis.call('HGET', KEYS[1], 'current')
return turn and redis.call('HGET', KEYS[1], turn)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where people find a conversation: a link to it, if there is one, and the asker's name on the platform."""

    url: str = ""
    person: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One request for a person.

    ``asked`` is the message that made it, without its text; ``place`` and ``post`` are the channel and the id of the post that
    asks people to come. ``bare``: the post no longer shows what was said, because some of it was forgotten. ``by`` is the person
    who let the bot resume, ``closing`` the turn of their message. ``moved`` is the conversation in which the handover continues.
    """

    conversation: str
    turn_id: str
    asked: IncomingMessage
    since: datetime
    until: datetime
    where: Whereabouts = Whereabouts()
    stage: Stage = "intended"
    place: str = ""
    post: str = ""
    bare: bool = False
    ended: Ending = ""
    by: str = ""
    closing: str = ""
    moved: str = ""


class HandoverStore:
    """Handovers by conversation and turn. Every method raises ``StoreUnavailable``."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._begin = redis.register_script(_BEGIN)
        self._change = redis.register_script(_CHANGE)
        self._latest = redis.register_script(_LATEST)

    async def latest(self, conversation: str) -> Handover | None:
        """The latest handover of a conversation, whatever its stage."""
        with store_errors("whether a person took over is unknown"):
            raw = await self._latest(keys=[self._keys.handovers(conversation)])
        return _decoded(raw)

    async def find(self, conversation: str, turn_id: str) -> Handover | None:
        """The handover of a turn, also after its conversation got another id."""
        with store_errors("whether a person took over is unknown"):
            raw = await self._redis.hget(self._keys.handovers(conversation), turn_id)
        handover = _decoded(raw)
        return await self.find(handover.moved, turn_id) if handover is not None and handover.moved else handover

    async def all(self, conversation: str) -> list[Handover]:
        """Every handover that the conversation had."""
        with store_errors("whether a person took over is unknown"):
            fields = await self._redis.hgetall(self._keys.handovers(conversation))
        handovers = [_decoded(raw) for turn, raw in fields.items() if text(turn) != _CURRENT]
        return [handover for handover in handovers if handover is not None]

    async def begin(self, handover: Handover, lease: Lease) -> tuple[Handover, bool]:
        """Stores the intent, unless the turn has a record. Returns the record, and whether it existed. Raises ``LeaseLost``."""
        keys = [self._keys.lease(handover.conversation), self._keys.handovers(handover.conversation)]
        args: list[str | bytes | int] = [
            lease.token,
            handover.turn_id,
            _HANDOVERS.dump_json(handover),
            RETENTION_SECONDS,
        ]
        with store_errors("nobody was asked to come yet"):
            result = await self._begin(keys=keys, args=args)
        match result:
            case [b"known", raw]:
                return _decoded(raw) or handover, True
            case [b"begun"]:
                return handover, False
        raise LeaseLost(f"conversation {handover.conversation} was taken over by another worker")

    async def change(self, before: Handover, after: Handover) -> bool:
        """Replaces ``before`` by ``after``. Returns False if ``before`` was changed or forgotten meanwhile."""
        args: list[str | bytes | int] = [before.turn_id, _HANDOVERS.dump_json(before), _HANDOVERS.dump_json(after)]
        with store_errors("what became of a conversation was not noted"):
            changed = await self._change(
                keys=[self._keys.handovers(before.conversation)], args=[*args, RETENTION_SECONDS]
            )
        return bool(changed)

    async def move(self, old: str, new: str) -> None:
        """Moves an open handover from ``old`` to ``new``, when a platform gives a group another id."""
        latest = await self.latest(old)
        if latest is None or latest.stage != "open" or old == new:
            return
        moved = replace(latest, conversation=new, asked=replace(latest.asked, conversation=new))
        key, turn = self._keys.handovers(new), latest.turn_id
        # The new record first: after a crash in between the bot stays silent in both, and never speaks over a person.
        with store_errors("whether a person took over does not follow the group"):
            await self._redis.hset(key, mapping={turn: _HANDOVERS.dump_json(moved), _CURRENT: turn})
            await self._redis.expire(key, RETENTION_SECONDS)
        await self.change(latest, replace(latest, stage="closed", moved=new))

    async def forget(self, handover: Handover) -> None:
        """Deletes one record. The post is removed by the message that :func:`redrawing` makes."""
        key = self._keys.handovers(handover.conversation)
        with store_errors("nothing more was forgotten, try again"):
            await self._redis.hdel(key, handover.turn_id)
            if await self._redis.hkeys(key) == [_CURRENT.encode()]:
                await self._redis.delete(key)


def resumption(handover: Handover, by: str, now: datetime) -> IncomingMessage:
    """The message that a press of "resume" puts into the conversation's queue; the same one however often it is pressed."""
    identity = f"handover:resume:{handover.conversation}:{handover.turn_id}"
    return replace(
        handover.asked,
        id=identity,
        seen=(identity,),
        kind="handover",
        command="resume",
        text=by,
        original=handover.turn_id,
        received_at=now,
    )


def redrawing(handover: Handover, now: datetime, *, removed: bool = False) -> IncomingMessage:
    """The message that makes a worker update a post. It gets a queue of its own, so that it delays no reply.

    With ``removed`` the post is to be removed, since its record will be deleted.
    """
    # The state is part of the identity: each state is queued once, and a later one is not taken for a redelivery.
    state = "gone" if removed else f"{handover.stage}:{handover.ended}:{handover.bare}"
    digest = hashlib.sha256(f"{handover.conversation}:{handover.turn_id}".encode()).hexdigest()[:32]
    identity = f"handover:redraw:{digest}:{state}"
    return IncomingMessage(
        id=identity,
        seen=(identity,),
        platform=handover.asked.platform,
        conversation=f"handover:{digest}",
        kind="handover",
        command="redraw",
        text="",
        sender=Sender(id=""),
        channel="private",
        received_at=now,
        address={
            "conversation": handover.conversation,
            "place": handover.place,
            "post": handover.post,
            "since": handover.since.isoformat(),
        },
        original=handover.turn_id,
    )


def _decoded(raw: str | bytes | None) -> Handover | None:
    """The record, or None if there is none or another release wrote it in another form."""
    # Raising would stop the conversation after an upgrade or a rollback.
    try:
        return None if raw is None else _HANDOVERS.validate_json(raw)
    except ValidationError:
        return None


_HANDOVERS: TypeAdapter[Handover] = TypeAdapter(Handover)
