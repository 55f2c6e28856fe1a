"""The Bot API client: python-telegram-bot's ``Bot`` with our time-outs, and functions that classify its errors."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Sequence
from typing import Any, cast

import httpx
from telegram import Bot
from telegram.error import BadRequest, Conflict, Forbidden, NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.request import HTTPXRequest
from telegram.warnings import PTBDeprecationWarning

from bots.errors import SettingsError
from bots.platforms.telegram.settings import TelegramSettings
from bots.settings import without_password

UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")
_CONNECTIONS = 64
_UNSENT_ERRORS = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

# httpx logs every URL, and Telegram's hold the token; python-telegram-bot logs texts when a response is no JSON (seen in 22.8).
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("telegram").setLevel(logging.CRITICAL)

# python-telegram-bot reads its own deprecated property whenever Telegram limits a call (seen in 22.8).
warnings.filterwarnings("ignore", message=".*`retry_after`.*", category=PTBDeprecationWarning)


class TelegramClient(Bot):
    """A ``telegram.Bot`` that never logs what people wrote."""

    async def fetch_updates(self, offset: int | None, wait: int) -> Sequence[object]:
        """Unparsed updates, after at most ``wait`` seconds; all updates before ``offset`` are confirmed to Telegram.

        ``Bot.get_updates`` parses a batch as a whole: one update that it cannot parse would hide the others for ever, and
        would be logged in full (seen in 22.8).
        """
        data = {"offset": offset, "timeout": wait, "limit": 100, "allowed_updates": list(UPDATES)}
        # The HTTP time-out must outlast the long poll, or every quiet poll would end as an error.
        result = await self._post("getUpdates", data, read_timeout=wait + 10.0)
        return cast("Sequence[object]", result) if isinstance(result, list) else ()

    async def disconnect(self) -> None:
        """Closes the connections, also of a bot that was never initialised (``Bot.shutdown`` would not)."""
        await asyncio.gather(*(request.shutdown() for request in self._request))


def open_client(settings: TelegramSettings) -> TelegramClient:
    """A client; nothing is sent yet. Raises ``SettingsError`` without a token."""
    token = settings.bot_token.get_secret_value() if settings.bot_token else ""
    if not token:
        raise SettingsError("TELEGRAM_BOT_TOKEN (telegram.bot_token) is missing: @BotFather in Telegram gives one")
    # A send that we give up too early may still be delivered, so reading waits long; a full pool is waited for too.
    timeouts: dict[str, Any] = {
        "read_timeout": 20.0,
        "connect_timeout": 5.0,
        "write_timeout": 10.0,
        "pool_timeout": 20.0,
    }
    return TelegramClient(
        token=token,
        base_url=settings.api_url,
        request=HTTPXRequest(connection_pool_size=_CONNECTIONS, **timeouts),
        # A pool of its own: a long poll holds its connection for half a minute.
        get_updates_request=HTTPXRequest(connection_pool_size=2, **timeouts),
    )


def refused_token(settings: TelegramSettings) -> SettingsError:
    """The error for a token that Telegram does not accept."""
    return SettingsError(
        f"TELEGRAM_BOT_TOKEN (telegram.bot_token) was refused by {without_password(settings.api_url)}: "
        "copy it again from @BotFather"
    )


def retry_after_seconds(error: RetryAfter) -> float:
    """The seconds that Telegram asks us to wait."""
    # The public property warns at every read until python-telegram-bot 23 turns it into this timedelta.
    return error._retry_after.total_seconds()


def code_of(error: TelegramError) -> str:
    """The class of an error, for metrics and log lines; never its message, which may quote a user."""
    return type(error).__name__


def had_no_effect(error: TelegramError) -> bool:
    """Whether Telegram cannot have carried the request out: it answered with an error, or was never reached."""
    if isinstance(error.__cause__, _UNSENT_ERRORS):
        return True
    if isinstance(error, TimedOut) or isinstance(error.__cause__, httpx.HTTPError):
        return False
    # A gateway's 502 and 504 say nothing about what stands behind it.
    return not (isinstance(error, NetworkError) and "gateway" in str(error).lower())


def is_markup_error(error: TelegramError) -> bool:
    """Whether Telegram could not parse our HTML."""
    return isinstance(error, BadRequest) and "can't parse" in str(error).lower()


def is_unmodified(error: TelegramError) -> bool:
    """Whether an edit would change nothing, because the message has this text already."""
    return isinstance(error, BadRequest) and "message is not modified" in str(error).lower()


# The Bot API has no error codes beside the HTTP status: its texts have to be matched.
_REFUSAL_TEXTS = (
    "chat not found",
    "peer_id_invalid",
    "chat_write_forbidden",
    "not enough rights to send",
    "have no rights to send",
    "message thread not found",
    "topic_closed",
    "topic_deleted",
    "chat_restricted",
    "chat_send_plain_forbidden",
)


def is_refusal(error: TelegramError) -> bool:
    """Whether no message can be sent to this chat or topic until somebody changes its state."""
    if isinstance(error, Forbidden):
        return True
    return isinstance(error, BadRequest) and any(part in str(error).lower() for part in _REFUSAL_TEXTS)


def is_departure(error: TelegramError) -> bool:
    """Whether a refusal concerns the whole chat: the bot was blocked or removed, or the chat does not exist."""
    text = str(error).lower()
    return isinstance(error, Forbidden) or "chat not found" in text or "peer_id_invalid" in text


def is_transient(error: TelegramError) -> bool:
    """Whether the network or Telegram is at fault, not the request."""
    # BadRequest is a subclass of NetworkError in python-telegram-bot (22.8).
    return isinstance(error, NetworkError) and not isinstance(error, BadRequest | Conflict)
