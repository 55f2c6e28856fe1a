"""A desk that knows one answer, and a service that is nothing but this desk on its socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bots.desk.seam import (
    Asked,
    AskEvent,
    Complete,
    Desk,
    FoundPassage,
    Inquiry,
    Retrieved,
    SetAside,
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
ASIDE = SetAside(turn_id="t", conversation="c", error="RuntimeError", tries=3, at=datetime(2026, 1, 2, tzinfo=UTC))
RETRIEVED = Retrieved(
    retrieval=Retrieval(hits=(Hit(passage=passage(), score=0.5),), score=0.5, evidence={"cosine": 0.5}),
    limit=6,
    threshold=0.5,
    embedding="fake",
)
SYNCING = SyncProgress(source="kb", done=1, total=2, passages=3)
SYNCED = SyncedSource(source="kb", added=2, skipped=(("a.md", "no UTF-8"),))


@dataclass(slots=True)
class FakeDesk(Desk):
    """Answers everything with what is known; fails with ``error``, if any, where it would have ended."""

    error: Exception | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def note(self, *call: object) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    async def ask(self, asked: Asked) -> AsyncIterator[AskEvent]:
        yield Text(text="Once.")
        self.note("ask", asked)
        yield Text(text=" [1]")
        yield Complete(conversation=asked.conversation, answer=ANSWER)

    async def new(self, conversation: str) -> None:
        self.note("new", conversation)

    async def search(self, query: str, *, limit: int, audiences: frozenset[str]) -> Sequence[FoundPassage]:
        self.note("search", query, limit, audiences)
        return [FoundPassage(title="Page", url="", text="Text.", score=0.5, source="kb")]

    async def retrieve(self, inquiry: Inquiry) -> Retrieved:
        self.note("retrieve", inquiry)
        return RETRIEVED

    async def sync(self, source: str | None, *, allow_shrink: bool) -> AsyncIterator[SyncEvent]:
        yield SYNCING
        self.note("sync", source, allow_shrink)
        yield SYNCED

    async def set_aside(self) -> Sequence[SetAside]:
        self.note("set_aside")
        return [ASIDE]

    async def retry(self, turn_id: str | None) -> int:
        self.note("retry", turn_id)
        return 2

    async def forget(self, conversation: str, speaker: str | None) -> Mapping[str, int]:
        self.note("forget", conversation, speaker)
        return {"memory": 1}


@asynccontextmanager
async def running(desk: Desk, home: Path) -> AsyncIterator[None]:
    """``home`` is owned, and ``desk`` listens there, as when a service runs."""
    ownership = Ownership(home)
    ownership.take()
    server = HttpServer(control_app(desk), socket=control_socket(home))
    await server.start()
    try:
        yield
    finally:
        await server.stop()
        ownership.release()
