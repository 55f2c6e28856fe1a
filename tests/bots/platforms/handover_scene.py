"""A service over the loopback Slack and Telegram in which people are asked to take conversations over in channel CHELP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from bots.conversation.answers import Rules
from bots.conversation.audience import readers
from bots.conversation.commands import Commands
from bots.conversation.forgetting import Forgetting
from bots.conversation.guard import Guard
from bots.conversation.handle import Conversations
from bots.conversation.handover.handovers import Handovers
from bots.conversation.handover.state import HandoverStore
from bots.keys import Keys
from bots.messages import IncomingMessage, Sender
from bots.metrics import Metrics
from bots.platforms.base import Platform
from bots.platforms.slack.handover.blocks import RESUME
from bots.platforms.slack.platform import SlackPlatform
from bots.platforms.telegram.platform import TelegramPlatform
from bots.queue.inbox import Inbox
from bots.queue.replies import Lease, ReplyLedger
from bots.queue.worker import Worker
from bots.settings import LimitSettings, WorkerSettings
from rag.chain import ConversationalChain
from rag.memory.conversation import ConversationMemory
from rag.settings import MemorySettings, RetrievalSettings
from rag.turn import Turns
from rag.types import Hit
from tests.bots.engine import QUICK, emptied
from tests.bots.platforms.slack import scene as slack_scene
from tests.bots.platforms.telegram import scene as telegram_scene
from tests.loopback.slack_state import Json, Message
from tests.rag.fakes import FakeAnswerer, FakeFinder, passage
from tests.rag.heard import wishes
from tests.waiting import until

CHANNEL = "CHELP"
ANSWER = "Everybody has 27 days. [1]"
QUESTION = "How many days of holiday do I have?"
WISH = "I want to talk to a person"
CONTACT = "Write to help@example.com."


class DiedError(Exception):
    """The process ended here."""


class MortalStore(HandoverStore):
    """Ends its process instead of its next change, if it is told to."""

    dies = False

    async def change(self, before: Any, after: Any) -> bool:
        if self.dies:
            self.dies = False
            raise DiedError
        return await super().change(before, after)


@dataclass(slots=True)
class Stage:
    """Everything that a scenario touches. ``late`` is how far the service's clock is ahead."""

    slack: slack_scene.Scene
    telegram: telegram_scene.Scene
    redis: Redis
    keys: Keys
    inbox: Inbox
    memory: ConversationMemory
    metrics: Metrics
    store: MortalStore
    answerer: FakeAnswerer
    forgetting: Forgetting
    late: timedelta = timedelta()
    conversations: list[Conversations] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.late

    def process(self, slack: SlackPlatform | None = None, telegram: TelegramPlatform | None = None) -> Conversations:
        """What one worker process handles messages with."""
        platform = slack or self.slack.platform
        handovers = Handovers(
            self.store, self.inbox, self.memory, self.metrics, channel=platform.handover, now=self.now
        )
        ledger = ReplyLedger(self.redis, self.keys)
        finder = FakeFinder({"holiday": [Hit(passage=passage("Everybody has 27 days."), score=0.9)]})
        commands = Commands(memory=self.memory, ledger=ledger, forgetting=self.forgetting, contact=CONTACT)
        platforms: dict[str, Platform] = {"slack": platform, "telegram": telegram or self.telegram.platform}
        return Conversations(
            platforms=platforms,
            ledger=ledger,
            memory=self.memory,
            turns=Turns(ConversationalChain(finder, self.answerer, RetrievalSettings(), wishes=wishes()), self.memory),
            guard=Guard(self.redis, self.keys, LimitSettings()),
            commands=commands,
            forgetting=self.forgetting,
            inbox=self.inbox,
            handovers=handovers,
            metrics=self.metrics,
            rules=Rules(
                audiences=lambda message: readers(message, platforms).audiences,
                tenant=lambda message: readers(message, platforms).tenant,
                contacts={"telegram": CONTACT},
            ),
        )

    async def lease(self, message: IncomingMessage) -> Lease:
        """What a worker holds while it handles ``message``."""
        lease = Lease(conversation=message.conversation, token="token")
        await self.redis.set(self.keys.lease(message.conversation), lease.token)
        return lease

    async def dies_handling(self, message: IncomingMessage) -> None:
        """A process ends after people were asked to come, before that was noted."""
        self.store.dies = True
        with pytest.raises(DiedError):
            await self.process().handle(message, await self.lease(message))
        await self.redis.delete(self.keys.lease(message.conversation))

    @asynccontextmanager
    async def working(self, count: int = 1) -> AsyncIterator[None]:
        """Worker processes, until everything is worked off."""
        workers = []
        for number in range(count):
            made = self.process(self.slack.build() if number else None, self.telegram.another() if number else None)
            workers.append(Worker(self.inbox, made.handle, made.apologise, QUICK, self.metrics, backoff=lambda _: 0.0))
        running = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            yield
            await until(lambda: emptied(self.inbox))
        finally:
            for worker in workers:
                await worker.stop()
            await asyncio.gather(*running)

    async def work(self, count: int = 1) -> None:
        async with self.working(count):
            pass

    async def says(self, text: str, **more: Any) -> IncomingMessage:
        """Somebody writes in Slack, and it is worked off."""
        message = await self.slack.say(text, **more)
        await self.work()
        return message

    async def writes(self, text: str, **who: Any) -> None:
        """Somebody writes in Telegram, and it is worked off."""
        await self.telegram.accept(telegram_message(text, **who))
        await self.work()

    async def presses(
        self, post: Message, user: str = "UHELP", *, channel: str = CHANNEL, value: str | None = None
    ) -> int:
        """Somebody presses the button under a post; the status that Slack gets."""
        button = {**buttons(post)[0], **({} if value is None else {"value": value})}
        payload = {
            "type": "block_actions",
            "team": {"id": "T1"},
            "user": {"id": user},
            "channel": {"id": channel},
            "actions": [{"type": "button", "block_id": "b", **button}],
        }
        return (await self.slack.http.interaction(payload))[0]

    def posts(self) -> list[Message]:
        """What stands in the channel where people are asked to come."""
        return [message for (place, _), message in self.slack.slack.workspace.messages.items() if place == CHANNEL]

    def shown(self, message: IncomingMessage) -> list[str]:
        """What the bot said in a Slack thread."""
        return [each.body for each in self.slack.screen(message)]

    def count(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value("cotorra_handovers_total", {"outcome": outcome})
        return value or 0.0


def text_of(post: Message) -> str:
    """Every word of a post's blocks."""
    return "\n".join(_words(block) for block in post.furniture)


def _words(block: Json) -> str:
    inner: Sequence[Json] = [block, *(block.get("elements") or ())]
    texts = [each.get("text") for each in inner]
    return " ".join(str(text.get("text", "")) if isinstance(text, dict) else str(text or "") for text in texts)


def buttons(post: Message) -> list[Json]:
    found = [each for block in post.furniture if block["type"] == "actions" for each in block["elements"]]
    assert all(each["action_id"] == RESUME for each in found)
    return found


def telegram_message(text: str, number: int = 5, **who: Any) -> IncomingMessage:
    """A private message unless told otherwise; ``username`` is the person's or the group's."""
    username = who.pop("username", "")
    message = telegram_scene.question(number=number, **who)
    address = {**message.address, **({"username": username} if username else {})}
    return replace(message, text=text, address=address, sender=Sender(id=str(abs(who.get("chat", 77))), name="Ana"))


@asynccontextmanager
async def stage(
    redis: Redis, keys: Keys, *, channel: str = CHANNEL, summary: bool = True, **slack: Any
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(slack_scene.scene(redis, keys, handover_channel=channel, **slack))
        telegram = await stack.enter_async_context(telegram_scene.open_scene(redis, keys))
        memory = ConversationMemory(redis, MemorySettings(summary=summary), keys.memory)
        inbox = Inbox(redis, keys, WorkerSettings())
        forgetting = Forgetting(redis, keys, memory=memory, inbox=inbox, ledger=ReplyLedger(redis, keys))
        yield Stage(
            slack=scene,
            telegram=telegram,
            redis=redis,
            keys=keys,
            inbox=inbox,
            memory=memory,
            metrics=Metrics(),
            store=MortalStore(redis, keys),
            answerer=FakeAnswerer("Everybody has ", "27 days. [1]"),
            forgetting=forgetting,
        )
