"""The seam of a platform: what receives, and what shows a reply.

A platform is one folder here and one line in ``bots/platforms/entries.py``: with its settings, its audiences, its contact and
its handover channel. Receiving and showing are apart, because a ``cotorra worker`` shows replies on every platform and
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
"""Durably accepts a message; False for one that was seen before. Raises ``StoreUnavailable``: answer the platform with a 5xx."""


class PlatformMetrics(Protocol):
    """What a platform reports about its own calls."""

    def error(self, platform: str, method: str, code: str) -> None:
        """A call to the platform failed; ``code`` is the platform's own word for it."""


class NoMetrics:
    """Reports nothing."""

    def error(self, platform: str, method: str, code: str) -> None:
        """Does nothing."""


class Reply(Protocol):
    """One reply on its way to the screen. Calls come one after the other, from one task.

    ``show`` and ``finish`` take the whole text so far, not a piece: the platform knows what stands on the screen and sends
    the difference. Each confirmed step is written to the ledger (``ReplyLedger``) by the platform before it returns.
    """

    async def status(self, stage: Stage) -> None:
        """Shows that work goes on (typing, "Searching…"). Never raises: a lost status is no failure."""

    async def show(self, text: str) -> None:
        """Shows at least a part of ``text`` when pacing allows; returns without waiting when it does not.

        Never raises a ``DeliveryError``; ``LeaseLost`` and ``StoreUnavailable`` end the turn at once.
        """

    async def finish(self, reply: OutgoingReply) -> None:
        """Returns once everything stands on the screen, with sources and buttons.

        Raises ``DeliveryRetry`` or ``DeliveryRefused``. Called again after a crash, it completes what is missing.
        """


class Platform(Protocol):
    """A messaging platform."""

    name: str

    @property
    def handover(self) -> HandoverChannel | None:
        """Where people are asked to take a conversation over; None where nobody can be asked through this platform."""

    def routes(self) -> Sequence[BaseRoute]:
        """HTTP routes for the ASGI app; empty when nothing is received over HTTP."""

    async def start(self, accept: Accept) -> None:
        """Starts receiving (long polling, Socket Mode) and announces commands. Returns once it is ready."""

    async def stop(self) -> None:
        """Stops receiving; what was accepted stays accepted."""

    async def close(self) -> None:
        """Releases network connections, after the last reply."""

    async def resolve(self, message: IncomingMessage) -> IncomingMessage:
        """Completes what the receiver could not know without the network: channel kind, guests, user groups.

        Called before audiences are decided, and again before a stored answer is sent late. What the platform will not tell
        counts as a guest in a shared channel; while it cannot tell (a limit, a 5xx, no network), raises ``DeliveryRetry``
        with ``away``: the answer to too narrow an audience would be stored for good.
        """

    def readers(self, message: IncomingMessage) -> Readers:
        """Who reads the reply to a resolved message; whatever is not known for certain counts as public."""

    async def reply(self, message: IncomingMessage, entry: ReplyEntry) -> Reply:
        """Opens (or, after a crash, finds again) the reply to ``message``; each confirmed step is saved through ``entry``."""

    async def whereabouts(self, message: IncomingMessage) -> Whereabouts:
        """Where people find the conversation and its asker, as far as the platform tells; never raises a ``DeliveryError``."""

    def observe(self, gauge: Callable[[str, str, Callable[[], float]], None]) -> None:
        """Registers figures of its own: ``gauge(name, text, read)``; called once."""

    async def check(self) -> Mapping[str, str]:
        """For ``doctor`` and ``/readyz``: facts by name (bot name, scopes). Raises ``BotsError`` with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformContext:
    """What a platform is built from besides its own settings.

    ``feedback`` stores a rating durably (raises ``StoreUnavailable``); ``migrate`` moves a conversation whose id changed (old,
    new); ``busy`` says that messages wait, so that answers go out in as few calls as possible; ``remember_seconds`` is the
    memory's time to live; ``handover_place`` is the setting ``handover.{name}_channel``, empty where nobody is to be asked.
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
