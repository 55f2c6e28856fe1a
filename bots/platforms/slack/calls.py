"""Client for Slack's Web API. A failed call raises ``CallError``, which says whether the call may have had an effect."""

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
# Slack's reading methods do not accept a JSON body: their arguments go into the query string.
_GET_METHODS = frozenset(
    {
        "chat.getPermalink", "conversations.history", "conversations.info", "conversations.replies", "usergroups.list",
        "users.info",
    }
)  # fmt: skip
_RATE_LIMIT_CODES = frozenset({"ratelimited", "rate_limited"})
_AMBIGUOUS_CODES = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Error codes after which, as Slack documents them, a part of the operation may have happened."""

_CONNECTION_ERROR = ClientConnectorError.__name__
REFUSALS = frozenset(
    {
        "cannot_reply_to_message", "channel_not_found", "is_archived", "messages_tab_disabled", "no_permission",
        "not_in_channel", "restricted_action", "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel", "restricted_action_thread_locked", "thread_not_found", "user_not_found",
        "user_not_in_channel",
    }
)  # fmt: skip
"""Error codes that repeating the call will not change."""

LOCKED_OUT = frozenset(
    {
        "account_inactive", "ekm_access_denied", "invalid_auth", "missing_scope", "not_authed", "org_login_required",
        "team_access_not_granted", "token_expired", "token_revoked",
    }
)  # fmt: skip
"""Error codes about the whole app: accepted messages wait until an administrator gives the app access again."""


class CallError(Exception):
    """A call failed. ``no_effect``: Slack did nothing, for certain. ``after``: seconds to wait, where Slack limits us."""

    def __init__(self, method: str, code: str, *, no_effect: bool, after: float | None = None) -> None:
        super().__init__(f"{method}: {code}")
        self.method = method
        self.code = code
        self.no_effect = no_effect
        self.after = after

    @property
    def rate_limited(self) -> bool:
        return self.after is not None

    @property
    def unreachable(self) -> bool:
        """Whether no connection to Slack could be opened."""
        return self.code == _CONNECTION_ERROR

    @property
    def conclusive(self) -> bool:
        """Whether Slack has decided: the same call fails in the same way until somebody changes something there."""
        # A missing scope concerns the whole app, but it is a decision: no later call gets another answer by itself.
        temporary = self.rate_limited or self.unreachable or self.code in LOCKED_OUT - {"missing_scope"}
        return self.no_effect and not temporary

    def delivery(self, *, repeatable: bool = True) -> DeliveryError:
        """The error that the service knows. ``repeatable``: to repeat a call that may have had an effect does no harm."""
        if self.code in REFUSALS:
            return DeliveryRefused(f"Slack refuses {self.method}: {self.code}")
        # ``away`` errors do not use up the tries of a message: an outage of Slack must not set messages aside.
        unknown = not self.no_effect and repeatable
        away = unknown or self.rate_limited or self.unreachable or self.code in LOCKED_OUT
        return DeliveryRetry(f"Slack did not take {self.method}: {self.code}", after=self.after, away=away)


class SlackCalls:
    """Calls methods by name. The connection pool opens with the first call, because aiohttp needs the running loop."""

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
        parameters = {name: value for name, value in arguments.items() if value is not None}
        if channel:
            parameters["channel"] = channel
        while True:
            wait = self._pacing.wait(method, channel)
            if wait > patience:
                raise CallError(method, "ratelimited", no_effect=True, after=wait)
            patience -= wait
            await asyncio.sleep(wait)
            try:
                return await self._once(method, parameters)
            except CallError as error:
                self._metrics.error("slack", method, error.code)
                if error.after is None:
                    raise
                self._pacing.note_limit(method, channel, error.after)
                if error.after > patience or patience <= 0:
                    raise
                patience -= 0.05  # a server that says 0 every time is not asked for ever

    async def open_connection(self, token: str) -> str:
        """The address of a Socket Mode connection; ``token`` is the app-level one. Raises ``CallError``."""
        self._session()
        with _mapping_errors("apps.connections.open"):
            return str((await self.client.apps_connections_open(app_token=token)).get("url"))

    async def granted_scopes(self) -> frozenset[str]:
        """The scopes of the bot token; Slack sends them in a response header only. Raises ``CallError``."""
        self._session()
        with _mapping_errors("auth.test"):
            answer = await self.client.auth_test()
        headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
        return frozenset(scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",") if scope.strip())

    async def respond(self, url: str, payload: Mapping[str, Any]) -> None:
        """Posts to a ``response_url`` (valid for 30 minutes and five posts). Raises ``CallError``."""
        hook = AsyncWebhookClient(url, session=self._session(), timeout=CALL_SECONDS, retry_handlers=[])
        try:
            await _respond(hook, payload)
        except CallError as error:
            self._metrics.error("slack", error.method, error.code)
            raise

    async def close(self) -> None:
        if self.client.session is not None:
            await self.client.session.close()
            self.client.session = None

    def _session(self) -> ClientSession:
        # Without a session of ours the SDK (3.47) opens one, with its connections, for each call.
        if self.client.session is None:
            self.client.session = ClientSession(timeout=ClientTimeout(total=CALL_SECONDS))
        return self.client.session

    async def _once(self, method: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        self._session()
        with _mapping_errors(method):
            if method in _GET_METHODS:
                answer = await self.client.api_call(method, http_verb="GET", params=parameters)
            else:
                answer = await self.client.api_call(method, json=parameters)
        return answer.data if isinstance(answer.data, dict) else {}


async def _respond(hook: AsyncWebhookClient, payload: Mapping[str, Any]) -> None:
    with _mapping_errors("response_url"):
        status = (await hook.send_dict(dict(payload))).status_code
    if status != 200:
        raise CallError("response_url", f"http_{status}", no_effect=status < 500)


@contextmanager
def _mapping_errors(method: str) -> Iterator[None]:
    """Turns every exception of the SDK and of its HTTP client into a ``CallError``."""
    try:
        yield
    except SlackApiError as error:
        raise _call_error(method, error) from error
    except (ClientError, TimeoutError, OSError, SlackClientError, ValueError) as error:
        # Any other error may come after the request was sent: then nobody knows whether Slack carried it out.
        unsent = isinstance(error, ClientConnectorError)
        raise CallError(method, type(error).__name__, no_effect=unsent) from error


def _call_error(method: str, error: SlackApiError) -> CallError:
    answer = error.response
    status = getattr(answer, "status_code", getattr(answer, "status", 0))
    data = getattr(answer, "data", None)
    code = data.get("error", "") if isinstance(data, dict) else ""
    if status == 429 or code in _RATE_LIMIT_CODES:
        return CallError(method, "ratelimited", no_effect=True, after=_retry_after(answer))
    # Only a code in a 200 is Slack's own decision; a 5xx or a gateway's page says nothing about what happened before.
    no_effect = bool(code) and status == 200 and code not in _AMBIGUOUS_CODES
    return CallError(method, code or f"http_{status}", no_effect=no_effect)


def _retry_after(answer: Any) -> float:
    headers = {str(name).lower(): value for name, value in dict(getattr(answer, "headers", {}) or {}).items()}
    # One second where the header is missing or is no number, so that the caller does not repeat at once.
    try:
        return max(0.0, float(headers.get("retry-after", 1)))
    except ValueError:
        return 1.0
