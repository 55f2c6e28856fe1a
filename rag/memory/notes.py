"""What people ask to be remembered about themselves, each person's own, in every conversation of theirs.

A note is only what its person said in so many words. It is used where that person alone reads the answer, and in the
conversation where it was said; nobody else's question ever comes with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from rag.intents.notes import LONGEST, NoteWish, reply_text, wish_in
from rag.memory.records import CONSEQUENCE, STAMP, stamp
from rag.settings import MemorySettings
from rag.store.client import store_errors
from rag.types import Question

log = logging.getLogger(__name__)

MOST = 20
"""Notes a person; with another one the oldest goes."""

# KEYS: a person's notes. ARGV: turn id, value, seconds to live, notes kept.
_KEEP = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local all = redis.call('HGETALL', KEYS[1])
local order = {}
for i = 1, #all, 2 do order[#order + 1] = {all[i + 1], all[i]} end
table.sort(order, function(a, b) return a[1] < b[1] end)
for i = 1, #order - tonumber(ARGV[4]) do redis.call('HDEL', KEYS[1], order[i][2]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What was said, and for which tenant: another one's prompts never hold it."""

    text: str
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person who spoke of their notes is told, and in which language."""

    text: str
    language: str


class PersonalNotes:
    """Notes by person. Every method raises ``StoreUnavailable`` when Redis does not answer.

    ``person`` names the key of a speaker's notes, ``place`` that of who noted what in a conversation. Switched off, it keeps
    and shows nothing, and still forgets what it kept before.
    """

    def __init__(
        self, redis: Redis, settings: MemorySettings, person: Callable[[str], str], place: Callable[[str], str]
    ) -> None:
        self._redis = redis
        self._on = settings.notes
        self._ttl = int(timedelta(days=settings.ttl_days).total_seconds())
        self._person = person
        self._place = place
        self._keep = redis.register_script(_KEEP)

    async def told(self, question: Question) -> Told | None:
        """Does what a question wants of its speaker's notes and says so; None where it is about anything else.

        What is listed are the notes that came with the question: those that may be shown where it was asked.
        """
        wish = wish_in(question.text) if self._on and question.speaker else None
        return None if wish is None else Told(text=await self._obeyed(wish, question), language=wish.language)

    async def load(self, conversation: str, speaker: str, tenant: str = "", *, alone: bool = False) -> tuple[str, ...]:
        """A speaker's notes, oldest first: all of them where the speaker reads ``alone``, else those said here."""
        if not self._on or not speaker:
            return ()
        person, place = self._person(speaker), self._place(conversation)
        with store_errors(CONSEQUENCE):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(person)
                pipe.hkeys(place)
                # Who goes on talking keeps them.
                pipe.expire(person, self._ttl)
                pipe.expire(place, self._ttl)
                stored, said_here, _, _ = await pipe.execute()
        usable = [value for turn, value in stored.items() if alone or turn in said_here]
        notes = [_decoded(value) for value in sorted(usable)]
        return tuple(note.text for note in notes if note is not None and note.tenant in ("", tenant))

    async def forget(self, conversation: str, speaker: str | None = None) -> int:
        """Deletes all of a speaker's notes, or what anybody noted in the conversation; returns how many."""
        place = self._place(conversation)
        with store_errors(CONSEQUENCE):
            said_here = await self._redis.hgetall(place)
            if speaker is not None:
                theirs = [turn for turn, person in said_here.items() if person == self._person(speaker).encode()]
                gone = await self._forget_person(speaker)
                await self._redis.hdel(place, *theirs or [""])
                return gone
            gone = 0
            for turn, person in said_here.items():
                gone += int(await self._redis.hdel(person, turn))
            await self._redis.delete(place)
        return gone

    async def remove_turn(self, conversation: str, turn_id: str) -> None:
        """Deletes what was noted by one turn; an unknown turn is no error."""
        place = self._place(conversation)
        with store_errors(CONSEQUENCE):
            person = await self._redis.hget(place, turn_id)
            if person is not None:
                await self._redis.hdel(person, turn_id)
                await self._redis.hdel(place, turn_id)

    async def move(self, old: str, new: str) -> None:
        """The conversation got another id: what was noted in it counts as said in ``new``."""
        if old == new:
            return
        with store_errors(CONSEQUENCE):
            for turn, person in (await self._redis.hgetall(self._place(old))).items():
                await self._redis.hset(self._place(new), turn, person)
            await self._redis.expire(self._place(new), self._ttl)
            await self._redis.delete(self._place(old))

    async def _obeyed(self, wish: NoteWish, question: Question) -> str:
        match wish.action:
            case "remember" if len(wish.text) > LONGEST:
                return reply_text(wish.language, "too_long")
            case "remember":
                await self._remember(question, wish.text)
                return reply_text(wish.language, "remembered", (wish.text,))
            case "forget":
                with store_errors(CONSEQUENCE):
                    return reply_text(
                        wish.language, "forgotten" if await self._forget_person(question.speaker) else "none"
                    )
            case "list":
                notes = question.background.notes
                return reply_text(wish.language, "listed" if notes else "none", notes)

    async def _remember(self, question: Question, text: str) -> None:
        """Where it was said is stored first: what stands among the notes can always be found and forgotten."""
        place, person = self._place(question.conversation), self._person(question.speaker)
        value = stamp(datetime.now(UTC)) + _NOTES.dump_json(Note(text=text, tenant=question.tenant))
        with store_errors(CONSEQUENCE):
            await self._redis.hset(place, question.turn_id, person)
            await self._redis.expire(place, self._ttl)
            await self._keep(keys=[person], args=[question.turn_id, value, self._ttl, MOST])

    async def _forget_person(self, speaker: str) -> int:
        person = self._person(speaker)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hlen(person)
            pipe.delete(person)
            return int((await pipe.execute())[0])


def _decoded(value: bytes) -> Note | None:
    try:
        return _NOTES.validate_json(value[STAMP:])
    except ValidationError as error:
        log.warning("a note cannot be read and is left out (%d errors)", error.error_count())
        return None


_NOTES: TypeAdapter[Note] = TypeAdapter(Note)
