"""Telegram's entry in the list of platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bots.platforms.entry import PlatformEntry
from bots.platforms.telegram.settings import TelegramSettings

if TYPE_CHECKING:
    from bots.platforms.base import Platform, PlatformContext


def _build(settings: TelegramSettings, context: PlatformContext) -> Platform:
    from bots.platforms.telegram.platform import TelegramPlatform  # only where it is connected

    return TelegramPlatform(
        settings,
        redis=context.redis,
        keys=context.keys,
        ledger=context.ledger,
        feedback=context.feedback,
        migrate=context.migrate,
        metrics=context.metrics,
        busy=context.busy,
        body_bytes=context.body_bytes,
    )


TELEGRAM = PlatformEntry(
    name="telegram",
    settings=TelegramSettings,
    credential="bot_token",
    environment={
        "TELEGRAM_BOT_TOKEN": "bot_token",
        "TELEGRAM_WEBHOOK_URL": "webhook_url",
        "TELEGRAM_WEBHOOK_SECRET": "webhook_secret",
        "TELEGRAM_API_URL": "api_url",
    },
    contact=lambda settings: settings.contact,
    build=_build,
)
