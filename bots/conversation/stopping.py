"""Notices that nobody waits for the rest of an answer: its asker went on, changed the question or took it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from bots.messages import IncomingMessage
from bots.queue.inbox import Inbox
from rag.cancellation import end
from rag.errors import StoreUnavailable

LOOK_SECONDS = 0.5
"""Between two looks at what waits. An answer that takes less is never stopped."""

_GOING_ON = ("new", "forget", "person")
"""Commands after which nobody waits for an answer; the others may be read beside it."""


@asynccontextmanager
async def nobody_waits(
    inbox: Inbox, message: IncomingMessage, seconds: float = LOOK_SECONDS
) -> AsyncIterator[Callable[[], bool]]:
    """While the block runs, what it gets tells whether the answer to ``message`` may stop."""
    gone = asyncio.Event()
    watching = asyncio.create_task(_watch(inbox, message, gone, seconds), name="stopping")
    try:
        yield gone.is_set
    finally:
        await end(watching)


async def _watch(inbox: Inbox, message: IncomingMessage, gone: asyncio.Event, seconds: float) -> None:
    while not gone.is_set():
        await asyncio.sleep(seconds)
        with suppress(StoreUnavailable):  # then the answer is simply finished
            waiting = await inbox.waiting(message.conversation, behind=message.turn_id)
            if any(overtakes(later, message) for later in waiting):
                gone.set()


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
