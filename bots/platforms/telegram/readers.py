"""Audiences and tenant of the readers of an answer in Telegram."""

from __future__ import annotations

from bots.conversation.audience import PUBLIC, Readers
from bots.messages import IncomingMessage
from bots.platforms.telegram.settings import TelegramSettings


def telegram_readers(message: IncomingMessage, settings: TelegramSettings) -> Readers:
    """Public documents and no tenant, unless the settings map the chat to more."""
    chat = message.address.get("chat", "")
    mapped = frozenset(settings.chat_audiences.get(chat, ()))
    return Readers(audiences=PUBLIC | mapped, tenant=settings.chat_tenants.get(chat, ""))
