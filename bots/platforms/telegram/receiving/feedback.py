"""Taps on 👍 and 👎: the rating is stored first, then the person is asked for a reason and may send a better answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from redis.asyncio import Redis
from telegram import ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters
from telegram.error import TelegramError

from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.platforms.telegram.background import Background
from bots.platforms.telegram.client import TelegramClient, code_of
from bots.platforms.telegram.receiving.updates import ButtonTap
from bots.platforms.telegram.texts import REASONS, say
from bots.queue.outbox import FeedbackEntry
from bots.queue.replies import ReplyLedger
from rag.store.client import store_errors
from tuning.conversations.records import LoggedFeedback, Rating

log = structlog.get_logger()
_PROMPT_SECONDS = 24 * 3600


def thumbs(turn_id: str, chosen: Rating | None = None) -> InlineKeyboardMarkup:
    """The two buttons of an answer. ``chosen`` is marked; in a group it is None, because everybody sees the same buttons."""
    return InlineKeyboardMarkup([_thumbs(turn_id, chosen)])


def _thumbs(turn_id: str, chosen: Rating | None) -> list[InlineKeyboardButton]:
    up, down = ("👍 ✓" if chosen == "up" else "👍"), ("👎 ✓" if chosen == "down" else "👎")
    return [
        InlineKeyboardButton(up, callback_data=f"f:u:{turn_id}"),
        InlineKeyboardButton(down, callback_data=f"f:d:{turn_id}"),
    ]


def reasons(turn_id: str, language: str | None, chosen: Rating | None) -> InlineKeyboardMarkup:
    """Reasons to choose from. The thumbs stay above them, so that in a group other people can still rate."""
    buttons = [
        InlineKeyboardButton(say(language, reason), callback_data=f"f:r:{letter}:{turn_id}")
        for letter, reason in REASONS.items()
    ]
    return InlineKeyboardMarkup([_thumbs(turn_id, chosen), *(buttons[at : at + 2] for at in range(0, len(buttons), 2))])


class Feedback:
    """Handles taps, and replies to the bot's question for a better answer."""

    def __init__(
        self,
        client: TelegramClient,
        redis: Redis,
        keys: Keys,
        ledger: ReplyLedger,
        record: Callable[[FeedbackEntry], Awaitable[None]],
        background: Background,
    ) -> None:
        self._client = client
        self._redis = redis
        self._keys = keys
        self._ledger = ledger
        self._record = record
        self._background = background

    async def handle_tap(self, tap: ButtonTap) -> None:
        """Returns once the rating is stored; the screen is updated in the background. Raises ``StoreUnavailable``."""
        if await self._may_rate(tap):
            await self._record(_entry(tap))
        self._background.start(self._show(tap))

    async def _may_rate(self, tap: ButtonTap) -> bool:
        """False for an answer that was deleted on request: a recent one that the ledger lacks. Its rating must not be stored."""
        return not tap.fresh or await self._ledger.find(tap.place.conversation, tap.turn_id) is not None

    async def _show(self, tap: ButtonTap) -> None:
        asks = not tap.up and tap.reason is None
        await self._try(self._client.answer_callback_query(tap.query, say(tap.language, "why" if asks else "thanks")))
        await self._try(
            self._client.edit_message_reply_markup(tap.place.chat, tap.message, reply_markup=_keyboard(tap, asks))
        )
        # In a group the question for more would talk to everybody, so only who has found no fitting reason is asked.
        if tap.reason is not None and (tap.place.private or tap.reason == "other"):
            await self._try(self._ask(tap))

    async def _ask(self, tap: ButtonTap) -> None:
        prompt = await self._client.send_message(
            tap.place.chat,
            say(tap.language, "explain"),
            message_thread_id=tap.place.topic or None,
            reply_parameters=ReplyParameters(tap.message, allow_sending_without_reply=True),
            reply_markup=ForceReply(selective=not tap.place.private),
        )
        pending = json.dumps({"turn": tap.turn_id, "reason": tap.reason, "user": str(tap.user)})
        with store_errors("a reply to the question for a better answer will be taken for a question"):
            await self._redis.set(self._prompt(tap.place.chat, prompt.message_id), pending, ex=_PROMPT_SECONDS)

    async def take_explanation(self, message: IncomingMessage) -> bool:
        """Stores ``message`` if it replies to the bot's question for a better answer. Raises ``StoreUnavailable``."""
        if message.kind != "question" or "reply_to" not in message.address or not message.text:
            return False
        key = self._prompt(int(message.address["chat"]), int(message.address["reply_to"]))
        with store_errors("feedback was not taken"):
            raw = await self._redis.get(key)
        pending = json.loads(raw) if raw else {}
        if pending.get("user") != message.sender.id:
            return False
        # Stored before the key is deleted: a crash between the two stores it twice, the other order would lose it.
        await self._record(_explanation_entry(pending["turn"], pending["reason"], message))
        with store_errors("the question for a better answer stays open"):
            await self._redis.delete(key)
        self._background.start(self._thank(message))
        return True

    async def _thank(self, message: IncomingMessage) -> None:
        topic = int(message.address["topic"]) or None
        text = say(message.language, "noted")
        await self._try(self._client.send_message(int(message.address["chat"]), text, message_thread_id=topic))

    def _prompt(self, chat: int, message: int) -> str:
        return self._keys.of("telegram", "prompt", f"{chat}:{message}")

    async def _try(self, call: Awaitable[object]) -> None:
        """Awaits an optional call: it fails for a tap that is too old or a message that was deleted, which does no harm."""
        try:
            await call
        except TelegramError as error:
            log.info("telegram.feedback_not_shown", error=code_of(error))


def _keyboard(tap: ButtonTap, asks: bool) -> InlineKeyboardMarkup:
    rating: Rating | None = ("up" if tap.up else "down") if tap.place.private else None
    return reasons(tap.turn_id, tap.language, rating) if asks else thumbs(tap.turn_id, rating)


def _entry(tap: ButtonTap) -> FeedbackEntry:
    return FeedbackEntry(
        feedback=LoggedFeedback(
            turn_id=tap.turn_id,
            speaker=str(tap.user),
            rating="up" if tap.up else "down",
            given_at=datetime.now(UTC),
            reason=tap.reason or "",
        )
    )


def _explanation_entry(turn_id: str, reason: str, message: IncomingMessage) -> FeedbackEntry:
    return FeedbackEntry(
        feedback=LoggedFeedback(
            turn_id=turn_id,
            speaker=message.sender.id,
            rating="down",
            given_at=datetime.now(UTC),
            reason=reason,
            better_answer=message.text,
        )
    )
