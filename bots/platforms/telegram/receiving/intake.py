"""Handles one update, from polling or the webhook: it is stored durably before :meth:`Intake.take` returns."""

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
from bots.platforms.telegram.receiving.updates import BotUser, ButtonTap, Event, GroupMigration, Membership, read

log = structlog.get_logger()
Migrate = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Receives the updates of one bot."""

    client: TelegramClient
    me: BotUser
    accept: Accept
    chats: Chats
    feedback: Feedback
    migrate: Migrate
    metrics: PlatformMetrics

    async def take(self, raw: object) -> None:
        """Stores an update, or ignores it. Raises ``StoreUnavailable``: nothing was accepted, and the update must come again."""
        match self._parse(raw):
            case IncomingMessage() as message:
                await self._message(message)
            case ButtonTap() as tap:
                await self.feedback.handle_tap(tap)
            case Membership(chat=chat, allowed=allowed):
                await (self.chats.unblock(chat) if allowed else self.chats.block(chat))
            case GroupMigration(old=old, new=new):
                await self._migrate_group(old, new)
            case None:
                pass

    def _parse(self, raw: object) -> Event | None:
        """The event in an update. None also for a malformed one: it must not stop the others, nor come again for ever."""
        try:
            update = Update.de_json(cast("dict[str, Any]", raw), self.client)
            return read(update, self.me, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001  (python-telegram-bot raises whatever a wrong type leads to)
            self.metrics.error("telegram", "update", "unreadable")
            log.warning("telegram.unreadable_update", error=type(error).__name__, fields=_fields(raw))
            return None

    async def _message(self, message: IncomingMessage) -> None:
        if await self.feedback.take_explanation(message):
            return
        # A chat that sends a message does not block the bot, even if the update that says so was lost.
        await self.chats.unblock(int(message.address["chat"]))
        await self.accept(message)

    async def _migrate_group(self, old: int, new: int) -> None:
        """Moves the memory once: both chats announce the migration."""
        if await self.chats.has_moved(old):
            return
        await self.migrate(f"telegram:{old}:0", f"telegram:{new}:0")
        # Last: a crash before this line moves the memory again when the second announcement comes.
        await self.chats.move(old, new)


def _fields(raw: object) -> list[str]:
    """The fields of an update, for the log: only names that Telegram uses, since any other could hold a text."""
    telegram_names = set(Update.ALL_TYPES)
    return sorted(telegram_names & set(raw)) if isinstance(raw, dict) else []
