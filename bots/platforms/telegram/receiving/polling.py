"""Long polling that confirms to Telegram only what is durable, in one process at a time.

``telegram.ext.Updater`` confirms a batch before its handlers have run, so a crash would lose it. Here the offset moves past
an update only after it was accepted; the next request confirms it. Two pollers at once lose nothing either: each confirms
only what it accepted itself, and what both accept is recognised as seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from bots.platforms.base import PlatformMetrics
from bots.platforms.telegram.client import TelegramClient, code_of, wished_pause
from bots.platforms.telegram.pacing import Timing
from rag.errors import StoreUnavailable
from rag.store.lease import Lease

log = structlog.get_logger()
_TRIES = 5
"""An update whose handling fails this often for another reason than Redis is skipped: it would stop all that follow."""


class Poller:
    """Polls while it holds the lease. ``take`` accepts one update durably."""

    def __init__(
        self,
        client: TelegramClient,
        lease: Lease,
        take: Callable[[object], Awaitable[None]],
        timing: Timing,
        metrics: PlatformMetrics,
    ) -> None:
        self._client = client
        self._lease = lease
        self._take = take
        self._timing = timing
        self._metrics = metrics
        self._offset: int | None = None
        self._failed: tuple[int, int] = (0, 0)
        self.polled_at: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            async with self._lease.hold():
                log.info("telegram.polls")
                self._offset = None
                await self._poll_while_valid()

    def seconds_since_poll(self) -> float:
        """Seconds since Telegram last answered this process; -1 while another one polls."""
        return -1.0 if self.polled_at is None or not self._lease.valid else monotonic() - self.polled_at

    async def _poll_while_valid(self) -> None:
        pause, prepared = self._timing.pause, False
        while self._lease.valid:
            try:
                if not prepared:  # a webhook that is still set would refuse every poll
                    await self._client.delete_webhook()
                    prepared = True
                await self._poll()
                pause = self._timing.pause
            except TelegramError as error:
                self._metrics.error("telegram", "getUpdates", code_of(error))
                log.warning("telegram.polling", error=code_of(error))
                prepared = prepared and not isinstance(error, Conflict)
                await asyncio.sleep(self._wait(error, pause))
                pause = min(pause * 2, self._timing.longest_pause)
            except StoreUnavailable:
                log.warning("telegram.polling", error="StoreUnavailable")
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._timing.longest_pause)

    def _wait(self, error: TelegramError, pause: float) -> float:
        if isinstance(error, RetryAfter):
            return wished_pause(error)
        if isinstance(error, InvalidToken):
            log.error("telegram.token_refused", cure="copy TELEGRAM_BOT_TOKEN again from @BotFather")
            return self._timing.longest_pause
        return pause

    async def _poll(self) -> None:
        updates = await self._client.fetch_updates(self._offset, self._timing.long_poll)
        self.polled_at = monotonic()
        for raw in updates:
            number = raw.get("update_id") if isinstance(raw, dict) else None
            if not isinstance(number, int):
                continue
            await self._accept(number, raw)
            self._offset = number + 1
        if not updates:
            # Everything is confirmed. After a week without updates Telegram numbers from a random start (Bot API,
            # Update.update_id), and a kept offset could confirm, unseen, what comes then.
            self._offset = None

    async def _accept(self, number: int, raw: object) -> None:
        """Returns also for an update that was given up. Raises ``StoreUnavailable``."""
        failed, tries = self._failed
        if (failed, tries) == (number, _TRIES):
            return
        try:
            await self._take(raw)
        except StoreUnavailable:
            raise
        except Exception as error:
            self._failed = (number, tries + 1 if failed == number else 1)
            log.error("telegram.update_failed", error=type(error).__name__, tries=self._failed[1])  # noqa: TRY400
            raise StoreUnavailable("an update was not accepted; it is fetched again") from error
