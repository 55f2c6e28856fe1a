"""Notices that an answer is no longer wanted: its asker wrote on, edited the question or deleted it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bots.messages import IncomingMessage
from bots.queue.inbox import Inbox
from rag.cancellation import end
from rag.errors import StoreUnavailable

GRACE_SECONDS = 0.5
"""Seconds before Redis is first asked. An answer that takes less is never stopped, and most answers take less."""

_ENDING_COMMANDS = ("new", "forget", "person")
"""Commands after which an answer in progress is not wanted; after the others (help, sources) it still is."""


@asynccontextmanager
async def nobody_waits(
    inbox: Inbox, message: IncomingMessage, grace: float = GRACE_SECONDS
) -> AsyncIterator[asyncio.Event]:
    """Context manager. Yields an event that is set once the answer to ``message`` is no longer wanted.

    ``grace`` is in seconds.
    """
    abandoned = asyncio.Event()
    watching = asyncio.create_task(_watch(inbox, message, abandoned, grace), name="stopping")
    try:
        yield abandoned
    finally:
        await end(watching)


async def _watch(inbox: Inbox, message: IncomingMessage, abandoned: asyncio.Event, grace: float) -> None:
    await asyncio.sleep(grace)
    async with inbox.arrivals.into(message.conversation) as arrived:
        while not abandoned.is_set():
            await arrived.wait()
            # Cleared before the look-up: a message that arrives during it sets the event again.
            arrived.clear()
            with suppress(StoreUnavailable):  # without Redis the answer is finished as if nothing had come
                waiting = await inbox.waiting(message.conversation, behind=message.turn_id)
                if any(overtakes(later, message) for later in waiting):
                    abandoned.set()


def overtakes(later: IncomingMessage, message: IncomingMessage) -> bool:
    """Whether ``later`` shows that the answer to ``message`` is no longer wanted."""
    match later.kind:
        case "edit" | "deletion":
            return later.original == (message.original or message.id)
        case "question":  # of the same person: in a group others may ask meanwhile
            return later.sender.id == message.sender.id
        case "command":
            return later.sender.id == message.sender.id and later.command in _ENDING_COMMANDS
    return False
