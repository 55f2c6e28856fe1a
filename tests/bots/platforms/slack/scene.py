"""A Slack platform between a loopback Slack, a real HTTP server and a real inbox."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from aiohttp import ClientSession
from pydantic import SecretStr
from redis.asyncio import Redis
from starlette.applications import Starlette

from bots.errors import DeliveryRetry
from bots.keys import Keys
from bots.messages import IncomingMessage, OutgoingReply
from bots.platforms.base import Reply
from bots.platforms.slack.platform import SlackPlatform
from bots.platforms.slack.settings import SlackSettings
from bots.queue.inbox import Inbox
from bots.queue.outbox import FeedbackEntry
from bots.queue.replies import Lease, ReplyEntry, ReplyLedger
from bots.settings import WorkerSettings
from rag.errors import StoreUnavailable
from rag.types import Passage, Source
from tests.loopback.slack import APP_TOKEN, BOT_TOKEN, LoopbackSlack
from tests.loopback.slack_delivery import HttpDelivery, callback
from tests.loopback.slack_state import TEAM, Json, Message

SECRET = "signing-secret"


@dataclass(slots=True)
class Scene:
    """Everything that a scenario touches."""

    slack: LoopbackSlack
    redis: Redis
    keys: Keys
    settings: SlackSettings
    platform: SlackPlatform
    ledger: ReplyLedger
    http: HttpDelivery
    base_url: str
    session: ClientSession
    accepted: list[IncomingMessage] = field(default_factory=list)
    feedback: list[FeedbackEntry] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    stores_down: bool = False
    busy: bool = False
    passed: float = 0.0
    handover_channel: str = ""
    built: list[SlackPlatform] = field(default_factory=list)

    async def accept(self, message: IncomingMessage) -> bool:
        if self.stores_down:
            raise StoreUnavailable("Redis does not answer")
        new = await Inbox(self.redis, self.keys, WorkerSettings()).accept(message)
        if new:
            self.accepted.append(message)
        return new

    async def keep(self, entry: FeedbackEntry) -> None:
        if self.stores_down:
            raise StoreUnavailable("Redis does not answer")
        self.feedback.append(entry)

    def error(self, platform: str, method: str, code: str) -> None:
        self.errors.append((method, code))

    def build(self) -> SlackPlatform:
        """Another process' platform on the same stores."""
        platform = SlackPlatform(
            self.settings,
            redis=self.redis,
            keys=self.keys,
            ledger=self.ledger,
            feedback=self.keep,
            metrics=self,
            busy=lambda: self.busy,
            handover_channel=self.handover_channel,
            ping_seconds=0.2,
            clock=lambda: time.monotonic() + self.passed,
        )
        self.built.append(platform)
        return platform

    async def say(self, text: str, *, channel: str = "D1", user: str = "U1", **more: Any) -> IncomingMessage:
        """A message event, delivered over HTTP and accepted."""
        before = len(self.accepted)
        assert await self.http.event(callback(said(text, channel=channel, user=user, **more))) == 200
        assert len(self.accepted) == before + 1, "the message was not accepted"
        return self.accepted[-1]

    async def open(self, message: IncomingMessage) -> tuple[Reply, ReplyEntry]:
        """The reply to a message, as a worker that has just taken the conversation gets it."""
        lease = Lease(conversation=message.conversation, token=secrets.token_hex(8))
        await self.redis.set(self.keys.lease(message.conversation), lease.token)
        entry = await self.ledger.open(message.turn_id, lease)
        return await self.platform.reply(message, entry), entry

    async def deliver(self, message: IncomingMessage, outgoing: OutgoingReply, tries: int = 6) -> None:
        """Finishes a reply as often as the inbox would redeliver the message."""
        for _ in range(tries):
            try:
                await (await self.open(message))[0].finish(outgoing)
            except DeliveryRetry:
                continue
            return
        raise AssertionError("the reply could not be delivered")

    def screen(self, message: IncomingMessage) -> list[Message]:
        """The bot's messages in the thread of ``message``, as they stand now."""
        return self.slack.workspace.replies(message.address["channel"], message.address["thread_ts"])

    async def quiet(self) -> None:
        """Waits for optional interface calls in the background."""
        tasks = [t for t in asyncio.all_tasks() if (t.get_coro().__qualname__ or "").endswith("_run_optional")]  # type: ignore[union-attr]
        await asyncio.gather(*tasks)


def said(text: str, *, channel: str = "D1", user: str = "U1", ts: str = "", kind: str = "message", **more: Any) -> Json:
    """A ``message`` (or ``app_mention``) event."""
    stamp = ts or f"16{secrets.randbelow(10**8):08d}.{secrets.randbelow(10**6):06d}"
    event = {"type": kind, "channel": channel, "user": user, "text": text, "ts": stamp, "team": TEAM, "event_ts": stamp}
    if kind == "message":
        event["channel_type"] = "im" if channel.startswith("D") else "channel"
    return {**event, **more}


def answer(message: IncomingMessage, text: str, sources: Sequence[Source] = ()) -> OutgoingReply:
    return OutgoingReply(turn_id=message.turn_id, kind="answer", text=text, sources=tuple(sources))


def source(
    number: int = 1, *, title: str = "Holidays", url: str = "https://help.example.com/h", audience: str = "public"
) -> Source:
    passage = Passage(
        id=f"p{number}",
        document="d",
        source="handbook",
        title=title,
        headings=(),
        url=url,
        text="text",
        position=0,
        language="en",
        audience=audience,
    )
    return Source(number=number, passage=passage, score=0.9)


@asynccontextmanager
async def scene(
    redis: Redis, keys: Keys, *, socket_mode: bool = False, handover_channel: str = "", **settings: Any
) -> AsyncIterator[Scene]:
    """A platform that listens; HTTP unless ``socket_mode``."""
    async with LoopbackSlack() as slack, ClientSession() as session:
        slack_settings = SlackSettings(
            bot_token=SecretStr(BOT_TOKEN),
            app_token=SecretStr(APP_TOKEN) if socket_mode else None,
            signing_secret=None if socket_mode else SecretStr(SECRET),
            api_url=slack.api_url,
            **settings,
        )
        listener = socket.create_server(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        http = HttpDelivery(session, f"{base_url}/slack/events", SECRET)
        ledger = ReplyLedger(redis, keys)
        made = Scene(slack, redis, keys, slack_settings, None, ledger, http, base_url, session)  # type: ignore[arg-type]
        made.handover_channel = handover_channel
        made.platform = made.build()
        server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=made.platform.routes()), log_level="error", lifespan="off")
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await made.platform.start(made.accept)
            yield made
        finally:
            for platform in made.built:
                await platform.close()
            serving.cancel()  # uvicorn looks for its exit flag ten times a second only
            await asyncio.gather(serving, return_exceptions=True)
            await server.shutdown(sockets=[listener])
