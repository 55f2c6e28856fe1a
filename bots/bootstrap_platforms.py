"""The part of the wiring that names the platforms: those that have credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from bots.conversation.handover.state import HandoverStore
from bots.metrics import Metrics
from bots.platforms.base import Platform, PlatformContext
from bots.platforms.entries import PLATFORMS
from bots.platforms.entry import PlatformEntry
from bots.settings import Settings
from tuning.errors import LogUnavailable

if TYPE_CHECKING:
    from bots.bootstrap import Stores

log = structlog.get_logger()


def open_platforms(
    settings: Settings,
    stores: Stores,
    metrics: Metrics,
    busy: Callable[[], bool],
    entries: Sequence[PlatformEntry[Any]] = PLATFORMS,
) -> dict[str, Platform]:
    """The platforms that have credentials. Raises ``SettingsError`` for credentials that do not belong together."""

    def built(entry: PlatformEntry[Any]) -> Platform:
        context = PlatformContext(
            redis=stores.redis,
            keys=stores.keys,
            ledger=stores.ledger,
            feedback=stores.outbox.post,
            migrate=lambda old, new: _migrate(stores, old, new),
            metrics=metrics,
            busy=busy,
            remember_seconds=settings.memory.ttl_days * 86400,
            body_bytes=settings.limits.body_bytes,
            handover_place=settings.handover.channel(entry.name),
        )
        return entry.build(entry.section(settings), context)

    return {entry.name: built(entry) for entry in entries if entry.connected(settings)}


def platform_contacts(settings: Settings, entries: Sequence[PlatformEntry[Any]] = PLATFORMS) -> dict[str, str]:
    """How to reach a person, by platform; also of platforms that are not connected."""
    return {entry.name: entry.contact(entry.section(settings)) for entry in entries}


async def _migrate(stores: Stores, old: str, new: str) -> None:
    """A chat got another id: what was said in it goes along. Raises ``MemoryUnavailable`` or ``StoreUnavailable``."""
    await stores.memory.move(old, new)
    await HandoverStore(stores.redis, stores.keys).move(old, new)
    try:
        await asyncio.to_thread(stores.log.rename, old, new)
    except LogUnavailable:
        log.warning("log_keeps_the_old_name", why="the log does not answer")
