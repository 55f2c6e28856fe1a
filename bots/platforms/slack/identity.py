"""The bot's own user, workspace and scopes; the first look-up calls Slack, later ones use its result."""

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
"""The scopes that the code uses and deploy/slack-manifest.yaml requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """The bot's own user, and where it is installed."""

    user: str
    bot_id: str
    team: str
    name: str
    workspace: str


class Identity:
    """Calls ``auth.test`` when the bot's identity is needed for the first time."""

    def __init__(self, calls: SlackCalls) -> None:
        self._calls = calls
        self._bot: Bot | None = None
        self._lock = asyncio.Lock()

    async def bot(self) -> Bot:
        """Raises ``SettingsError`` for a wrong token, ``DeliveryRetry`` when Slack cannot be reached."""
        if self._bot is not None:
            return self._bot
        # After a start many messages need it at once: the lock makes that one call.
        async with self._lock:
            if self._bot is None:
                self._bot = await self._auth_test()
            return self._bot

    async def missing_scopes(self) -> tuple[str, ...]:
        """The scopes that the token lacks. Raises ``DeliveryRetry`` when Slack cannot be reached."""
        try:
            granted_scopes = await self._calls.granted_scopes()
        except CallError as error:
            raise DeliveryRetry(f"Slack cannot be reached (auth.test: {error.code})", after=error.after) from error
        return tuple(sorted(NEEDED_SCOPES - granted_scopes))

    async def _auth_test(self) -> Bot:
        try:
            answer = await self._calls("auth.test", patience=2.0)
        except CallError as error:
            if error.code in _WRONG_TOKEN:
                raise SettingsError(
                    f"SLACK_BOT_TOKEN is refused by Slack ({error.code}); copy the bot token (xoxb-…) "
                    "from the app's page OAuth & Permissions"
                ) from error
            raise DeliveryRetry(
                f"Slack cannot be reached (auth.test: {error.code})", after=error.after, away=True
            ) from error
        fields = {name: str(answer.get(name) or "") for name in ("user_id", "bot_id", "team_id", "user", "team")}
        return Bot(
            user=fields["user_id"],
            bot_id=fields["bot_id"],
            team=fields["team_id"],
            name=fields["user"],
            workspace=fields["team"],
        )
