"""What a conversation remembers, in Redis: the last exchanges word for word, and a running summary of the older ones.

An exchange that is no longer kept word for word waits among those to fold until a summary holds it, and is shown meanwhile by
a summary of selection: nothing that was said falls between the two, and no answer waits for a summary to be written.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from rag.language import adetect
from rag.memory import scripts
from rag.memory.notes import PersonalNotes
from rag.memory.records import CONSEQUENCE, STAMP, stamp
from rag.memory.summarising import selected
from rag.memory.summary import RunningSummary, ToFold, dumped, loaded, readable
from rag.settings import MemorySettings
from rag.store.client import store_errors
from rag.types import Background, Exchange

__all__ = ["ConversationMemory", "Summarise", "readable"]

log = logging.getLogger(__name__)

FOLDED_AT_ONCE = 4
"""Exchanges that wait before a summary is written: a model reads the old one each time, and four turns cost it no more."""

Summarise = Callable[[str, Sequence[Exchange], str], Awaitable[str]]
"""From the summary before, the exchanges that it does not hold yet (oldest first) and a language, the next summary."""


class ConversationMemory:
    """What each conversation remembers. Every method raises ``StoreUnavailable`` when Redis does not answer.

    ``key`` names the recent exchanges of a conversation; what else is kept of it stands below that name, in the same slot.
    """

    def __init__(
        self, redis: Redis, settings: MemorySettings, key: Callable[[str], str], notes: PersonalNotes | None = None
    ) -> None:
        self._redis = redis
        self.notes = notes
        self._turns = settings.turns
        self._ttl = int(timedelta(days=settings.ttl_days).total_seconds())
        self._most_to_fold = scripts.MOST_TO_FOLD if settings.summary and settings.turns else 0
        self._key = key
        self._put = redis.register_script(scripts.PUT)
        self._move = redis.register_script(scripts.MOVE)
        self._fold = redis.register_script(scripts.FOLD)
        self._drop = redis.register_script(scripts.DROP)
        self._join = redis.register_script(scripts.JOIN)

    async def load(self, conversation: str) -> list[Exchange]:
        """The exchanges that are kept word for word, oldest first; who reads them may read is ``readable``'s to say."""
        with store_errors(CONSEQUENCE):
            stored: Any = await self._redis.hgetall(self._key(conversation))
        return _exchanges(stored)

    async def recall(
        self, conversation: str, speaker: str, audiences: Collection[str], tenant: str = "", *, alone: bool = False
    ) -> tuple[list[Exchange], Background]:
        """:meth:`load`'s exchanges and :meth:`background`, in one trip but for the notes: every answer begins with it."""
        with store_errors(CONSEQUENCE):
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(self._key(conversation))
                self._read_to_fold(pipe, conversation)
                recent, raw, waiting = await pipe.execute()
        notes = await self.notes.load(conversation, speaker, tenant, alone=alone) if self.notes else ()
        summary = self._summary(_to_fold(raw, waiting), audiences, tenant)
        return _exchanges(recent), Background(summary=summary, notes=notes)

    async def background(
        self, conversation: str, speaker: str, audiences: Collection[str], tenant: str = "", *, alone: bool = False
    ) -> Background:
        """What is known beside :meth:`load`'s exchanges: the summary of what came before them and the speaker's notes.

        The summary as far as all who read ``audiences`` and belong to ``tenant`` may read it; of the notes, all where the
        speaker reads the answer ``alone``, else those that were said in this conversation.
        """
        _, background = await self.recall(conversation, speaker, audiences, tenant, alone=alone)
        return background

    def _summary(self, to_fold: ToFold, audiences: Collection[str], tenant: str) -> str:
        if not self._most_to_fold:
            return ""
        own = to_fold.for_readers(audiences, tenant)
        return selected(own.summary.text, own.told()) if own.exchanges else own.summary.text

    async def fold(self, conversation: str, summarise: Summarise, *, at_once: int = FOLDED_AT_ONCE) -> bool:
        """Takes what waits into the summary, if at least ``at_once`` exchanges wait; False if nothing was folded.

        Meant for the time after an answer. Another process may do the same: one summary stands. What was forgotten or changed
        while the summary was written makes it void; what waited waits on.
        """
        with store_errors(CONSEQUENCE):
            async with self._redis.pipeline(transaction=True) as pipe:
                self._read_to_fold(pipe, conversation)
                found = _to_fold(*await pipe.execute())
        if not self._most_to_fold or len(found.exchanges) < at_once:
            return False
        chosen = found.for_the_newest()
        next_one = await _next(chosen, summarise) if chosen.exchanges else found.summary
        folded = [part for entry in found.stored.items() for part in entry]
        arguments: list[Any] = [found.raw, dumped(next_one), self._ttl, *folded]
        with store_errors(CONSEQUENCE):
            return bool(await self._fold(keys=self._below(conversation), args=arguments))

    async def append(self, conversation: str, exchange: Exchange) -> int:
        """Remembers an exchange; one whose turn is known already changes nothing. Returns how many wait for the summary."""
        return await self._write(conversation, exchange, replaces=False)

    async def replace(self, conversation: str, exchange: Exchange) -> int:
        """Like :meth:`append`, but in the place of the exchange with the same turn, if there was one."""
        return await self._write(conversation, exchange, replaces=True)

    async def remove_turn(self, conversation: str, turn_id: str) -> None:
        """Forgets one exchange, and a summary that may hold it; an unknown turn is no error."""
        waiting, summary = self._below(conversation)
        with store_errors(CONSEQUENCE):
            await self._drop(keys=[self._key(conversation), waiting], args=[turn_id])
            raw = await self._redis.get(summary)
            # What cannot be read may hold anything.
            if raw and ((kept := loaded(raw)).may_hold(turn_id) or not kept.text):
                await self._redis.delete(summary)

    async def forget(self, conversation: str, speaker: str | None = None) -> int:
        """Forgets the conversation, or only what ``speaker`` asked and was answered; returns how many exchanges.

        The summary goes in both cases: it may hold the speaker's words. Notes are forgotten by ``notes``.
        """
        recent, (waiting, summary) = self._key(conversation), self._below(conversation)
        with store_errors(CONSEQUENCE):
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hgetall(recent)
                pipe.hgetall(waiting)
                if speaker is None:
                    pipe.delete(recent, waiting, summary)
                found = (await pipe.execute())[:2]
            if speaker is None:
                return sum(map(len, found))
            theirs = [each.turn_id for part in found for each in _exchanges(part) if each.speaker == speaker]
            gone = await self._drop(keys=[recent, waiting], args=theirs) if theirs else 0
            # Last: a summary that was written of their words meanwhile goes too, and none can be written any more.
            await self._redis.delete(summary)
        return int(gone)

    async def speakers(self, conversation: str) -> set[str]:
        """Whose exchanges are remembered word for word, or wait for the summary."""
        with store_errors(CONSEQUENCE):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(self._key(conversation))
                pipe.hgetall(self._below(conversation)[0])
                found = await pipe.execute()
        return {each.speaker for part in found for each in _exchanges(part)}

    async def move(self, old: str, new: str) -> None:
        """Gives ``new`` what ``old`` remembers, joined with its own; for a Telegram group that became a supergroup."""
        if old == new:
            return
        places = [self._key(new), *self._below(new), self._key(old), *self._below(old)]
        with store_errors(CONSEQUENCE):
            await self._move(keys=places, args=["", "", self._turns, self._ttl, "", self._most_to_fold])
        await self._join_summaries(new, old)
        if self.notes:
            await self.notes.move(old, new)

    async def _join_summaries(self, new: str, old: str) -> None:
        here, there = self._below(new)[1], self._below(old)[1]
        with store_errors(CONSEQUENCE):
            joined = 0
            while not joined and (old_one := await self._redis.get(there)):
                new_one = await self._redis.get(here) or b""
                both = dumped(loaded(old_one).joined(loaded(new_one)))
                joined = await self._join(keys=[here, there], args=[new_one, old_one, both, self._ttl])

    def _below(self, conversation: str) -> list[str]:
        """The keys of the exchanges to fold and of the summary."""
        return [f"{self._key(conversation)}:to-fold", f"{self._key(conversation)}:summary"]

    def _read_to_fold(self, pipe: Pipeline, conversation: str) -> None:
        """Asks for what :func:`_to_fold` takes. In a transaction: a turn must not move between the two reads."""
        waiting, summary = self._below(conversation)
        pipe.get(summary)
        pipe.hgetall(waiting)

    async def _write(self, conversation: str, exchange: Exchange, *, replaces: bool) -> int:
        if not self._turns:
            return 0
        limits = (self._turns, self._ttl, int(replaces), self._most_to_fold)
        with store_errors(CONSEQUENCE):
            waiting = await self._put(
                keys=[self._key(conversation), *self._below(conversation)],
                args=[exchange.turn_id, _encoded(exchange), *limits],
            )
        return int(waiting)


def _to_fold(raw: bytes | None, stored: Mapping[bytes, bytes]) -> ToFold:
    """The summary and the exchanges that wait for it, oldest first, without what another version wrote."""
    known = {turn: (value, exchange) for turn, value in stored.items() if (exchange := _decoded(value))}
    exchanges = sorted((exchange for _, exchange in known.values()), key=lambda each: each.asked_at)
    values = {turn: value for turn, (value, _) in known.items()}
    return ToFold(raw=raw or b"", summary=loaded(raw), exchanges=tuple(exchanges), stored=values)


async def _next(chosen: ToFold, summarise: Summarise) -> RunningSummary:
    before = chosen.summary
    language = await adetect(chosen.exchanges[-1].question, before.language or "en")
    text = await summarise(before.text, chosen.told(), language)
    return replace(before.with_turns(chosen.exchanges), text=text, language=language)


def _encoded(exchange: Exchange) -> bytes:
    return stamp(exchange.asked_at) + _EXCHANGES.dump_json(exchange)


def _exchanges(stored: Mapping[bytes, bytes]) -> list[Exchange]:
    """Oldest first, without what another version wrote: a conversation must go on over an upgrade and a rollback."""
    found = (_decoded(value) for value in stored.values())
    return sorted((each for each in found if each is not None), key=lambda each: each.asked_at)


def _decoded(value: bytes | str) -> Exchange | None:
    try:
        return _EXCHANGES.validate_json(value[STAMP:])
    except ValidationError as error:
        log.warning("an exchange in memory cannot be read and is left out (%d errors)", error.error_count())
        return None


_EXCHANGES: TypeAdapter[Exchange] = TypeAdapter(Exchange)
