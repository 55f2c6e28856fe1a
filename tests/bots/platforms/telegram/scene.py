"""A Telegram platform over the loopback Bot API and a real Redis, with everything that it hands on kept for looking at."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import uvicorn
from pydantic import SecretStr
from redis.asyncio import Redis
from starlette.applications import Starlette

from bots.errors import DeliveryRetry
from bots.keys import Keys
from bots.messages import ChannelKind, IncomingMessage, OutgoingReply, Sender
from bots.platforms.telegram.pacing import Timing
from bots.platforms.telegram.platform import TelegramPlatform
from bots.platforms.telegram.replying.streaming import TelegramReply
from bots.platforms.telegram.replying.typing_mark import TASK
from bots.platforms.telegram.settings import TelegramSettings
from bots.queue.inbox import Inbox
from bots.queue.outbox import FeedbackEntry
from bots.queue.replies import Lease, ReplyEntry, ReplyLedger, ReplyRecord
from bots.settings import WorkerSettings
from rag.types import Passage, Source
from tests.loopback.telegram import LoopbackTelegram
from tests.loopback.telegram_people import Person
from tests.loopback.telegram_values import TOKEN
from tests.waiting import until

QUICK = Timing(
    private=0.02, group=0.02, typing=0.03, patience=0.5, pause=0.01, longest_pause=0.05, lease=0.4, long_poll=5
)
WHOLE = "The whole answer [1].\n\nSources\n1. Page"
"""What :func:`answer` looks like on the screen."""
SECRET = "a-secret_of-the-webhook"


@dataclass(slots=True)
class Reports:
    """What the platform reported to the metrics."""

    errors: list[tuple[str, str]] = field(default_factory=list)

    def error(self, platform: str, method: str, code: str) -> None:
        assert platform == "telegram"
        self.errors.append((method, code))


class Ledger(ReplyLedger):
    """The real one; ``failures`` are raised first by who looks for a reply."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        super().__init__(redis, keys)
        self.failures: list[Exception] = []

    async def find(self, conversation: str, turn_id: str) -> ReplyRecord | None:
        if self.failures:
            raise self.failures.pop()
        return await super().find(conversation, turn_id)


class Scene:
    """One platform and what came out of it. ``passed``: seconds that its clock is ahead of the real one."""

    def __init__(self, telegram: LoopbackTelegram, redis: Redis, keys: Keys, **settings: Any) -> None:
        self.telegram = telegram
        self.redis = redis
        self.keys = keys
        self.settings = settings
        self.ledger = Ledger(redis, keys)
        self.inbox = Inbox(redis, keys, WorkerSettings())
        self.accepted: list[IncomingMessage] = []
        self.refusals: list[Exception] = []
        self.feedback: list[FeedbackEntry] = []
        self.move_failures: list[Exception] = []
        self.moves: list[tuple[str, str]] = []
        self.reports = Reports()
        self.busy = False
        self.passed = 0.0
        self.platform = self.another()

    def another(self, timing: Timing = QUICK) -> TelegramPlatform:
        """One more process of the same deployment."""
        values = {"bot_token": SecretStr(TOKEN), "api_url": self.telegram.api_url, **self.settings}
        return TelegramPlatform(
            TelegramSettings(**values),
            redis=self.redis,
            keys=self.keys,
            ledger=self.ledger,
            feedback=self._record,
            migrate=self._migrate,
            metrics=self.reports,
            busy=lambda: self.busy,
            timing=timing,
            clock=lambda: monotonic() + self.passed,
        )

    async def _record(self, entry: FeedbackEntry) -> None:
        self.feedback.append(entry)

    async def _migrate(self, old: str, new: str) -> None:
        if self.move_failures:
            raise self.move_failures.pop()
        self.moves.append((old, new))

    async def accept(self, message: IncomingMessage) -> bool:
        """The real inbox; ``refusals`` are raised first."""
        if self.refusals:
            raise self.refusals.pop(0)
        new = await self.inbox.accept(message)
        if new:
            self.accepted.append(message)
        return new

    def person(self, **who: Any) -> Person:
        return Person(telegram=self.telegram, **who)

    async def settled(self) -> None:
        """Waits until everything that was pushed is confirmed."""
        await self.telegram.until(lambda: not self.telegram.pending())

    async def until(self, condition: Callable[[], object]) -> None:
        await self.telegram.until(condition)

    def typing(self) -> bool:
        """Whether some reply would show the typing mark again."""
        return any(task.get_name() == TASK for task in asyncio.all_tasks())

    async def entry(self, message: IncomingMessage) -> ReplyEntry:
        """The ledger's entry, under a lease that a worker would hold."""
        lease = Lease(conversation=message.conversation, token=secrets.token_hex(8))
        await self.redis.set(self.keys.lease(message.conversation), lease.token)
        return await self.ledger.open(message.turn_id, lease)

    async def reply(self, message: IncomingMessage, platform: TelegramPlatform | None = None) -> TelegramReply:
        return await (platform or self.platform).reply(message, await self.entry(message))

    def texts(self, chat: int = 77) -> list[str]:
        return [shown.text for shown in self.telegram.visible(chat)]


@asynccontextmanager
async def open_scene(redis: Redis, keys: Keys, **settings: Any) -> AsyncIterator[Scene]:
    """The platform is not started: a worker's is not either."""
    telegram = LoopbackTelegram()
    await telegram.start()
    scene = Scene(telegram, redis, keys, **settings)
    try:
        yield scene
    finally:
        await scene.platform.stop()
        await scene.platform.close()
        await telegram.stop()


@asynccontextmanager
async def served(platform: TelegramPlatform, port: int) -> AsyncIterator[None]:
    """The platform's routes on a real server."""
    app = Starlette(routes=list(platform.routes()))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        yield
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def receiving(redis: Redis, keys: Keys, port: int | None = None) -> AsyncIterator[Scene]:
    """A started scene: by webhook on ``port``, or by polling."""
    hook = {"webhook_url": f"http://127.0.0.1:{port}", "webhook_secret": SecretStr(SECRET)} if port else {}
    async with open_scene(redis, keys, **hook) as scene:
        if port is None:
            await scene.platform.start(scene.accept)
            yield scene
        else:
            async with served(scene.platform, port):
                await scene.platform.start(scene.accept)
                yield scene
                await scene.platform.stop()


def question(number: int = 5, *, chat: int = 77, topic: int = 0, kind: ChannelKind | None = None) -> IncomingMessage:
    """A message as the receiver would have accepted it."""
    identity = f"telegram:{chat}:{number}"
    return IncomingMessage(
        id=identity,
        seen=(identity,),
        platform="telegram",
        conversation=f"telegram:{chat}:{topic}",
        kind="question",
        text="How?",
        sender=Sender(id="77"),
        channel=kind or ("direct" if chat > 0 else "private"),
        received_at=datetime.now(UTC),
        address={"chat": str(chat), "topic": str(topic), "message": str(number)},
    )


def answer(
    message: IncomingMessage, text: str = "The whole **answer** [1].", sources: Sequence[Source] | None = None
) -> OutgoingReply:
    cited = (source(),) if sources is None else tuple(sources)
    return OutgoingReply(turn_id=message.turn_id, kind="answer", text=text, sources=cited)


def source(number: int = 1, title: str = "Page", url: str = "https://help.example.com/page#a") -> Source:
    passage = Passage(
        id=f"p{number}",
        document="d",
        source="s",
        title=title,
        headings=(),
        url=url,
        text="The text.",
        position=0,
        language="en",
        audience="public",
    )
    return Source(number=number, passage=passage, score=0.9)


async def deliver(scene: Scene, message: IncomingMessage, final: OutgoingReply, *states: str) -> int:
    """What a worker does: shows states and finishes, and starts again after what can be tried again. Counts the tries."""
    for attempt in range(1, 6):
        reply = await scene.reply(message)
        for state in states:
            await reply.show(state)
        try:
            await reply.finish(final)
        except DeliveryRetry:
            continue
        return attempt
    raise AssertionError("never delivered")
