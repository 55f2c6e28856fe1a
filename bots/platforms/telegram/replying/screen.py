"""Calls of the Bot API for one chat or topic: paced, repeated where safe, with Telegram's errors mapped to ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog
from telegram import InlineKeyboardMarkup, LinkPreviewOptions, ReplyParameters
from telegram.constants import ChatAction, ParseMode
from telegram.error import BadRequest, ChatMigrated, InvalidToken, RetryAfter, TelegramError

from bots.errors import DeliveryRefused, DeliveryRetry
from bots.platforms.base import PlatformMetrics
from bots.platforms.telegram.chats import Chats
from bots.platforms.telegram.client import (
    TelegramClient,
    code_of,
    had_no_effect,
    is_departure,
    is_markup_error,
    is_refusal,
    is_transient,
    is_unmodified,
    retry_after_seconds,
)
from bots.platforms.telegram.pacing import Pacing, Timing
from bots.platforms.telegram.replying.splitting import Piece
from rag.errors import StoreUnavailable

log = structlog.get_logger()
T = TypeVar("T")
_ATTEMPTS = 4
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


class Uncertain(DeliveryRetry):
    """The response to a send was lost; the message may be on the screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a reply goes. ``topic`` is 0 outside topics; ``question`` is the message that is answered (0: no reply mark)."""

    chat: int
    topic: int
    question: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Objects that all screens of a process share."""

    client: TelegramClient
    chats: Chats
    pacing: Pacing
    timing: Timing
    metrics: PlatformMetrics


class Screen:
    """Sends, edits and deletes in one chat. ``patient`` calls wait for the pace and repeat after short errors."""

    def __init__(self, api: Api, target: Target, *, blocked: bool = False) -> None:
        self.target = target
        self._api = api
        self._blocked = blocked

    def free(self) -> bool:
        """Whether the pace of the chat allows an intermediate state now."""
        return not self._blocked and self._api.pacing.of(self.target.chat).free()

    async def send(self, piece: Piece, keyboard: InlineKeyboardMarkup | None = None, *, patient: bool) -> int:
        """The new message's id. Raises ``Uncertain``, ``DeliveryRetry``, ``DeliveryRefused``."""
        rejection = ""
        # The message to reply to may be deleted, or a button refused: first without the one, then without both.
        for buttons in (keyboard, keyboard, None):
            try:
                return await self._send(piece, buttons, patient=patient)
            except _Rejected as error:
                rejection = str(error)
                self.target = replace(self.target, question=0)
        raise DeliveryRefused(rejection)

    async def _send(self, piece: Piece, keyboard: InlineKeyboardMarkup | None, *, patient: bool) -> int:
        async def request(text: str, mode: ParseMode | None) -> int:
            mark = ReplyParameters(self.target.question, allow_sending_without_reply=True)
            message = await self._api.client.send_message(
                self.target.chat,
                text,
                parse_mode=mode,
                message_thread_id=self.target.topic or None,
                reply_parameters=mark if self.target.question else None,
                reply_markup=keyboard,
                link_preview_options=_NO_PREVIEW,
            )
            return message.message_id

        return await self._call("sendMessage", lambda: _html_or_plain(piece, request), patient=patient, once=True)

    async def edit(
        self, message: int, piece: Piece, keyboard: InlineKeyboardMarkup | None = None, *, patient: bool
    ) -> bool:
        """False when ``message`` can no longer be edited. Raises ``DeliveryRetry``, ``DeliveryRefused``."""

        async def request(text: str, mode: ParseMode | None) -> None:
            await self._api.client.edit_message_text(
                text,
                self.target.chat,
                message,
                parse_mode=mode,
                reply_markup=keyboard,
                link_preview_options=_NO_PREVIEW,
            )

        try:
            await self._call("editMessageText", lambda: _html_or_plain(piece, request), patient=patient)
        except _Unmodified:
            return True
        except (_Rejected, _Moved):
            return False
        return True

    async def delete(self, message: int) -> None:
        """Deletes a message; one older than Telegram's 48 hours is emptied instead. Never raises a ``DeliveryError``."""
        try:
            await self._call(
                "deleteMessage", lambda: self._api.client.delete_message(self.target.chat, message), patient=True
            )
        except (_Rejected, _Moved, DeliveryRetry, DeliveryRefused):
            await self._empty(message)

    async def _empty(self, message: int) -> None:
        try:
            await self.edit(message, Piece(html="…", plain="…"), patient=False)
        except (DeliveryRetry, DeliveryRefused) as error:
            log.warning("telegram.leftover", error=type(error).__name__)

    async def draft(self, draft: int, piece: Piece) -> bool:
        """Shows ``piece`` as a draft (private chats only); False when Telegram does not take it."""

        async def request(text: str, mode: ParseMode | None) -> None:
            await self._api.client.send_message_draft(
                self.target.chat, draft, text, message_thread_id=self.target.topic or None, parse_mode=mode
            )

        try:
            await self._call("sendMessageDraft", lambda: _html_or_plain(piece, request), patient=False)
        except (_Rejected, DeliveryRefused):
            return False
        return True

    async def typing(self) -> None:
        """Shows for five seconds that the bot is writing. Raises ``TelegramError`` or ``DeliveryRefused``."""
        # Not through _call: a mark that does not appear is not worth a pause or another try.
        self._require_open()
        await self._api.client.send_chat_action(
            self.target.chat, ChatAction.TYPING, message_thread_id=self.target.topic or None
        )

    async def _call(self, method: str, request: Callable[[], Awaitable[T]], *, patient: bool, once: bool = False) -> T:
        """Calls up to four times if ``patient``. ``once``: not repeated when its response was lost."""
        pause = self._api.timing.pause
        for attempt in range(1, _ATTEMPTS + 1):
            await self._admit(patient)
            try:
                return await request()
            except TelegramError as error:
                self._api.metrics.error("telegram", method, code_of(error))
                wait = await self._wait_or_raise(error, method, pause * 2 ** (attempt - 1), once=once)
                if not patient or attempt == _ATTEMPTS:
                    what = f"Telegram did not take {method} ({code_of(error)})"
                    raise DeliveryRetry(what, after=wait, away=True) from error
                await asyncio.sleep(wait)
        raise AssertionError("every attempt returns or raises")

    async def _admit(self, patient: bool) -> None:
        self._require_open()
        pace = self._api.pacing.of(self.target.chat)
        if patient:
            await pace.wait_turn()
        pace.note_write()

    def _require_open(self) -> None:
        if self._blocked:
            raise DeliveryRefused("the user blocked the bot, or the group removed it")

    async def _wait_or_raise(self, error: TelegramError, method: str, pause: float, *, once: bool) -> float:
        """The seconds to wait before the same call may be repeated; raises the exception that the error stands for."""
        if isinstance(error, RetryAfter):
            return self._limit_wait(error, method)
        if isinstance(error, ChatMigrated):
            return await self._follow_migration(error, once=once)
        if is_refusal(error):
            await self._raise_refusal(error, method)
        if is_unmodified(error):
            raise _Unmodified from error
        if isinstance(error, BadRequest):
            raise _Rejected(f"Telegram rejected {method}: {error}") from error
        if isinstance(error, InvalidToken):
            cure = "Telegram refused TELEGRAM_BOT_TOKEN; copy it again from @BotFather"
            raise DeliveryRetry(cure, away=True) from error
        # To repeat a send at once after a lost response is the surest way to two messages. It is left to the next delivery,
        # which comes after a pause: at most one duplicate for each lost response is possible, and it is counted.
        if once and not had_no_effect(error):
            raise Uncertain(f"the answer to {method} was lost ({code_of(error)})") from error
        if not is_transient(error):
            raise DeliveryRetry(f"Telegram did not take {method} ({code_of(error)})") from error
        return pause

    def _limit_wait(self, error: RetryAfter, method: str) -> float:
        wait = retry_after_seconds(error)
        self._api.pacing.of(self.target.chat).postpone(wait)
        if wait > self._api.timing.patience:
            raise DeliveryRetry(f"Telegram limits this chat ({method})", after=wait, away=True) from error
        return wait

    async def _follow_migration(self, error: ChatMigrated, *, once: bool) -> float:
        """Sends continue in the supergroup; messages of the old group cannot be edited from there."""
        old, self.target = self.target.chat, replace(self.target, chat=error.new_chat_id, question=0)
        await self._api.chats.move(old, error.new_chat_id)
        if not once:
            raise _Moved from error
        return 0.0

    async def _raise_refusal(self, error: TelegramError, method: str) -> None:
        if is_departure(error):
            self._blocked = True
            try:
                await self._api.chats.block(self.target.chat)
            except StoreUnavailable:  # not needed now: the next send is refused too, and notes it
                log.warning("telegram.block_not_noted")
        raise DeliveryRefused(f"Telegram refused {method} for good: {error}") from error


class _Rejected(Exception):
    """A response 400: the same request will fail again."""


class _Unmodified(_Rejected):
    """The message has this content already."""


class _Moved(Exception):
    """The message is in a group that became a supergroup."""


async def _html_or_plain(piece: Piece, request: Callable[[str, ParseMode | None], Awaitable[T]]) -> T:
    """Sends HTML; plain text only if the markup is at fault, since other errors would fail again and links would be lost."""
    try:
        return await request(piece.html, ParseMode.HTML)
    except BadRequest as error:
        if not is_markup_error(error):
            raise
        log.warning("telegram.markup_refused")
        return await request(piece.plain, None)
