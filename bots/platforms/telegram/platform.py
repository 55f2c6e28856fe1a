"""Telegram as a ``Platform``: receives by long polling or by webhook, opens replies, checks itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from urllib.parse import urlsplit

import structlog
from redis.asyncio import Redis
from starlette.routing import BaseRoute
from telegram import BotCommandScopeAllGroupChats, BotCommandScopeAllPrivateChats
from telegram.constants import ChatMemberStatus
from telegram.error import BadRequest, InvalidToken, TelegramError

from bots.conversation.audience import Readers
from bots.conversation.handover.state import Whereabouts
from bots.errors import BotsError, SettingsError
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.platforms.base import Accept, NoMetrics, PlatformMetrics
from bots.platforms.telegram.background import Background
from bots.platforms.telegram.chats import Chats
from bots.platforms.telegram.client import UPDATES, code_of, open_client, refused_token
from bots.platforms.telegram.pacing import Clock, Pacing, Timing
from bots.platforms.telegram.readers import telegram_readers
from bots.platforms.telegram.receiving.feedback import Feedback
from bots.platforms.telegram.receiving.intake import Intake, Migrate
from bots.platforms.telegram.receiving.polling import Poller
from bots.platforms.telegram.receiving.updates import BotUser
from bots.platforms.telegram.receiving.webhook import PATH, Take, webhook_route
from bots.platforms.telegram.replying.screen import Api, Screen, Target
from bots.platforms.telegram.replying.streaming import Manner, TelegramReply
from bots.platforms.telegram.settings import TelegramSettings
from bots.platforms.telegram.texts import LANGUAGES, menu, say
from bots.platforms.telegram.whereabouts import whereabouts
from bots.queue.outbox import FeedbackEntry
from bots.queue.replies import ReplyEntry, ReplyLedger
from rag.cancellation import end
from rag.store.lease import Lease

log = structlog.get_logger()
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ALL_ARGUMENTS = ("all", "todo", "todos")
_DRAIN_SECONDS = 5.0


class TelegramPlatform:
    """``Platform`` for one bot. The constructor sends nothing; it raises ``SettingsError``."""

    name = "telegram"
    handover = None

    def __init__(
        self,
        settings: TelegramSettings,
        *,
        redis: Redis,
        keys: Keys,
        ledger: ReplyLedger,
        feedback: Callable[[FeedbackEntry], Awaitable[None]],
        migrate: Migrate,
        metrics: PlatformMetrics | None = None,
        busy: Callable[[], bool] = lambda: False,
        body_bytes: int = 1_000_000,
        timing: Timing | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._settings = settings
        self._secret = _checked_secret(settings)
        self._client = open_client(settings)
        self._busy = busy
        self._body_bytes = body_bytes
        self._migrate = migrate
        self._timing = timing or Timing()
        self._clock = clock
        self._metrics = metrics or NoMetrics()
        self._chats = Chats(redis, keys)
        self._background = Background()
        self._feedback = Feedback(self._client, redis, keys, ledger, feedback, self._background)
        self._lease = Lease(redis, keys.of("telegram", "poller"), seconds=self._timing.lease, right="polling Telegram")
        self._api = Api(
            client=self._client,
            chats=self._chats,
            pacing=Pacing(self._timing, clock),
            timing=self._timing,
            metrics=self._metrics,
        )
        self._allowed_mentions = frozenset(re.findall(r"@\w+", settings.contact))
        self._intake: Intake | None = None
        self._poller: Poller | None = None
        self._receiving: asyncio.Task[None] | None = None

    def routes(self) -> Sequence[BaseRoute]:
        return (
            (webhook_route(self._secret, self._body_bytes, self._current_take),) if self._settings.webhook_url else ()
        )

    def _current_take(self) -> Take | None:
        return self._intake.take if self._intake is not None else None

    async def start(self, accept: Accept) -> None:
        """Raises ``SettingsError`` when Telegram refuses token or webhook. Without a network it retries in the background."""
        connected = await self._connect(accept)
        self._receiving = asyncio.create_task(self._receive(accept, connected=connected))

    async def _receive(self, accept: Accept, *, connected: bool) -> None:
        pause = self._timing.pause
        while not connected:
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._timing.longest_pause)
            try:
                connected = await self._connect(accept)
            except SettingsError as error:
                log.error("telegram.not_receiving", reason=str(error))  # noqa: TRY400  (the line says it all)
                return
        if self._poller is not None:
            await self._poller.run()

    async def _connect(self, accept: Accept) -> bool:
        """Looks up the bot's identity and sets the webhook; False when Telegram cannot be reached now."""
        try:
            user = await self._client.get_me()
            if self._settings.webhook_url:
                await self._client.set_webhook(
                    _webhook(self._settings.webhook_url), secret_token=self._secret, allowed_updates=UPDATES
                )
        except InvalidToken:
            # Not chained: python-telegram-bot may quote the token in its message.
            raise refused_token(self._settings) from None
        except BadRequest as error:
            raise SettingsError(f"TELEGRAM_WEBHOOK_URL (telegram.webhook_url): {error}") from error
        except TelegramError as error:
            log.warning("telegram.unreachable", error=code_of(error))
            return False
        self._open(BotUser(id=user.id, username=user.username or ""), accept)
        self._background.start(self._announce())
        return True

    def _open(self, me: BotUser, accept: Accept) -> None:
        intake = Intake(
            client=self._client,
            me=me,
            accept=accept,
            chats=self._chats,
            feedback=self._feedback,
            migrate=self._migrate,
            metrics=self._metrics,
        )
        self._intake = intake
        if not self._settings.webhook_url:
            self._poller = Poller(self._client, self._lease, intake.take, self._timing, self._metrics)

    async def _announce(self) -> None:
        """Sets the command menu and the texts of the profile; the bot works without them."""
        try:
            for language in LANGUAGES:
                code = None if language == "en" else language  # English serves every language without texts of its own
                for private in (True, False):
                    scope = BotCommandScopeAllPrivateChats() if private else BotCommandScopeAllGroupChats()
                    await self._client.set_my_commands(menu(language, private=private), scope, code)
                await self._client.set_my_short_description(say(language, "short"), code)
                await self._client.set_my_description(say(language, "description"), code)
        except TelegramError as error:
            log.warning("telegram.menu_not_announced", error=code_of(error))

    async def stop(self) -> None:
        # Without an intake the webhook answers 503, and Telegram sends the update again later.
        self._intake = None
        if self._receiving is not None:
            await end(self._receiving)
            self._receiving = None
        await self._background.drain(_DRAIN_SECONDS)

    async def close(self) -> None:
        await self._client.disconnect()

    async def resolve(self, message: IncomingMessage) -> IncomingMessage:
        """For ``forget all`` in a group: looks up whether the sender is one of its admins."""
        forgets_all = message.command == "forget" and message.text.strip().lower() in _ALL_ARGUMENTS
        if not forgets_all or message.channel == "direct" or message.sender.admin:
            return message
        try:
            member = await self._client.get_chat_member(int(message.address["chat"]), int(message.sender.id))
        except TelegramError as error:
            # Without an answer the sender counts as no admin, and only their own words can be deleted.
            log.warning("telegram.member_unknown", error=code_of(error))
            return message
        admin = member.status in (ChatMemberStatus.OWNER, ChatMemberStatus.ADMINISTRATOR)
        return replace(message, sender=replace(message.sender, admin=admin))

    def readers(self, message: IncomingMessage) -> Readers:
        return telegram_readers(message, self._settings)

    async def reply(self, message: IncomingMessage, entry: ReplyEntry) -> TelegramReply:
        """Raises ``StoreUnavailable``."""
        chat, blocked = await self._chats.look_up(int(message.address["chat"]))
        direct = message.channel == "direct"
        # In the supergroup that a group became, the question has another message id: no reply mark there.
        same_chat = chat == int(message.address["chat"])
        target = Target(
            chat=chat,
            topic=int(message.address["topic"]),
            question=int(message.address["message"]) if same_chat and not direct else 0,
        )
        manner = Manner(
            draft=_draft(message.turn_id) if direct and self._settings.drafts else 0,
            allowed=self._allowed_mentions,
            busy=self._busy,
            timing=self._timing,
            clock=self._clock,
            metrics=self._metrics,
        )
        return TelegramReply(Screen(self._api, target, blocked=blocked), entry, manner)

    async def whereabouts(self, message: IncomingMessage) -> Whereabouts:
        """A link for the members of the chat, or one to the person; basic groups (not supergroups) have none."""
        return whereabouts(message)

    def observe(self, gauge: Callable[[str, str, Callable[[], float]], None]) -> None:
        if not self._settings.webhook_url:
            text = "Seconds since Telegram last answered a poll of this process; -1 while another one polls"
            gauge("telegram_poll_age_seconds", text, self._poll_age)

    def _poll_age(self) -> float:
        return -1.0 if self._poller is None else self._poller.seconds_since_poll()

    async def check(self) -> Mapping[str, str]:
        """Raises ``BotsError``."""
        try:
            user = await self._client.get_me()
            webhook = await self._client.get_webhook_info()
        except InvalidToken:
            raise refused_token(self._settings) from None
        except TelegramError as error:
            raise BotsError(
                f"Telegram does not answer ({code_of(error)}); check the network and TELEGRAM_API_URL"
            ) from error
        return {
            "bot": f"@{user.username}",
            "receives by": "webhook" if self._settings.webhook_url else "long polling",
            "reads all group messages": "yes" if user.can_read_all_group_messages else "no",
            "updates waiting": str(webhook.pending_update_count),
            **({"last webhook error": webhook.last_error_message} if webhook.last_error_message else {}),
        }


def _checked_secret(settings: TelegramSettings) -> str:
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else ""
    if settings.webhook_url and not secret:
        raise SettingsError(
            "TELEGRAM_WEBHOOK_SECRET (telegram.webhook_secret) is missing: TELEGRAM_WEBHOOK_URL is set, and without a secret "
            "anybody could speak in Telegram's name; choose 1-256 letters, digits, _ or -"
        )
    if secret and not _SECRET.fullmatch(secret):
        raise SettingsError("TELEGRAM_WEBHOOK_SECRET (telegram.webhook_secret) takes 1-256 letters, digits, _ or -")
    return secret


def _webhook(url: str) -> str:
    """The URL for Telegram: a setting that names the host only gets our path."""
    return url.rstrip("/") + PATH if urlsplit(url).path in ("", "/") else url


def _draft(turn_id: str) -> int:
    """The id of a draft: not 0, the same for all states of a reply, and below 2^31."""
    return int(turn_id[:7], 16) + 1
