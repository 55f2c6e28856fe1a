"""Handing a conversation over to people, and taking it back.

The steps are: store the intent, post the case where people look, store the post's id, answer the asker. Each step leaves a
record, so that after a crash the next worker continues with the missing one. From then on the bot is silent in that
conversation until a person lets it resume, the time is over, or the asker goes on with the bot.
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
"""How long the asker waits for a channel that accepts no post; then they are told that nobody could be reached."""


class HandoverChannel(Protocol):
    """The channel in which people are asked to take over. Methods raise ``DeliveryRetry`` and ``DeliveryRefused``."""

    place: str

    async def readers(self) -> Readers:
        """The readers of the channel."""

    async def post(self, case: Case) -> str:
        """Posts ``case`` with a button that lets the bot resume. Returns the post's id."""

    async def find(self, turn: str, since: datetime) -> str | None:
        """The id of a turn's post whose id was lost in a crash: empty if there is none, None if the channel cannot tell."""

    async def redraw(self, handover: Handover) -> None:
        """Updates a post to the handover's present state, and removes from it what was said in the conversation."""

    async def remove(self, place: str, post: str) -> None:
        """Deletes a post. A post that does not exist any more is no failure."""

    async def check(self) -> Mapping[str, str]:
        """For ``doctor``: facts by name. Raises ``BotsError`` with what to do."""


class Observer(Protocol):
    """Receives metrics of handovers."""

    def handover(self, outcome: str) -> None:
        """One handover was begun, failed or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request for a person. The reply to ``message``, in which it was made, tells the asker whether somebody was asked."""

    message: IncomingMessage
    question: str
    history: Sequence[Exchange]
    where: Whereabouts


class Handovers:
    """The handovers of all conversations. Methods raise ``StoreUnavailable``. Without a ``channel``, nobody can be asked.

    ``silent`` is how long the bot is silent at most.
    """

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
        """Whether a channel is configured."""
        return self._channel is not None

    async def current(self, conversation: str) -> Handover | None:
        """The open handover of a conversation, in which the bot is silent. One whose time is over is closed by this call."""
        latest = await self._store.latest(conversation)
        if latest is None or latest.stage != "open":
            return None
        if self._now() < latest.until:
            return latest
        await self._close(latest, "time")
        return None

    async def taken(self, conversation: str, turn: str) -> bool:
        """Whether nothing may be sent as the reply to ``turn``, because a person answers now.

        The turn that asked for the person is an exception: its reply says that they were asked.
        """
        if self._channel is None:  # asked before every step of every reply: no trip to Redis where nobody can take over
            return False
        current = await self.current(conversation)
        return current is not None and current.turn_id != turn

    async def ask(self, wish: Wish, lease: Lease) -> bool:
        """Asks people to come. Returns False if nobody could be reached, for good. May be called again after a crash.

        Raises ``DeliveryRetry`` while the channel accepts nothing, and ``LeaseLost``.
        """
        if self._channel is None:
            self._metrics.handover("nobody")
            return False
        handover, existed = await self._store.begin(self._intent(wish), lease)
        if handover.stage == "intended":
            handover = await self._post(self._channel, handover, wish, again=existed)
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

    async def _post(self, channel: HandoverChannel, handover: Handover, wish: Wish, *, again: bool) -> Handover:
        try:
            # Posting again without a look would leave people two posts about one request.
            post = await self._find_post(channel, handover) if again else ""
            post = post or await channel.post(await self._case(channel, handover, wish))
        except DeliveryRetry:
            if self._now() - handover.since < PATIENCE:
                raise
            return await self._failed(handover, "the channel took nothing for a minute")
        except DeliveryRefused as error:
            return await self._failed(handover, str(error))
        opened = replace(handover, stage="open", post=post)
        if await self._store.change(handover, opened):
            self._metrics.handover("asked")
            return opened
        # It was forgotten or resumed before the post's id was stored, so the post is out of date already.
        await self._inbox.accept(redrawing(opened, self._now()))
        return opened

    async def _find_post(self, channel: HandoverChannel, handover: Handover) -> str:
        post = await channel.find(handover.turn_id, handover.since)
        if post is None:
            log.warning("handover_possible_duplicate", turn=handover.turn_id)
            self._metrics.handover("possible_duplicate")
        return post or ""

    async def _case(self, channel: HandoverChannel, handover: Handover, wish: Wish) -> Case:
        readers = await channel.readers()
        # The readers of the channel count here, not those of the conversation: they may be allowed less.
        background = await self._memory.background(handover.conversation, "", readers.audiences, readers.tenant)
        language = wish.message.language or "en"
        return compose(handover, wish.question, background.summary, wish.history, readers, language)

    async def _failed(self, handover: Handover, reason: str) -> Handover:
        failed = replace(handover, stage="failed")
        await self._store.change(handover, failed)
        self._metrics.handover("failed")
        log.warning("handover_failed", turn=handover.turn_id, reason=reason)
        return failed

    async def resume(self, message: IncomingMessage) -> bool:
        """Lets the bot resume. Returns whether it was silent until then, also when ``message`` is handled again after a crash."""
        handover = await self._store.find(message.conversation, message.original)
        if handover is None:
            return False
        if handover.stage != "closed":
            return await self._close(handover, "resumed", by=message.text, closing=message.turn_id)
        return handover.closing == message.turn_id

    async def end(self, conversation: str) -> None:
        """Ends the handover of a conversation, because the asker goes on with the bot."""
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
        """Updates a post to the present state; a post without a record is removed. Raises ``DeliveryRetry``."""
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
