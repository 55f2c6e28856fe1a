"""Calls to Slack's Web API, with what a failed one leaves behind: nothing for certain, or nobody knows what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bots.errors import DeliveryError, DeliveryRefused, DeliveryRetry
from bots.platforms.base import PlatformMetrics
from bots.platforms.slack.pacing import Pacing
from bots.platforms.slack.settings import SlackSettings

CALL_SECONDS = 10
_READS = frozenset(
    {
        "chat.getPermalink", "conversations.history", "conversations.info", "conversations.replies", "usergroups.list",
        "users.info",
    }
)  # fmt: skip
_LIMITED = frozenset({"ratelimited", "rate_limited"})
_UNKNOWN = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Codes after which, as Slack says, a part of the operation may have happened."""

_UNREACHED = ClientConnectorError.__name__
REFUSALS = frozenset(
    {
        "cannot_reply_to_message", "channel_not_found", "is_archived", "messages_tab_disabled", "no_permission",
        "not_in_channel", "restricted_action", "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel", "restricted_action_thread_locked", "thread_not_found", "user_not_found",
        "user_not_in_channel",
    }
)  # fmt: skip
"""Codes that no later try will change."""

LOCKED_OUT = frozenset(
    {
        "account_inactive", "ekm_access_denied", "invalid_auth", "missing_scope", "not_authed", "org_login_required",
        "team_access_not_granted", "token_expired", "token_revoked",
    }
)  # fmt: skip
"""Codes about the app as a whole: what was accepted waits until somebody has let it in again."""


class CallError(Exception):
    """A call failed. ``certain`` says that Slack did nothing; ``after`` is its wish in seconds, if it limits us."""

    def __init__(self, method: str, code: str, *, certain: bool, after: float | None = None) -> None:
        super().__init__(f"{method}: {code}")
        self.method = method
        self.code = code
        self.certain = certain
        self.after = after

    @property
    def limited(self) -> bool:
        return self.after is not None

    @property
    def unreached(self) -> bool:
        """Whether no connection came about."""
        return self.code == _UNREACHED

    @property
    def conclusive(self) -> bool:
        """Whether Slack has decided, so that asking again brings the same until somebody changes something there."""
        passing = self.limited or self.unreached or self.code in LOCKED_OUT - {"missing_scope"}
        return self.certain and not passing

    def delivery(self, *, repeatable: bool = True) -> DeliveryError:
        """The same in the words of the service. ``repeatable``: what may have happened unseen does no harm if it is repeated."""
        if self.code in REFUSALS:
            return DeliveryRefused(f"Slack refuses {self.method}: {self.code}")
        unknown = not self.certain and repeatable
        away = unknown or self.limited or self.unreached or self.code in LOCKED_OUT
        return DeliveryRetry(f"Slack did not take {self.method}: {self.code}", after=self.after, away=away)


class SlackCalls:
    """Every call of this process. The connection pool opens with the first one, inside the running loop."""

    def __init__(self, settings: SlackSettings, metrics: PlatformMetrics, pacing: Pacing) -> None:
        token = settings.bot_token.get_secret_value() if settings.bot_token else None
        # No retries by the SDK (3.47 repeats a call whose connection broke): a message might be posted twice.
        self.client = AsyncWebClient(token, base_url=settings.api_url, timeout=CALL_SECONDS, retry_handlers=[])
        self._metrics = metrics
        self._pacing = pacing

    async def __call__(
        self, method: str, *, channel: str = "", patience: float = 0.0, **arguments: Any
    ) -> Mapping[str, Any]:
        """Calls ``method``, waiting at most ``patience`` seconds in all for Slack's limits. Raises ``CallError``."""
        given = {name: value for name, value in arguments.items() if value is not None}
        if channel:
            given["channel"] = channel
        while True:
            wait = self._pacing.wait(method, channel)
            if wait > patience:
                raise CallError(method, "ratelimited", certain=True, after=wait)
            patience -= wait
            await asyncio.sleep(wait)
            try:
                return await self._once(method, given)
            except CallError as failed:
                self._metrics.error("slack", method, failed.code)
                if failed.after is None:
                    raise
                self._pacing.limited(method, channel, failed.after)
                if failed.after > patience or patience <= 0:
                    raise
                patience -= 0.05  # a server that says 0 every time is not asked for ever

    async def open_connection(self, token: str) -> str:
        """The address of a Socket Mode connection; ``token`` is the app-level one. Raises ``CallError``."""
        self._session()
        with _mapped("apps.connections.open"):
            return str((await self.client.apps_connections_open(app_token=token)).get("url"))

    async def granted(self) -> frozenset[str]:
        """The scopes of the bot token, which Slack tells in a header only. Raises ``CallError``."""
        self._session()
        with _mapped("auth.test"):
            answer = await self.client.auth_test()
        headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
        return frozenset(scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",") if scope.strip())

    async def respond(self, url: str, payload: Mapping[str, Any]) -> None:
        """Posts to a ``response_url`` (valid for 30 minutes and five posts). Raises ``CallError``."""
        hook = AsyncWebhookClient(url, session=self._session(), timeout=CALL_SECONDS, retry_handlers=[])
        try:
            await _respond(hook, payload)
        except CallError as failed:
            self._metrics.error("slack", failed.method, failed.code)
            raise

    async def close(self) -> None:
        if self.client.session is not None:
            await self.client.session.close()
            self.client.session = None

    def _session(self) -> ClientSession:
        if self.client.session is None:
            self.client.session = ClientSession(timeout=ClientTimeout(total=CALL_SECONDS))
        return self.client.session

    async def _once(self, method: str, given: dict[str, Any]) -> Mapping[str, Any]:
        self._session()
        with _mapped(method):
            if method in _READS:
                answer = await self.client.api_call(method, http_verb="GET", params=given)
            else:
                answer = await self.client.api_call(method, json=given)
        return answer.data if isinstance(answer.data, dict) else {}


async def _respond(hook: AsyncWebhookClient, payload: Mapping[str, Any]) -> None:
    with _mapped("response_url"):
        status = (await hook.send_dict(dict(payload))).status_code
    if status != 200:
        raise CallError("response_url", f"http_{status}", certain=status < 500)


@contextmanager
def _mapped(method: str) -> Iterator[None]:
    """Whatever the SDK and its HTTP client raise becomes a ``CallError``."""
    try:
        yield
    except SlackApiError as error:
        raise _failed(method, error) from error
    except (ClientError, TimeoutError, OSError, SlackClientError, ValueError) as error:
        unsent = isinstance(error, ClientConnectorError)
        raise CallError(method, type(error).__name__, certain=unsent) from error


def _failed(method: str, error: SlackApiError) -> CallError:
    answer = error.response
    status = getattr(answer, "status_code", getattr(answer, "status", 0))
    data = getattr(answer, "data", None)
    code = data.get("error", "") if isinstance(data, dict) else ""
    if status == 429 or code in _LIMITED:
        return CallError(method, "ratelimited", certain=True, after=_retry_after(answer))
    certain = bool(code) and status == 200 and code not in _UNKNOWN
    return CallError(method, code or f"http_{status}", certain=certain)


def _retry_after(answer: Any) -> float:
    headers = {str(name).lower(): value for name, value in dict(getattr(answer, "headers", {}) or {}).items()}
    try:
        return max(0.0, float(headers.get("retry-after", 1)))
    except ValueError:
        return 1.0
