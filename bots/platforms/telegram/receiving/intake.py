"""One update, by polling or by webhook: understood, and durable before :meth:`Intake.take` returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from telegram import Update

from bots.messages import IncomingMessage
from bots.platforms.base import Accept, PlatformMetrics
from bots.platforms.telegram.chats import Chats
from bots.platforms.telegram.client import TelegramClient
from bots.platforms.telegram.receiving.feedback import Feedback
from bots.platforms.telegram.receiving.updates import Event, Me, Membership, Migrated, Tapped, read

log = structlog.get_logger()
Migrate = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Receives for one bot."""

    client: TelegramClient
    me: Me
    accept: Accept
    chats: Chats
    feedback: Feedback
    migrate: Migrate
    metrics: PlatformMetrics

    async def take(self, raw: object) -> None:
        """Raises ``StoreUnavailable``: nothing was accepted, and the update must come again."""
        match self._understand(raw):
            case IncomingMessage() as message:
                await self._message(message)
            case Tapped() as tap:
                await self.feedback.tapped(tap)
            case Membership(chat=chat, welcome=welcome):
                await (self.chats.unblock(chat) if welcome else self.chats.block(chat))
            case Migrated(old=old, new=new):
                await self._migrated(old, new)
            case None:
                pass

    def _understand(self, raw: object) -> Event | None:
        """None also for what makes no sense: one strange update must not stop the others, nor come back for ever."""
        try:
            update = Update.de_json(cast("dict[str, Any]", raw), self.client)
            return read(update, self.me, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001  (python-telegram-bot raises whatever a wrong type leads to)
            self.metrics.error("telegram", "update", "unreadable")
            log.warning("telegram.unreadable_update", error=type(error).__name__, fields=_fields(raw))
            return None

    async def _message(self, message: IncomingMessage) -> None:
        if await self.feedback.explained(message):
            return
        # A chat that speaks to us has not shut us out, even if we missed being told.
        await self.chats.unblock(int(message.address["chat"]))
        await self.accept(message)

    async def _migrated(self, old: int, new: int) -> None:
        """Both chats announce it; the first announcement moves the memory, the second one finds it moved."""
        if await self.chats.moved(old):
            return
        await self.migrate(f"telegram:{old}:0", f"telegram:{new}:0")
        await self.chats.move(old, new)


def _fields(raw: object) -> list[str]:
    """Only names that Telegram uses: a made-up one could be anything."""
    known = set(Update.ALL_TYPES)
    return sorted(known & set(raw)) if isinstance(raw, dict) else []
