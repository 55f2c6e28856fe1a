"""Waiting for a state that nothing announces: of another process, of a server, of a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.005
PATIENCE = 60.0
"""Seconds until a wait has failed: only a broken test waits as long."""


async def until(condition: Callable[[], object | Awaitable[object]], seconds: float = PATIENCE) -> None:
    """Returns as soon as ``condition`` holds. Raises ``TimeoutError``.

    For what a test cannot be told of: where there is an event or a condition to wait for, it waits for that.
    """
    async with asyncio.timeout(seconds):
        while True:
            state = condition()
            if await state if isinstance(state, Awaitable) else state:
                return
            await asyncio.sleep(LOOK_SECONDS)
