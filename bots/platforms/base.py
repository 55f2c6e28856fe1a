"""The seam of a messaging platform: ``Platform`` receives messages and opens replies, ``Reply`` shows one reply.

A platform is one folder here, with its settings, audiences, contact and handover channel, and one line in
``bots/platforms/entries.py``. Receiving and replying are separate, because a ``cotorra worker`` replies on every platform and
receives from none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis
from starlette.routing import BaseRoute

from bots.conversation.audience import Readers
from bots.conversation.handover.handovers import HandoverChannel
from bots.conversation.handover.state import Whereabouts
from bots.keys import Keys
from bots.messages import IncomingMessage, OutgoingReply
from bots.queue.outbox import FeedbackEntry
from bots.queue.replies import ReplyEntry, ReplyLedger
from rag.types import Stage

Accept = Callable[[IncomingMessage], Awaitable[bool]]
"""Stores a message durably; False for one that was accepted before. Raises ``StoreUnavailable``: answer with a 5xx then."""


class PlatformMetrics(Protocol):
    """Counts the failed calls of a platform."""

    def error(self, platform: str, method: str, code: str) -> None:
        """A call to the platform failed; ``code`` is the platform's error code."""


class NoMetrics:
    """Reports nothing."""

    def error(self, platform: str, method: str, code: str) -> None:
        """Does nothing."""


class Reply(Protocol):
    """One reply that is shown while it grows. Calls come one after the other, from one task.

    ``show`` and ``finish`` take the whole text so far, not a piece: the platform knows what is on the screen and sends the
    difference. The platform stores each confirmed step in the ledger (``ReplyLedger``) before it returns.
    """

    async def status(self, stage: Stage) -> None:
        """Shows that work goes on (typing, "Searching…"). Never raises: the status is optional."""

    async def show(self, text: str) -> None:
        """Shows at least a part of ``text`` when pacing allows; returns without waiting when it does not.

        Never raises a ``DeliveryError``; ``LeaseLost`` and ``StoreUnavailable`` end the turn at once.
        """

    async def finish(self, reply: OutgoingReply) -> None:
        """Returns once the whole reply is on the screen, with sources and buttons.

        Raises ``DeliveryRetry`` or ``DeliveryRefused``. Called again after a crash, it completes the reply.
        """


class Platform(Protocol):
    """A messaging platform."""

    name: str

    @property
    def handover(self) -> HandoverChannel | None:
        """Where people are asked to take a conversation over; None where nobody can be asked through this platform."""

    def routes(self) -> Sequence[BaseRoute]:
        """HTTP routes for the ASGI app; empty when the platform receives without HTTP."""

    async def start(self, accept: Accept) -> None:
        """Starts receiving (long polling, Socket Mode) and announces commands. Returns once it is ready."""

    async def stop(self) -> None:
        """Stops receiving; accepted messages stay in the inbox."""

    async def close(self) -> None:
        """Releases network connections, after the last reply."""

    async def resolve(self, message: IncomingMessage) -> IncomingMessage:
        """Adds the facts that the receiver cannot know without the network: channel kind, guests, user groups.

        Called before audiences are decided, and again before a stored answer is sent late. Where the platform refuses to
        tell, the sender counts as a guest in a shared channel. While it cannot tell (a limit, a 5xx, no network), raises
        ``DeliveryRetry`` with ``away``: an answer to too narrow an audience would be stored for good.
        """

    def readers(self, message: IncomingMessage) -> Readers:
        """Who reads the reply to a resolved message; where that is uncertain, public documents only."""

    async def reply(self, message: IncomingMessage, entry: ReplyEntry) -> Reply:
        """The reply to ``message``, new or continued after a crash; it saves each confirmed step through ``entry``."""

    async def whereabouts(self, message: IncomingMessage) -> Whereabouts:
        """Links to the conversation and its asker, as far as the platform has any; never raises a ``DeliveryError``."""

    def observe(self, gauge: Callable[[str, str, Callable[[], float]], None]) -> None:
        """Registers the platform's own gauges: ``gauge(name, text, read)``; called once."""

    async def check(self) -> Mapping[str, str]:
        """For ``doctor`` and ``/readyz``: facts by name (bot name, scopes). Raises ``BotsError`` with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformContext:
    """Everything that a platform is built from, except its own settings.

    ``feedback`` stores a rating durably (raises ``StoreUnavailable``). ``migrate`` moves a conversation whose id changed (old,
    new). ``busy``: messages wait, so answers should go out in as few calls as possible. ``remember_seconds`` is the memory's
    time to live. ``handover_place`` is the setting ``handover.{name}_channel``, empty where none is set.
    """

    redis: Redis
    keys: Keys
    ledger: ReplyLedger
    feedback: Callable[[FeedbackEntry], Awaitable[None]]
    migrate: Callable[[str, str], Awaitable[None]]
    metrics: PlatformMetrics
    busy: Callable[[], bool]
    remember_seconds: float
    body_bytes: int
    handover_place: str = ""
