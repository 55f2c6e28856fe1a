"""The typing mark, repeated until the reply is finished, for a limited time because a reply can be abandoned."""

from __future__ import annotations

import asyncio
from time import monotonic

from telegram.error import TelegramError

from bots.errors import DeliveryRefused
from bots.platforms.telegram.pacing import Clock, Timing
from bots.platforms.telegram.replying.screen import Screen

TASK = "typing mark"


class TypingMark:
    """Shows "typing…" in a chat from the first :meth:`keep` to :meth:`stop`; ends a minute after the last :meth:`keep`."""

    def __init__(self, screen: Screen, timing: Timing, clock: Clock = monotonic) -> None:
        self._screen = screen
        self._timing = timing
        self._clock = clock
        self._until = 0.0
        self._task: asyncio.Task[None] | None = None

    def keep(self) -> None:
        """Starts the mark, or prolongs it."""
        self._until = self._clock() + self._timing.typing_limit
        if self._task is None:
            self._task = asyncio.create_task(self._repeat(), name=TASK)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _repeat(self) -> None:
        while self._clock() < self._until:
            try:
                await self._screen.typing()
            except (TelegramError, DeliveryRefused):  # limited, blocked or offline: the mark is not worth another call
                return
            await asyncio.sleep(self._timing.typing)
