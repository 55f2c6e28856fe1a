"""The bot that plays: the service's own wiring in this process, with the settings of someone who set nothing."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from bots.desk import operations
from bots.desk.operation import Desk, LocalDesk
from bots.desk.seam import AskRequest, Complete, RetrieveRequest
from bots.settings import Settings
from rag.memory.conversation import ConversationMemory
from rag.settings import EmbeddingSettings, KnowledgeSettings, SourceSettings
from rag.turn import Turns
from rag.types import Answer, Exchange, Question, Retrieval

EVERYONE = frozenset({"public"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """Who answers. ``sync_seconds``: what reading the documents took, 0 where they had been read before."""

    desk: Desk
    turns: Turns
    memory: ConversationMemory
    sync_seconds: float = 0.0

    async def ask(self, text: str, conversation: str = "", readers: frozenset[str] = EVERYONE) -> Answer:
        """The whole answer; in a conversation, what it remembers of it is its own answers."""
        asked = AskRequest(text=text, conversation=conversation, audiences=readers)
        events = self.desk.stream(operations.ask, asked)
        answers = [event.answer async for event in events if isinstance(event, Complete)]
        return answers[-1]

    async def find(self, text: str, conversation: str, readers: frozenset[str], limit: int) -> Retrieval:
        """What is found for a turn in its conversation, with the score that decides whether it is answered."""
        question = Question(turn_id="", conversation=conversation, text=text, audiences=readers)
        query = await self.turns.query(await self.turns.prepare(question, alone=True))
        inquiry = RetrieveRequest(query=query, limit=limit, audiences=readers)
        return (await self.desk.call(operations.retrieve, inquiry)).retrieval

    async def remember(self, conversation: str, exchanges: Iterable[Exchange]) -> None:
        """Put exchanges into the memory of a conversation, oldest first, as if they had happened there."""
        for exchange in exchanges:
            await self.memory.append(conversation, exchange)

    async def remembered(self, conversation: str) -> list[Exchange]:
        """What it remembers of a conversation, oldest first."""
        return await self.memory.load(conversation)


def new_conversation() -> str:
    """The name of a conversation that nobody had."""
    return f"benchmark:{secrets.token_hex(8)}"


@asynccontextmanager
async def open_bot(home: Path, sources: Sequence[SourceSettings], embedding: str = "") -> AsyncIterator[Bot]:
    """The bot over sources (none: its own handbook), which are read unless ``home`` holds them already.

    The one function here that knows how the service is put together.
    """
    from bots.bootstrap import open_answering, open_service
    from bots.metrics import Metrics
    from bots.stores import open_stores

    settings = Settings(home=home, knowledge=KnowledgeSettings(sources=tuple(sources)))
    if embedding:
        settings = settings.model_copy(update={"embedding": EmbeddingSettings(model=embedding)})
    async with open_stores(settings) as stores, open_answering(settings, stores, Metrics()) as answering:
        started, seconds = perf_counter(), 0.0
        if not await answering.search.passages():
            async with answering.library.working():
                reports = await answering.library.synced()
            seconds = perf_counter() - started
            if failed := [f"{report.source}: {report.error}" for report in reports if report.error]:
                raise RuntimeError("; ".join(failed))
        desk = LocalDesk(open_service(settings, stores, answering))
        yield Bot(desk=desk, turns=answering.turns, memory=stores.memory, sync_seconds=seconds)
