"""A desk that knows one answer, and a service that is nothing but this desk on its socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bots.desk.operation import Operations
from bots.desk.operations import Forget, NewConversation, Retry, Search, Sync
from bots.desk.seam import (
    AsideMessage,
    AskEvent,
    AskRequest,
    Complete,
    FoundPassage,
    RetrieveRequest,
    RetrieveResponse,
    SyncedSource,
    SyncEvent,
    SyncProgress,
    Text,
)
from bots.desk.socket import control_app
from bots.operations.ownership import Ownership, control_socket
from bots.server import HttpServer
from rag.types import Answer, Hit, Retrieval, Source
from tests.rag.fakes import passage

ANSWER = Answer(
    text="Once. [1]",
    outcome="answered",
    language="en",
    sources=(Source(number=1, passage=passage(updated_at=datetime(2026, 1, 2, tzinfo=UTC)), score=0.5),),
    shown=(Hit(passage=passage(), score=0.5),),
    model="extractive",
    seconds={"answer": 0.25},
)
ASIDE = AsideMessage(turn_id="t", conversation="c", error="RuntimeError", tries=3, at=datetime(2026, 1, 2, tzinfo=UTC))
RETRIEVED = RetrieveResponse(
    retrieval=Retrieval(hits=(Hit(passage=passage(), score=0.5),), score=0.5, evidence={"cosine": 0.5}),
    limit=6,
    threshold=0.5,
    embedding="fake",
)
SYNCING = SyncProgress(source="kb", done=1, total=2, passages=3)
SYNCED = SyncedSource(source="kb", added=2, skipped=(("a.md", "no UTF-8"),))


@dataclass(slots=True)
class FakeDesk:
    """A service that answers everything with what is known; fails with ``error``, if any, where it would have ended."""

    error: Exception | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def note(self, *call: object) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    async def ask(self, asked: AskRequest) -> AsyncIterator[AskEvent]:
        yield Text(text="Once.")
        self.note("ask", asked)
        yield Text(text=" [1]")
        yield Complete(conversation=asked.conversation, answer=ANSWER)

    async def retrieve(self, inquiry: RetrieveRequest) -> RetrieveResponse:
        self.note("retrieve", inquiry)
        return RETRIEVED

    async def sync(self, request: Sync) -> AsyncIterator[SyncEvent]:
        yield SYNCING
        self.note("sync", request)
        yield SYNCED


KNOWN: Operations[FakeDesk] = Operations()
"""The product's operations, by name, on a fake desk."""


@KNOWN.stream
def ask(desk: FakeDesk, request: AskRequest) -> AsyncIterator[AskEvent]:
    return desk.ask(request)


@KNOWN.operation
async def new(desk: FakeDesk, request: NewConversation) -> None:
    desk.note("new", request)


@KNOWN.operation
async def search(desk: FakeDesk, request: Search) -> tuple[FoundPassage, ...]:
    desk.note("search", request)
    return (FoundPassage(title="Page", url="", text="Text.", score=0.5, source="kb"),)


@KNOWN.operation
async def retrieve(desk: FakeDesk, request: RetrieveRequest) -> RetrieveResponse:
    return await desk.retrieve(request)


@KNOWN.stream
def sync(desk: FakeDesk, request: Sync) -> AsyncIterator[SyncEvent]:
    return desk.sync(request)


@KNOWN.operation
async def set_aside(desk: FakeDesk, request: None) -> tuple[AsideMessage, ...]:
    desk.note("set_aside", request)
    return (ASIDE,)


@KNOWN.operation
async def retry(desk: FakeDesk, request: Retry) -> int:
    desk.note("retry", request)
    return 2


@KNOWN.operation
async def forget(desk: FakeDesk, request: Forget) -> Mapping[str, int]:
    desk.note("forget", request)
    return {"memory": 1}


@asynccontextmanager
async def running(desk: FakeDesk, home: Path) -> AsyncIterator[None]:
    """``home`` is owned, and ``desk`` listens there, as when a service runs."""
    ownership = Ownership(home)
    ownership.take()
    server = HttpServer(control_app(desk, KNOWN), socket=control_socket(home))
    await server.start()
    try:
        yield
    finally:
        await server.stop()
        ownership.release()
