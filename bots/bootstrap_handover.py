"""The wiring of handing conversations over to people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from redis.asyncio import Redis

from bots.conversation.handover.handovers import HandoverChannel, Handovers
from bots.conversation.handover.state import HandoverStore
from bots.keys import Keys
from bots.metrics import Metrics
from bots.platforms.base import Platform
from bots.queue.inbox import Inbox
from bots.settings import HandoverSettings
from rag.memory.conversation import ConversationMemory


def build_handovers(
    settings: HandoverSettings,
    platforms: Mapping[str, Platform],
    *,
    redis: Redis,
    keys: Keys,
    inbox: Inbox,
    memory: ConversationMemory,
    metrics: Metrics,
) -> Handovers:
    """Without a channel on any platform nobody can be asked to come."""
    return Handovers(
        HandoverStore(redis, keys),
        inbox,
        memory,
        metrics,
        channel=handover_channel(platforms),
        silent=timedelta(hours=settings.silent_hours),
    )


def handover_channel(platforms: Mapping[str, Platform]) -> HandoverChannel | None:
    """The one channel that is configured, if its platform is connected."""
    return next((platform.handover for platform in platforms.values() if platform.handover is not None), None)
