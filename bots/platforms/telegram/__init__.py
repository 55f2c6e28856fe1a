"""Telegram as a platform."""

from bots.platforms.telegram.platform import TelegramPlatform

__all__ = ["TelegramPlatform"]
