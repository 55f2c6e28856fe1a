"""What the engine's tests share: messages, a worker that runs for the length of a block, and a record of what it did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bots.messages import IncomingMessage, Sender
from bots.queue.inbox import Inbox
from bots.queue.outbox import OutboxEntry
from bots.queue.replies import Lease
from bots.queue.worker import Worker
from bots.settings import WorkerSettings

QUICK = WorkerSettings(lease_seconds=1, drain_seconds=0.5)


def message(
    number: int, conversation: str = "slack:T:C:1", *, sender: str = "ada", text: str = "How do I connect Slack?"
) -> IncomingMessage:
    """The ``number``-th message of a conversation."""
    return IncomingMessage(
        id=f"{conversation}/{number}",
        seen=(f"{conversation}/{number}", f"event/{conversation}/{number}"),
        platform="slack",
        conversation=conversation,
        kind="question",
        text=text,
        sender=Sender(id=sender),
        channel="direct",
        received_at=datetime.now(UTC),
    )


@dataclass
class Desk:
    """Handles every message with ``act`` and keeps what was handled, given up and set aside."""

    act: Callable[[IncomingMessage], Awaitable[Sequence[OutboxEntry]]] | None = None
    handled: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    aside: int = 0

    async def handle(self, message: IncomingMessage, lease: Lease) -> Sequence[OutboxEntry]:
        self.handled.append(message.id)
        return await self.act(message) if self.act else ()

    async def give_up(self, message: IncomingMessage, lease: Lease) -> None:
        self.given_up.append(message.turn_id)

    def set_aside(self) -> None:
        self.aside += 1


@asynccontextmanager
async def working(inbox: Inbox, desk: Desk, settings: WorkerSettings = QUICK) -> AsyncIterator[Worker]:
    """A worker that pauses between tries for no time at all; it is stopped at the end of the block."""
    worker = Worker(inbox, desk.handle, desk.give_up, settings, desk, backoff=lambda tries: 0.0)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        await worker.stop()
        await running


async def emptied(inbox: Inbox) -> bool:
    """Whether nothing waits and nothing is in work."""
    return await inbox.queue_length() == 0
