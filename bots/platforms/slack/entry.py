"""Slack's entry in the list of platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bots.platforms.entry import PlatformEntry
from bots.platforms.slack.settings import SlackSettings

if TYPE_CHECKING:
    from bots.platforms.base import Platform, PlatformContext


def _build(settings: SlackSettings, context: PlatformContext) -> Platform:
    from bots.platforms.slack.platform import SlackPlatform  # only where it is connected: bolt takes long to import

    return SlackPlatform(
        settings,
        redis=context.redis,
        keys=context.keys,
        ledger=context.ledger,
        feedback=context.feedback,
        metrics=context.metrics,
        busy=context.busy,
        memory_seconds=context.remember_seconds,
        handover_channel=context.handover_place,
    )


SLACK = PlatformEntry(
    name="slack",
    settings=SlackSettings,
    credential="bot_token",
    environment={
        "SLACK_BOT_TOKEN": "bot_token",
        "SLACK_APP_TOKEN": "app_token",
        "SLACK_SIGNING_SECRET": "signing_secret",
        "SLACK_API_URL": "api_url",
    },
    handover="id of the channel where people take over, for example C0123456789",
    build=_build,
)
