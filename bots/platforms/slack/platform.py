"""Slack as a ``Platform``: receives over HTTP or Socket Mode, resolves senders and channels, opens replies, checks itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from redis.asyncio import Redis
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from bots.conversation.audience import Readers
from bots.conversation.handover.state import HandoverStore, Whereabouts
from bots.errors import DeliveryRetry, SettingsError
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.platforms.base import Accept, NoMetrics, PlatformMetrics, Reply
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.directory import Directory
from bots.platforms.slack.handover.channel import SlackHandover
from bots.platforms.slack.identity import Identity
from bots.platforms.slack.pacing import Pacing
from bots.platforms.slack.readers import slack_readers
from bots.platforms.slack.receiving.arrivals import Arrivals
from bots.platforms.slack.receiving.feedback import Store
from bots.platforms.slack.receiving.receiver import Receiver
from bots.platforms.slack.receiving.sharing import Sharing
from bots.platforms.slack.receiving.socket_addresses import forget_used_addresses
from bots.platforms.slack.replying.ephemeral import EphemeralReply
from bots.platforms.slack.replying.posting import Place
from bots.platforms.slack.replying.streaming import SlackReply
from bots.platforms.slack.settings import SlackSettings
from bots.platforms.slack.threads import Threads
from bots.queue.replies import ReplyEntry, ReplyLedger

log = structlog.get_logger()
MEMORY_SECONDS = 30 * 24 * 3600.0
PING_SECONDS = 10.0


class SlackPlatform:
    """One workspace. Building it makes no call, so a worker that never receives may build it too.

    ``feedback`` stores a rating durably (raises ``StoreUnavailable``); ``busy`` says that messages wait, so that answers go
    out in as few calls as possible; ``memory_seconds`` is the memory's time to live; ``handover_channel`` is the id of the
    channel in which people are asked to take conversations over, empty for none.
    """

    name = "slack"

    def __init__(
        self,
        settings: SlackSettings,
        *,
        redis: Redis,
        keys: Keys,
        ledger: ReplyLedger,
        feedback: Store,
        metrics: PlatformMetrics | None = None,
        busy: Callable[[], bool] = lambda: False,
        memory_seconds: float = MEMORY_SECONDS,
        handover_channel: str = "",
        ping_seconds: float = PING_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._busy = busy
        self._clock = clock
        self._ping_seconds = ping_seconds
        self._calls = SlackCalls(settings, metrics or NoMetrics(), Pacing(clock))
        self._identity = Identity(self._calls)
        self._directory = Directory(self._calls, redis, keys, with_groups=bool(settings.group_audiences))
        threads = Threads(redis, keys, memory_seconds)
        self.handover = (
            SlackHandover(
                handover_channel,
                settings=settings,
                calls=self._calls,
                identity=self._identity,
                directory=self._directory,
                store=HandoverStore(redis, keys),
            )
            if handover_channel
            else None
        )
        self._receiver = Receiver(
            calls=self._calls,
            identity=self._identity,
            arrivals=Arrivals(settings, threads),
            threads=threads,
            directory=self._directory,
            sharing=Sharing(self._calls, ledger, self._directory, threads, settings.public_channels),
            feedback=feedback,
            busy=busy,
            handover=self.handover,
        )
        self._socket: AsyncSocketModeHandler | None = None
        self._connecting: asyncio.Future[None] | None = None

    def routes(self) -> Sequence[BaseRoute]:
        """``POST /slack/events``, unless Socket Mode is on. Raises ``SettingsError`` without a signing secret."""
        self._check_credentials()
        if self._settings.app_token is not None or self._settings.signing_secret is None:
            return []
        app = self._receiver.app(self._settings.signing_secret.get_secret_value())
        handler = AsyncSlackRequestHandler(app)

        async def events(request: Request) -> Response:
            return await _handle(handler, request)

        return [Route("/slack/events", events, methods=["POST"])]

    async def start(self, accept: Accept) -> None:
        """Starts to accept payloads. Raises ``SettingsError`` for tokens that Slack refuses; without a network it retries."""
        self._check_credentials()
        # Before the look-up: over HTTP a payload may arrive as soon as the service listens, whether or not we reach Slack.
        self._receiver.listen(accept)
        try:
            await self._identity.bot()
            url = await self._open_connection()
        except DeliveryRetry as error:
            log.warning("slack_unreachable", reason=str(error))
            url = None
        if self._settings.app_token is not None:
            await self._connect(self._settings.app_token.get_secret_value(), url)

    async def stop(self) -> None:
        """Stops receiving."""
        # The pending connection first: it would open again after the close.
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
            self._connecting = None
        if self._socket is not None:
            await self._socket.client.close()  # type: ignore[no-untyped-call]
            self._socket = None
        await self._receiver.stop()

    async def close(self) -> None:
        await self.stop()
        await self._calls.close()

    async def resolve(self, message: IncomingMessage) -> IncomingMessage:
        """Fills in the sender and the kind of channel. Raises ``DeliveryRetry`` while Slack cannot tell."""
        return await self._directory.resolve(message)

    def readers(self, message: IncomingMessage) -> Readers:
        return slack_readers(message, self._settings)

    async def reply(self, message: IncomingMessage, entry: ReplyEntry) -> Reply:
        """The reply in its thread, or to the asker alone after a slash command. Raises as ``Identity.bot`` does."""
        if message.channel == "ephemeral":
            return EphemeralReply(entry=entry, calls=self._calls, address=message.address)
        bot = await self._identity.bot()
        return SlackReply(
            entry=entry,
            place=Place.of(message),
            calls=self._calls,
            bot=bot.user,
            busy=self._busy,
            language=message.language or message.address.get("language"),
            clock=self._clock,
        )

    async def whereabouts(self, message: IncomingMessage) -> Whereabouts:
        """A permalink to the message; none for a slash command, which is no message in the channel."""
        ts = message.address.get("ts", "")
        if not ts:
            return Whereabouts()
        try:
            answer = await self._calls("chat.getPermalink", channel=message.address["channel"], message_ts=ts)
        except CallError:
            return Whereabouts()
        return Whereabouts(url=str(answer.get("permalink") or ""))

    async def check(self) -> Mapping[str, str]:
        """The bot, its workspace, and missing scopes; asks Slack for a Socket Mode address where that is on, without using it."""
        self._check_credentials()
        bot = await self._identity.bot()
        mode = "socket" if await self._open_connection() else "http"
        facts = {"bot": bot.name, "workspace": bot.workspace, "team": bot.team, "receives": mode}
        missing = await self._identity.missing_scopes()
        return {**facts, "missing scopes": ", ".join(missing)} if missing else facts

    def seconds_since_last_event(self) -> float:
        """The gauge for /metrics; it covers this process only."""
        return self._receiver.seconds_since_last_event()

    def observe(self, gauge: Callable[[str, str, Callable[[], float]], None]) -> None:
        """Registers the age of the last payload. In Socket Mode a dead connection looks like a quiet workspace: alert on it."""
        gauge("slack_seconds_since_event", "Seconds since Slack delivered anything", self.seconds_since_last_event)

    def _check_credentials(self) -> None:
        if self._settings.app_token is None and self._settings.signing_secret is None:
            raise SettingsError(
                "SLACK_BOT_TOKEN is set, but neither SLACK_APP_TOKEN (Socket Mode) nor SLACK_SIGNING_SECRET (HTTP): "
                "set one of them, or unset SLACK_BOT_TOKEN"
            )

    async def _connect(self, token: str, url: str | None) -> None:
        """Opens the WebSocket; bolt's client opens another one by itself when Slack or the network ends this one."""
        # No signing secret: bolt verifies no signatures in Socket Mode, where there are none.
        app = self._receiver.app(signing_secret="")
        self._socket = AsyncSocketModeHandler(
            app, token, web_client=self._calls.client, ping_interval=self._ping_seconds
        )
        await forget_used_addresses(self._socket.client)
        self._socket.client.wss_uri = url
        self._connecting = asyncio.ensure_future(self._socket.client.connect())  # type: ignore[no-untyped-call]
        # Without an address Slack is out of reach: the client goes on trying, and the start must not wait for it.
        if url is not None:
            await self._connecting

    async def _open_connection(self) -> str | None:
        """The address of a connection, or None where Socket Mode is off."""
        if self._settings.app_token is None:
            return None
        try:
            return await self._calls.open_connection(self._settings.app_token.get_secret_value())
        except CallError as error:
            if error.no_effect and not error.rate_limited and not error.unreachable:
                raise SettingsError(
                    f"SLACK_APP_TOKEN is refused by Slack ({error.code}); create an app-level token (xapp-…) "
                    "with the scope connections:write and turn Socket Mode on"
                ) from error
            raise DeliveryRetry(f"Slack cannot be reached (apps.connections.open: {error.code})") from error


async def _handle(handler: AsyncSlackRequestHandler, request: Request) -> Response:
    """Answers 401 or 400 where bolt (1.30) raises: a payload that it cannot read is the client's error, not ours."""
    # The SDK's signature check (3.47) converts this header with int().
    if not request.headers.get("x-slack-request-timestamp", "0").isdigit():
        return PlainTextResponse("the timestamp is no number\n", status_code=401)
    try:
        return await handler.handle(request)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return PlainTextResponse("the payload cannot be read\n", status_code=400)
