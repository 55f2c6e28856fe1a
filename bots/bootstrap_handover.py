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
    """Without Slack, or without a channel there, nobody can be asked to come."""
    return Handovers(
        HandoverStore(redis, keys),
        inbox,
        memory,
        metrics,
        channel=handover_channel(platforms),
        silent=timedelta(hours=settings.silent_hours),
    )


def handover_channel(platforms: Mapping[str, Platform]) -> HandoverChannel | None:
    slack = platforms.get("slack")
    if slack is None:
        return None
    from bots.platforms.slack.platform import (
        SlackPlatform,  # only where it is configured: importing bolt takes its time
    )

    return slack.handover if isinstance(slack, SlackPlatform) else None
