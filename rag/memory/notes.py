"""Personal notes: what people explicitly ask the bot to remember about themselves.

A note is used in all conversations whose answers only that person reads, and in the conversation in which it was made. It is
never added to the question of another person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from rag.intents.notes import LONGEST, NoteWish, reply_text
from rag.memory.records import CONSEQUENCE, STAMP, stamp
from rag.settings import MemorySettings
from rag.store.client import store_errors
from rag.types import Question

log = logging.getLogger(__name__)

MOST = 20
"""The most notes of one person; a further one replaces the oldest."""

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
    """The text of a note, and its tenant: prompts of another tenant never contain it."""

    text: str
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesReply:
    """The reply to a person who asked to remember, list or forget notes, with its language."""

    text: str
    language: str


class PersonalNotes:
    """Stores notes by person. Every method raises ``StoreUnavailable`` when Redis does not answer.

    ``person`` gives the Redis key of a speaker's notes; ``place`` gives the key that maps the turns of a conversation to the
    persons who made notes there. Switched off, nothing is stored or shown, but notes from before can still be forgotten.
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

    @property
    def on(self) -> bool:
        """Whether notes are kept."""
        return self._on

    async def reply(self, question: Question, wish: NoteWish) -> NotesReply | None:
        """Carries out a wish about the speaker's notes and returns the reply; None where none are kept.

        The list contains only the notes that came with the question, because only these may be shown in its conversation.
        """
        if not self._on or not question.speaker:
            return None
        return NotesReply(text=await self._carry_out(wish, question), language=wish.language)

    async def load(self, conversation: str, speaker: str, tenant: str = "", *, alone: bool = False) -> tuple[str, ...]:
        """A speaker's notes, oldest first: all if only the speaker reads the answer (``alone``), else those made here."""
        if not self._on or not speaker:
            return ()
        person, place = self._person(speaker), self._place(conversation)
        with store_errors(CONSEQUENCE):
            # One round trip, without MULTI: nothing here must be atomic.
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(person)
                pipe.hkeys(place)
                # Every turn renews the expiry: notes live as long as their person keeps talking.
                pipe.expire(person, self._ttl)
                pipe.expire(place, self._ttl)
                stored, turns_here, _, _ = await pipe.execute()
        usable = [value for turn, value in stored.items() if alone or turn in turns_here]
        notes = [_parse(value) for value in sorted(usable)]
        return tuple(note.text for note in notes if note is not None and note.tenant in ("", tenant))

    async def forget(self, conversation: str, speaker: str | None = None) -> int:
        """Deletes all notes of a speaker, or all that were made in a conversation; returns their number."""
        place = self._place(conversation)
        with store_errors(CONSEQUENCE):
            turns_here = await self._redis.hgetall(place)
            if speaker is not None:
                theirs = [turn for turn, person in turns_here.items() if person == self._person(speaker).encode()]
                deleted = await self._forget_person(speaker)
                # HDEL needs at least one field.
                await self._redis.hdel(place, *theirs or [""])
                return deleted
            deleted = 0
            for turn, person in turns_here.items():
                deleted += int(await self._redis.hdel(person, turn))
            await self._redis.delete(place)
        return deleted

    async def remove_turn(self, conversation: str, turn_id: str) -> None:
        """Deletes the note of one turn; an unknown turn is no error."""
        place = self._place(conversation)
        with store_errors(CONSEQUENCE):
            person = await self._redis.hget(place, turn_id)
            if person is not None:
                await self._redis.hdel(person, turn_id)
                await self._redis.hdel(place, turn_id)

    async def move(self, old: str, new: str) -> None:
        """Moves the notes of a conversation whose id has changed from ``old`` to ``new``."""
        if old == new:
            return
        with store_errors(CONSEQUENCE):
            for turn, person in (await self._redis.hgetall(self._place(old))).items():
                await self._redis.hset(self._place(new), turn, person)
            await self._redis.expire(self._place(new), self._ttl)
            await self._redis.delete(self._place(old))

    async def _carry_out(self, wish: NoteWish, question: Question) -> str:
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
        """Stores a note."""
        # The place first: if the process dies in between, no note exists that could not be found by its conversation.
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


def _parse(value: bytes) -> Note | None:
    try:
        return _NOTES.validate_json(value[STAMP:])
    except ValidationError as error:
        log.warning("a note cannot be read and is left out (%d errors)", error.error_count())
        return None


_NOTES: TypeAdapter[Note] = TypeAdapter(Note)
