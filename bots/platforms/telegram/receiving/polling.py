"""Long polling, in one process at a time. It confirms an update to Telegram only after the update was stored durably.

``telegram.ext.Updater`` confirms a batch before its handlers have run, so a crash would lose it. Here the offset moves past
an update only after it was accepted; the next request confirms it. Two pollers at once lose nothing either: each confirms
only what it accepted, and the inbox recognises an update that both accept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog
from telegram.error import Conflict, InvalidToken, RetryAfter, TelegramError

from bots.platforms.base import PlatformMetrics
from bots.platforms.telegram.client import TelegramClient, code_of, retry_after_seconds
from bots.platforms.telegram.pacing import Timing
from rag.errors import StoreUnavailable
from rag.store.lease import Lease

log = structlog.get_logger()
_TRIES = 5
"""An update that fails this often, for another reason than Redis, is skipped: it would block all that follow."""


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
        self._failing: tuple[int, int] = (0, 0)
        self.polled_at: float | None = None

    async def run(self) -> None:
        """Polls until cancelled."""
        while True:
            async with self._lease.hold():
                log.info("telegram.polls")
                # Another process may have confirmed updates meanwhile: without an offset Telegram sends all that are left.
                self._offset = None
                await self._poll_while_valid()

    def seconds_since_poll(self) -> float:
        """Seconds since Telegram last answered this process; -1 while another one polls."""
        return -1.0 if self.polled_at is None or not self._lease.valid else monotonic() - self.polled_at

    async def _poll_while_valid(self) -> None:
        pause, webhook_removed = self._timing.pause, False
        while self._lease.valid:
            try:
                if not webhook_removed:  # a webhook that is still set would refuse every poll
                    await self._client.delete_webhook()
                    webhook_removed = True
                await self._poll()
                pause = self._timing.pause
            except TelegramError as error:
                self._metrics.error("telegram", "getUpdates", code_of(error))
                log.warning("telegram.polling", error=code_of(error))
                webhook_removed = webhook_removed and not isinstance(error, Conflict)
                await asyncio.sleep(self._wait(error, pause))
                pause = min(pause * 2, self._timing.longest_pause)
            except StoreUnavailable:
                log.warning("telegram.polling", error="StoreUnavailable")
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._timing.longest_pause)

    def _wait(self, error: TelegramError, pause: float) -> float:
        if isinstance(error, RetryAfter):
            return retry_after_seconds(error)
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
        """Returns once the update is stored, or after its last try. Raises ``StoreUnavailable``."""
        failing, tries = self._failing
        if (failing, tries) == (number, _TRIES):
            return
        try:
            await self._take(raw)
        except StoreUnavailable:
            raise
        except Exception as error:
            self._failing = (number, tries + 1 if failing == number else 1)
            log.error("telegram.update_failed", error=type(error).__name__, tries=self._failing[1])  # noqa: TRY400
            raise StoreUnavailable("an update was not accepted; it is fetched again") from error
