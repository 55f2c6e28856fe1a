"""Which conversations are with a person: in Redis, where every process looks right before it sends."""

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

KEPT_SECONDS = 90 * 24 * 3600
"""How long a post is known after it was last touched, so that forgetting finds it."""

Stage = Literal["intended", "open", "closed", "failed"]
"""About to be posted; a person was asked and the bot is silent; the bot is back; nobody could be asked."""

Ending = Literal["", "resumed", "time", "asker"]
"""Why the bot is back: a person said so, the time was over, or the asker went on with the bot."""

_CURRENT = "current"
"""The field that names the latest turn; the other fields are turns."""

# KEYS: lease, handovers. ARGV: token, turn, value, seconds. Returns what was known of the turn.
_BEGIN = f"""{LEASE_FUNCTIONS}
if not owns_lease(KEYS[1], ARGV[1]) then return {{'lost'}} end
local known = redis.call('HGET', KEYS[2], ARGV[2])
if known then return {{'known', known}} end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3], 'current', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return {{'begun'}}
"""
# KEYS: handovers. ARGV: turn, value before, value after, seconds.
_CHANGE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
# KEYS: handovers.
_LATEST = """
local turn = redis.call('HGET', KEYS[1], 'current')
return turn and redis.call('HGET', KEYS[1], turn)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a conversation stands, for people: a link to it, if there is one, and how its asker is called on the platform."""

    url: str = ""
    person: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One wish for a person. ``asked`` is the message without its words; ``place`` and ``post`` are where it was told to people.

    ``bare``: the post no longer shows what was said, because some of it was forgotten; ``closing`` is the message that ended it;
    ``moved`` is the conversation in which it goes on.
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
        """The last wish for a person in a conversation, whatever became of it."""
        with store_errors("whether a person took over is unknown"):
            raw = await self._latest(keys=[self._keys.handovers(conversation)])
        return _decoded(raw)

    async def find(self, conversation: str, turn_id: str) -> Handover | None:
        """One of them, where its conversation is by now."""
        with store_errors("whether a person took over is unknown"):
            raw = await self._redis.hget(self._keys.handovers(conversation), turn_id)
        found = _decoded(raw)
        return await self.find(found.moved, turn_id) if found is not None and found.moved else found

    async def all(self, conversation: str) -> list[Handover]:
        with store_errors("whether a person took over is unknown"):
            found = await self._redis.hgetall(self._keys.handovers(conversation))
        known = [_decoded(raw) for turn, raw in found.items() if text(turn) != _CURRENT]
        return [handover for handover in known if handover is not None]

    async def begin(self, handover: Handover, lease: Lease) -> tuple[Handover, bool]:
        """Stores the intent unless the turn has one already; what is known, and whether it was. Raises ``LeaseLost``."""
        keys = [self._keys.lease(handover.conversation), self._keys.handovers(handover.conversation)]
        args: list[str | bytes | int] = [lease.token, handover.turn_id, _HANDOVERS.dump_json(handover), KEPT_SECONDS]
        with store_errors("nobody was asked to come yet"):
            found = await self._begin(keys=keys, args=args)
        match found:
            case [b"known", raw]:
                return _decoded(raw) or handover, True
            case [b"begun"]:
                return handover, False
        raise LeaseLost(f"conversation {handover.conversation} was taken over by another worker")

    async def change(self, before: Handover, after: Handover) -> bool:
        """Puts ``after`` in the place of ``before``; False if that was changed or forgotten meanwhile."""
        args: list[str | bytes | int] = [before.turn_id, _HANDOVERS.dump_json(before), _HANDOVERS.dump_json(after)]
        with store_errors("what became of a conversation was not noted"):
            changed = await self._change(keys=[self._keys.handovers(before.conversation)], args=[*args, KEPT_SECONDS])
        return bool(changed)

    async def move(self, old: str, new: str) -> None:
        """What is open in ``old`` goes on in ``new``; for a group that got another id."""
        latest = await self.latest(old)
        if latest is None or latest.stage != "open" or old == new:
            return
        going_on = replace(latest, conversation=new, asked=replace(latest.asked, conversation=new))
        key, turn = self._keys.handovers(new), latest.turn_id
        with store_errors("whether a person took over does not follow the group"):
            await self._redis.hset(key, mapping={turn: _HANDOVERS.dump_json(going_on), _CURRENT: turn})
            await self._redis.expire(key, KEPT_SECONDS)
        await self.change(latest, replace(latest, stage="closed", moved=new))

    async def forget(self, handover: Handover) -> None:
        """Deletes what is known of one; the post is for others to remove."""
        key = self._keys.handovers(handover.conversation)
        with store_errors("nothing more was forgotten, try again"):
            await self._redis.hdel(key, handover.turn_id)
            if await self._redis.hkeys(key) == [_CURRENT.encode()]:
                await self._redis.delete(key)


def resumption(handover: Handover, by: str, now: datetime) -> IncomingMessage:
    """What a press of "resume" puts into the conversation's queue: the same, however often it is pressed."""
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


def redrawing(handover: Handover, now: datetime, *, gone: bool = False) -> IncomingMessage:
    """What brings a post to what is known by then. It waits in a queue of its own: no user waits for it."""
    state = "gone" if gone else f"{handover.stage}:{handover.ended}:{handover.bare}"
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
    """None also for what another release wrote: a conversation must go on over an upgrade and a rollback."""
    try:
        return None if raw is None else _HANDOVERS.validate_json(raw)
    except ValidationError:
        return None


_HANDOVERS: TypeAdapter[Handover] = TypeAdapter(Handover)
