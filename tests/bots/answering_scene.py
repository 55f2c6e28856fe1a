"""Conversations over real stores, with a platform whose screen can be looked at and that can fail at every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from redis.asyncio import Redis
from starlette.routing import BaseRoute

from bots.conversation.answers import Rules
from bots.conversation.audience import Readers
from bots.conversation.commands import Commands
from bots.conversation.forgetting import Forgetting
from bots.conversation.guard import Guard
from bots.conversation.handle import Conversations
from bots.conversation.handover.handovers import HandoverChannel, Handovers
from bots.conversation.handover.state import HandoverStore, Whereabouts
from bots.keys import Keys
from bots.messages import IncomingMessage, OutgoingReply, Sender
from bots.metrics import Metrics
from bots.platforms.base import Accept, Platform, Reply
from bots.queue.inbox import Inbox
from bots.queue.outbox import OutboxEntry
from bots.queue.replies import Lease, Post, ReplyEntry, ReplyLedger
from bots.settings import LimitSettings, WorkerSettings
from rag.answering.answerer import Answerer
from rag.chain import ConversationalChain
from rag.memory.conversation import ConversationMemory
from rag.memory.notes import PersonalNotes
from rag.settings import MemorySettings, RetrievalSettings
from rag.turn import Turns
from rag.types import AdapterRef, Hit, Passage, Question, Stage
from tests.rag.fakes import FakeAnswerer, FakeFinder, passage
from tests.rag.heard import wishes
from tuning.conversations.privacy import pseudonym

Step = Literal["intended", "shown", "computed", "sent", "stands"]
"""Where a process may die: intent stored; a part shown; answer stored; sent, not yet noted; everything noted."""

PUBLIC = frozenset({"public"})
INTERNAL = frozenset({"public", "employees"})
PLACE = "slack:T1:D1:1.0"


class DiedError(Exception):
    """The process ended here."""


@dataclass(slots=True)
class Screen(Platform):
    """A platform that shows replies here. ``posts`` holds what stands, by post id."""

    name: str = "slack"
    posts: dict[str, OutgoingReply] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    dies_at: Step | None = None
    admins: set[str] = field(default_factory=set)
    handover: HandoverChannel | None = None

    def texts(self) -> list[str]:
        return [post.text for post in self.posts.values()]

    def die(self, step: Step) -> None:
        if self.dies_at == step:
            self.dies_at = None
            raise DiedError(step)

    def routes(self) -> Sequence[BaseRoute]:
        return ()

    async def start(self, accept: Accept) -> None: ...

    async def stop(self) -> None: ...

    async def close(self) -> None: ...

    async def resolve(self, message: IncomingMessage) -> IncomingMessage:
        known = replace(message.sender, name=f"Name of {message.sender.id}", admin=message.sender.id in self.admins)
        return replace(message, sender=known)

    def readers(self, message: IncomingMessage) -> Readers:
        return Readers(audiences=PUBLIC)

    async def reply(self, message: IncomingMessage, entry: ReplyEntry) -> Reply:
        self.die("intended")
        return ScreenReply(self, entry)

    async def whereabouts(self, message: IncomingMessage) -> Whereabouts:
        return Whereabouts(url="https://example.com/there", person="ada")

    def observe(self, gauge: Callable[[str, str, Callable[[], float]], None]) -> None: ...

    async def check(self) -> Mapping[str, str]:
        return {}


@dataclass(slots=True)
class ScreenReply(Reply):
    """Writes each confirmed step to the ledger, as every platform does."""

    screen: Screen
    entry: ReplyEntry

    async def status(self, stage: Stage) -> None:
        self.screen.statuses.append(stage)

    async def show(self, text: str) -> None:
        self.screen.partial.append(text)
        self.screen.die("shown")

    async def finish(self, reply: OutgoingReply) -> None:
        self.screen.die("computed")
        record = self.entry.record
        if record.finished:
            return
        post = record.posts[-1].id if record.posts else f"p{len(self.screen.posts) + 1}"
        if not record.posts:
            await self.entry.save(record.with_post(Post(id=post, kind="message")))
        self.screen.posts[post] = reply
        self.screen.die("sent")
        done = Post(id=post, kind="message", shown=len(reply.text), done=True)
        await self.entry.save(replace(self.entry.record.with_post(done), text=reply.text, finished=True))
        self.screen.die("stands")


class Talk:
    """One deployment: real Redis, the real chain over a few known passages, a screen."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        contact: str = "",
        memory: Redis | None = None,
        answerer: Answerer | None = None,
        passages: Sequence[Passage] = (passage("Everybody has 27 days."),),
        channel: HandoverChannel | None = None,
        adapter: AdapterRef | None = None,
        **limits: Any,
    ) -> None:
        self.redis = redis
        self.keys = keys
        self.readers = PUBLIC
        self.tenant = ""
        self.screen = Screen()
        self.telegram = Screen(name="telegram")
        self.ledger = ReplyLedger(redis, keys)
        self.notes = PersonalNotes(memory or redis, MemorySettings(notes=True), keys.notes, keys.notes_of)
        self.memory = ConversationMemory(memory or redis, MemorySettings(turns=4), keys.memory, self.notes)
        self.inbox = Inbox(redis, keys, WorkerSettings())
        self.finder = FakeFinder({"holiday": [Hit(passage=each, score=0.9) for each in passages]})
        self.answerer = FakeAnswerer("Everybody has ", "27 days. [1]")
        self.metrics = Metrics()
        self.forgetting = Forgetting(
            redis,
            keys,
            memory=self.memory,
            inbox=self.inbox,
            ledger=self.ledger,
            pseudonym=lambda speaker: pseudonym(b"secret", speaker),
        )
        self.handovers = Handovers(HandoverStore(redis, keys), self.inbox, self.memory, self.metrics, channel=channel)
        chain = ConversationalChain(self.finder, answerer or self.answerer, RetrievalSettings(), wishes=wishes())
        self.turns = Turns(chain, self.memory)
        self.conversations = Conversations(
            platforms={"slack": self.screen, "telegram": self.telegram},
            ledger=self.ledger,
            memory=self.memory,
            turns=self.turns,
            guard=Guard(redis, keys, LimitSettings(**limits)),
            commands=Commands(memory=self.memory, ledger=self.ledger, forgetting=self.forgetting, contact=contact),
            forgetting=self.forgetting,
            inbox=self.inbox,
            handovers=self.handovers,
            metrics=self.metrics,
            rules=Rules(
                audiences=lambda _: self.readers,
                tenant=lambda _: self.tenant,
                adapter=lambda _: adapter,
                contacts={"telegram": contact},
            ),
        )

    @property
    def asked(self) -> list[Question]:
        """What was computed, and how often."""
        return [question for question, _, _ in self.answerer.asked]

    async def lease(self, message: IncomingMessage) -> Lease:
        """What a worker holds while it handles ``message``."""
        lease = Lease(conversation=message.conversation, token="token")
        await self.redis.set(self.keys.lease(message.conversation), lease.token)
        return lease

    async def handle(self, message: IncomingMessage) -> Sequence[OutboxEntry]:
        return await self.conversations.handle(message, await self.lease(message))

    async def apologise(self, message: IncomingMessage) -> None:
        await self.conversations.apologise(message, await self.lease(message))

    async def remembered(self, conversation: str = PLACE) -> list[tuple[str, str]]:
        return [(each.question, each.answer) for each in await self.memory.load(conversation)]

    def figure(self, line: str) -> bool:
        """Whether /metrics holds a line that begins so."""
        return any(each.startswith(line) for each in self.metrics.render().decode().splitlines())


def said(text: str, number: int = 1, *, conversation: str = PLACE, sender: str = "ada", **more: Any) -> IncomingMessage:
    """The ``number``-th message of a conversation, a second after the one before."""
    values: dict[str, Any] = {
        "id": f"{conversation}/{number}",
        "seen": (f"{conversation}/{number}",),
        "platform": conversation.partition(":")[0],
        "conversation": conversation,
        "kind": "question",
        "text": text,
        "sender": Sender(id=sender),
        "channel": "direct",
        "received_at": datetime(2026, 5, 4, 12, tzinfo=UTC) + timedelta(seconds=number),
    }
    return IncomingMessage(**(values | more))


def edited(original: IncomingMessage, text: str, number: int) -> IncomingMessage:
    return said(text, number, conversation=original.conversation, kind="edit", original=original.id)


def deleted(original: IncomingMessage, number: int) -> IncomingMessage:
    return said("", number, conversation=original.conversation, kind="deletion", original=original.id)


def ordered(command: str, number: int, argument: str = "", **more: Any) -> IncomingMessage:
    return said(argument, number, kind="command", command=command, **more)
