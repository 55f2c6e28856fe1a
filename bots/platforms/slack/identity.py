"""Who the bot is in its workspace: asked once, then known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bots.errors import DeliveryRetry, SettingsError
from bots.platforms.slack.calls import CallError, SlackCalls

_WRONG_TOKEN = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"})


NEEDED_SCOPES = frozenset(
    {
        "app_mentions:read", "assistant:write", "channels:history", "channels:read", "chat:write", "commands",
        "groups:history", "groups:read", "im:history", "im:read", "metadata.message:read", "mpim:history", "mpim:read",
        "usergroups:read", "users:read",
    }
)  # fmt: skip
"""What deploy/slack-manifest.yaml asks for and the code uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """The bot's own user, and where it is installed."""

    user: str
    bot_id: str
    team: str
    name: str
    workspace: str


class Identity:
    """``auth.test``, on first need."""

    def __init__(self, calls: SlackCalls) -> None:
        self._calls = calls
        self._bot: Bot | None = None
        self._asking = asyncio.Lock()

    async def bot(self) -> Bot:
        """Raises ``SettingsError`` for a wrong token, ``DeliveryRetry`` when Slack cannot be reached."""
        if self._bot is not None:
            return self._bot
        async with self._asking:
            if self._bot is None:
                self._bot = await self._ask()
            return self._bot

    async def missing_scopes(self) -> tuple[str, ...]:
        """The scopes that the token lacks. Raises ``DeliveryRetry`` when Slack cannot be reached."""
        try:
            granted = await self._calls.granted()
        except CallError as failed:
            raise DeliveryRetry(f"Slack cannot be reached (auth.test: {failed.code})", after=failed.after) from failed
        return tuple(sorted(NEEDED_SCOPES - granted))

    async def _ask(self) -> Bot:
        try:
            answer = await self._calls("auth.test", patience=2.0)
        except CallError as failed:
            if failed.code in _WRONG_TOKEN:
                raise SettingsError(
                    f"SLACK_BOT_TOKEN is refused by Slack ({failed.code}); copy the bot token (xoxb-…) "
                    "from the app's page OAuth & Permissions"
                ) from failed
            raise DeliveryRetry(
                f"Slack cannot be reached (auth.test: {failed.code})", after=failed.after, away=True
            ) from failed
        fields = {name: str(answer.get(name) or "") for name in ("user_id", "bot_id", "team_id", "user", "team")}
        return Bot(
            user=fields["user_id"],
            bot_id=fields["bot_id"],
            team=fields["team_id"],
            name=fields["user"],
            workspace=fields["team"],
        )
