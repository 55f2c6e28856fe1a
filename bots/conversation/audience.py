"""Who may read the answer decides what the answer may use: everyone who can read it may read all of it.

A source is for an audience, and may be one tenant's own: then only those who belong to the tenant find it.
"""

from __future__ import annotations

from bots.messages import IncomingMessage
from bots.settings import Settings

PUBLIC = frozenset({"public"})
INTERNAL = frozenset({"public", "employees"})


def audiences(message: IncomingMessage, settings: Settings) -> frozenset[str]:
    """The audiences that every reader of the reply belongs to. Whatever is not known for certain counts as public."""
    if message.platform == "slack":
        return _slack(message, settings)
    if message.platform == "telegram":
        mapped = settings.telegram.chat_audiences.get(message.address.get("chat", ""))
        return PUBLIC if mapped is None else PUBLIC | frozenset(mapped)
    return PUBLIC | frozenset(settings.audience.terminal)


def _slack(message: IncomingMessage, settings: Settings) -> frozenset[str]:
    if message.sender.guest or message.channel == "shared":
        return PUBLIC
    if message.channel in ("direct", "ephemeral"):
        own = settings.slack.group_audiences
        return INTERNAL | {own[group] for group in message.sender.groups if group in own}
    return PUBLIC if message.address.get("channel") in settings.slack.public_channels else INTERNAL


def tenant(message: IncomingMessage, settings: Settings) -> str:
    """Whose documents the reply may use besides everybody's; empty where people of several tenants may read."""
    if message.platform == "slack":
        return _slack_tenant(message, settings)
    if message.platform == "telegram":
        return settings.telegram.chat_tenants.get(message.address.get("chat", ""), "")
    return settings.audience.terminal_tenant


def _slack_tenant(message: IncomingMessage, settings: Settings) -> str:
    team = message.address.get("team", "")
    foreign = message.address.get("user_team", team) not in ("", team)
    return "" if foreign or message.channel == "shared" else settings.slack.tenants.get(team, "")
