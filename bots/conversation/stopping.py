"""Notices that nobody waits for the rest of an answer: its asker went on, changed the question or took it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bots.messages import IncomingMessage
from bots.queue.inbox import Inbox
from rag.cancellation import end
from rag.errors import StoreUnavailable

GRACE_SECONDS = 0.5
"""An answer that takes less is never stopped, and nothing is asked of Redis for its sake."""

_GOING_ON = ("new", "forget", "person")
"""Commands after which nobody waits for an answer; the others may be read beside it."""


@asynccontextmanager
async def nobody_waits(
    inbox: Inbox, message: IncomingMessage, grace: float = GRACE_SECONDS
) -> AsyncIterator[asyncio.Event]:
    """While the block runs, an event that is set as soon as the answer to ``message`` may stop."""
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
            arrived.clear()
            with suppress(StoreUnavailable):  # then the answer is simply finished
                waiting = await inbox.waiting(message.conversation, behind=message.turn_id)
                if any(overtakes(later, message) for later in waiting):
                    abandoned.set()


def overtakes(later: IncomingMessage, message: IncomingMessage) -> bool:
    """Whether ``later`` shows that nobody waits for the answer to ``message`` any more."""
    match later.kind:
        case "edit" | "deletion":
            return later.original == (message.original or message.id)
        case "question":
            return later.sender.id == message.sender.id
        case "command":
            return later.sender.id == message.sender.id and later.command in _GOING_ON
    return False
