"""Handing a conversation over to people, and taking it back.

Who wishes for a person is told of only after people were: the intent is stored, the case is posted where people look, its id
is stored, and then the asker is answered. A crash between two of these steps finds what the one before left. From then on the
bot is silent in that conversation until somebody there lets it resume, the time is over, or the asker goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from bots.conversation.audience import Readers
from bots.conversation.handover.case import Case, compose
from bots.conversation.handover.state import Ending, Handover, HandoverStore, Whereabouts, redrawing
from bots.errors import DeliveryRefused, DeliveryRetry
from bots.messages import IncomingMessage
from bots.queue.inbox import Inbox
from bots.queue.replies import Lease
from rag.memory.conversation import ConversationMemory
from rag.types import Exchange

log = structlog.get_logger()

PATIENCE = timedelta(seconds=60)
"""How long the asker waits for a channel that takes nothing at the moment; then they are told that nobody could be reached."""


class HandoverChannel(Protocol):
    """Where people are asked to come. Raises ``DeliveryRetry`` and ``DeliveryRefused``."""

    place: str

    async def readers(self) -> Readers:
        """Who reads it."""

    async def post(self, case: Case) -> str:
        """The id of a new post that shows ``case`` and lets people resume the bot."""

    async def find(self, turn: str, since: datetime) -> str | None:
        """The id of a turn's post that was lost in a crash; empty when there is none, None when nobody can tell."""

    async def redraw(self, handover: Handover) -> None:
        """Brings a post to what has become of the handover; what was said in the conversation goes from it."""

    async def remove(self, place: str, post: str) -> None:
        """Deletes a post; one that is gone is no failure."""

    async def check(self) -> Mapping[str, str]:
        """For ``doctor``: facts by name. Raises ``BotsError`` with what to do."""


class Observer(Protocol):
    """Where the figures go."""

    def handover(self, outcome: str) -> None:
        """One wish for a person was heard, or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Somebody wants a person: the message in which they said so is the one whose reply tells them what came of it."""

    message: IncomingMessage
    question: str
    history: Sequence[Exchange]
    where: Whereabouts


class Handovers:
    """Every conversation's. Methods raise ``StoreUnavailable``; without a ``channel`` nobody can be asked."""

    def __init__(
        self,
        store: HandoverStore,
        inbox: Inbox,
        memory: ConversationMemory,
        metrics: Observer,
        *,
        channel: HandoverChannel | None = None,
        silent: timedelta = timedelta(hours=12),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._memory = memory
        self._metrics = metrics
        self._channel = channel
        self._silent = silent
        self._now = now

    @property
    def possible(self) -> bool:
        """Whether there is anybody to ask."""
        return self._channel is not None

    async def current(self, conversation: str) -> Handover | None:
        """The handover in force: the bot is silent. One whose time is over ends here."""
        latest = await self._store.latest(conversation)
        if latest is None or latest.stage != "open":
            return None
        if self._now() < latest.until:
            return latest
        await self._close(latest, "time")
        return None

    async def taken(self, conversation: str, turn: str) -> bool:
        """Whether nothing may be sent as the reply to ``turn``: a person answers here, and another message asked for them."""
        if self._channel is None:  # asked before every step of every reply: no trip to Redis where nobody can take over
            return False
        current = await self.current(conversation)
        return current is not None and current.turn_id != turn

    async def ask(self, wish: Wish, lease: Lease) -> bool:
        """Asks people to come; False where nobody could be reached, for good. May be called again after a crash.

        Raises ``DeliveryRetry`` while the channel takes nothing, and ``LeaseLost``.
        """
        if self._channel is None:
            self._metrics.handover("nobody")
            return False
        handover, known = await self._store.begin(self._intent(wish), lease)
        if handover.stage == "intended":
            handover = await self._tell(self._channel, handover, wish, again=known)
        return handover.stage != "failed"

    def _intent(self, wish: Wish) -> Handover:
        now = self._now()
        return Handover(
            conversation=wish.message.conversation,
            turn_id=wish.message.turn_id,
            asked=replace(wish.message, text="", attachments=()),
            since=now,
            until=now + self._silent,
            where=wish.where,
            place=self._channel.place if self._channel else "",
        )

    async def _tell(self, channel: HandoverChannel, handover: Handover, wish: Wish, *, again: bool) -> Handover:
        try:
            post = await self._found(channel, handover) if again else ""
            post = post or await channel.post(await self._case(channel, handover, wish))
        except DeliveryRetry:
            if self._now() - handover.since < PATIENCE:
                raise
            return await self._failed(handover, "the channel took nothing for a minute")
        except DeliveryRefused as error:
            return await self._failed(handover, str(error))
        told = replace(handover, stage="open", post=post)
        if await self._store.change(handover, told):
            self._metrics.handover("asked")
            return told
        # Forgotten, or resumed by somebody quick, before the post was noted.
        await self._inbox.accept(redrawing(told, self._now()))
        return told

    async def _found(self, channel: HandoverChannel, handover: Handover) -> str:
        found = await channel.find(handover.turn_id, handover.since)
        if found is None:
            log.warning("handover_possible_duplicate", turn=handover.turn_id)
            self._metrics.handover("possible_duplicate")
        return found or ""

    async def _case(self, channel: HandoverChannel, handover: Handover, wish: Wish) -> Case:
        readers = await channel.readers()
        known = await self._memory.background(handover.conversation, "", readers.audiences, readers.tenant)
        language = wish.message.language or "en"
        return compose(handover, wish.question, known.summary, wish.history, readers, language)

    async def _failed(self, handover: Handover, reason: str) -> Handover:
        failed = replace(handover, stage="failed")
        await self._store.change(handover, failed)
        self._metrics.handover("failed")
        log.warning("handover_failed", turn=handover.turn_id, reason=reason)
        return failed

    async def resume(self, message: IncomingMessage) -> bool:
        """Somebody let the bot resume; whether it was silent until then. The same message may come again after a crash."""
        handover = await self._store.find(message.conversation, message.original)
        if handover is None:
            return False
        if handover.stage != "closed":
            return await self._close(handover, "resumed", by=message.text, closing=message.turn_id)
        return handover.closing == message.turn_id

    async def end(self, conversation: str) -> None:
        """The asker goes on with the bot."""
        if (current := await self.current(conversation)) is not None:
            await self._close(current, "asker")

    async def _close(self, handover: Handover, ended: Ending, *, by: str = "", closing: str = "") -> bool:
        closed = replace(handover, stage="closed", ended=ended, by=by, closing=closing)
        if not await self._store.change(handover, closed):
            return False
        self._metrics.handover(ended)
        await self._inbox.accept(redrawing(closed, self._now()))
        return True

    async def redraw(self, message: IncomingMessage) -> None:
        """Brings a post to what is known now; one of which nothing is known any more is removed. Raises ``DeliveryRetry``."""
        if self._channel is None:
            return
        place, post = message.address["place"], message.address["post"]
        handover = await self._store.find(message.address["conversation"], message.original)
        with suppress(DeliveryRefused):  # the channel is gone, and the post with it
            if handover is None:
                since = datetime.fromisoformat(message.address["since"])
                post = post or await self._channel.find(message.original, since) or ""
                await self._channel.remove(place, post)
            elif post or handover.post:
                await self._channel.redraw(replace(handover, place=place, post=post or handover.post))
