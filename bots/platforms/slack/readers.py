"""Audiences and tenant of the readers of an answer in Slack."""

from __future__ import annotations

from bots.conversation.audience import INTERNAL, PUBLIC, Readers
from bots.messages import IncomingMessage
from bots.platforms.slack.settings import SlackSettings


def slack_readers(message: IncomingMessage, settings: SlackSettings) -> Readers:
    """Guests and shared channels read public documents only; a user group counts only where the asker alone reads."""
    return Readers(audiences=_audiences(message, settings), tenant=_tenant(message, settings))


def _audiences(message: IncomingMessage, settings: SlackSettings) -> frozenset[str]:
    if message.sender.guest or message.channel == "shared":
        return PUBLIC
    if message.channel in ("direct", "ephemeral"):
        own = settings.group_audiences
        return INTERNAL | {own[group] for group in message.sender.groups if group in own}
    # Guests may be members of an ordinary channel too, and Slack does not mark such channels: the setting names them.
    return PUBLIC if message.address.get("channel") in settings.public_channels else INTERNAL


def _tenant(message: IncomingMessage, settings: SlackSettings) -> str:
    """Empty where people of several organisations may read."""
    team = message.address.get("team", "")
    # A sender from another workspace makes the answer readable outside the tenant.
    foreign = message.address.get("user_team", team) not in ("", team)
    return "" if foreign or message.channel == "shared" else settings.tenants.get(team, "")
