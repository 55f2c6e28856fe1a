"""Slack: bolt receives, the Web API replies."""

from bots.platforms.slack.platform import SlackPlatform

__all__ = ["SlackPlatform"]
