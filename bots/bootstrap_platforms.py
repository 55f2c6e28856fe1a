"""The part of the wiring that names the platforms: those that have credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from bots.conversation.handover.state import HandoverStore
from bots.metrics import Metrics
from bots.platforms.base import Platform
from bots.settings import Settings
from tuning.errors import LogUnavailable

if TYPE_CHECKING:
    from bots.bootstrap import Stores

log = structlog.get_logger()


def open_platforms(
    settings: Settings, stores: Stores, metrics: Metrics, busy: Callable[[], bool]
) -> dict[str, Platform]:
    """The platforms that have credentials. Raises ``SettingsError`` for credentials that do not belong together."""
    platforms: dict[str, Platform] = {}
    if settings.slack.bot_token is not None:
        from bots.platforms.slack.platform import SlackPlatform

        platforms["slack"] = SlackPlatform(
            settings.slack,
            redis=stores.redis,
            keys=stores.keys,
            ledger=stores.ledger,
            feedback=stores.outbox.post,
            metrics=metrics,
            busy=busy,
            remember=settings.memory.ttl_days * 86400,
            handover_channel=settings.handover.slack_channel,
        )
    if settings.telegram.bot_token is not None:
        from bots.platforms.telegram.platform import TelegramPlatform

        platforms["telegram"] = TelegramPlatform(
            settings.telegram,
            redis=stores.redis,
            keys=stores.keys,
            ledger=stores.ledger,
            feedback=stores.outbox.post,
            migrate=lambda old, new: _migrate(stores, old, new),
            metrics=metrics,
            busy=busy,
            body_bytes=settings.limits.body_bytes,
        )
    return platforms


async def _migrate(stores: Stores, old: str, new: str) -> None:
    """A chat got another id: what was said in it goes along. Raises ``StoreUnavailable``."""
    await stores.memory.move(old, new)
    await HandoverStore(stores.redis, stores.keys).move(old, new)
    try:
        await asyncio.to_thread(stores.log.rename, old, new)
    except LogUnavailable:
        log.warning("log_keeps_the_old_name", why="the log does not answer")
