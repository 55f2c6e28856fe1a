"""The operations on the open service. A new one is a function here and a command in ``bots/cli.py`` that names it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bots.desk.operation import Operations
from bots.desk.seam import (
    AsideMessage,
    AskEvent,
    AskRequest,
    FoundPassage,
    RetrieveRequest,
    RetrieveResponse,
    SyncEvent,
)
from bots.errors import BotsError

if TYPE_CHECKING:
    from bots.conversation.audience import Readers
    from bots.conversation.forgetting import Forgetting
    from bots.desk.local import TerminalDesk
    from bots.library.library import Library
    from bots.queue.inbox import Inbox
    from bots.queue.outbox import Outbox
    from rag.memory.conversation import ConversationMemory
    from rag.retrieval.embeddings.models import TextEmbeddings
    from rag.retrieval.index.passages import PassageIndex, Scope
    from rag.retrieval.retriever import HybridRetriever


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenService:
    """The parts that operations work on. ``readers``: of the terminal, for requests that name no audiences."""

    terminal: TerminalDesk
    retriever: HybridRetriever
    memory: ConversationMemory
    inbox: Inbox
    outbox: Outbox
    forgetting: Forgetting
    library: Library
    readers: Readers

    def audiences(self, audiences: frozenset[str]) -> frozenset[str]:
        """``audiences``, or the terminal's own where that is empty; everybody may read what is public."""
        return audiences | {"public"} if audiences else self.readers.audiences

    def scope(self, audiences: frozenset[str], sources: frozenset[str] | None = None) -> Scope:
        from rag.retrieval.index.passages import Scope

        return Scope(audiences=self.audiences(audiences), sources=sources, tenants=frozenset({"", self.readers.tenant}))


OPERATIONS: Operations[OpenService] = Operations()


@OPERATIONS.stream
def ask(service: OpenService, request: AskRequest) -> AsyncIterator[AskEvent]:
    return service.terminal.ask(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConversation:
    """The conversation of the terminal that starts over."""

    conversation: str


@OPERATIONS.operation
async def new(service: OpenService, request: NewConversation) -> None:
    """Deletes the memory of a conversation, so that it starts over."""
    await service.memory.forget(request.conversation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """``audiences`` empty means the terminal's own."""

    query: str
    limit: int
    audiences: frozenset[str] = frozenset()


@OPERATIONS.operation
async def search(service: OpenService, request: Search) -> tuple[FoundPassage, ...]:
    from rag.types import Query

    result = await service.retriever.find(
        Query(text=request.query), service.scope(request.audiences), limit=request.limit
    )
    return tuple(
        FoundPassage(
            title=" › ".join(dict.fromkeys((hit.passage.title, *hit.passage.headings))),
            url=hit.passage.url,
            text=hit.passage.text,
            score=round(hit.score, 4),
            source=hit.passage.source,
        )
        for hit in result.hits
    )


@OPERATIONS.operation
async def retrieve(service: OpenService, request: RetrieveRequest) -> RetrieveResponse:
    """Passages for evaluation. Score and evidence are those of a served question, whatever ``limit`` the request has."""
    from rag.chain import QUERY_CHARACTERS
    from rag.evaluation.changes import apply_changes

    retriever = service.retriever
    settings = apply_changes(retriever.settings, request.changes)
    if request.changes:
        retriever = retriever.model_copy(update={"settings": settings})
    scope = service.scope(request.audiences, request.sources)
    # Cut as the chain cuts it, or a long question would be measured in a form that is never served.
    query = replace(request.query, text=request.query.text[:QUERY_CHARACTERS])
    # The score depends on how many passages are looked at, so it is computed with the limit that serves.
    result = as_served = await retriever.find(query, scope, limit=settings.limit)
    if request.limit != settings.limit:
        result = await retriever.find(query, scope, limit=request.limit)
    return RetrieveResponse(
        retrieval=replace(as_served, hits=result.hits),
        limit=settings.limit,
        threshold=settings.threshold,
        embedding=await retriever.serving.ask(_model),
    )


async def _model(embeddings: TextEmbeddings, index: PassageIndex) -> str:  # noqa: ARG001 - what Serving.ask calls
    return embeddings.query_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """``source`` None means all. ``allow_shrink``: documents may go even if most of a source vanished."""

    source: str | None
    allow_shrink: bool


@OPERATIONS.stream
def sync(service: OpenService, request: Sync) -> AsyncIterator[SyncEvent]:
    """Progress, and the result of each source when it ends. A caller that stops early does not stop the sync."""
    return service.library.sync(request.source, allow_shrink=request.allow_shrink)


@OPERATIONS.operation
async def set_aside(service: OpenService, request: None) -> tuple[AsideMessage, ...]:  # noqa: ARG001 - it needs nothing
    return tuple(
        AsideMessage(
            turn_id=aside.turn_id,
            conversation=aside.conversation,
            error=aside.error,
            tries=aside.tries,
            at=aside.at,
        )
        for aside in await service.inbox.list_aside()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The message to put back; None means all that are set aside."""

    turn_id: str | None


@OPERATIONS.operation
async def retry(service: OpenService, request: Retry) -> int:
    """How many messages were put back. Raises ``BotsError`` for a reference that is not set aside."""
    count = await service.inbox.retry(request.turn_id)
    if request.turn_id is not None and not count:
        raise BotsError(f"no message {request.turn_id} is set aside; `cotorra inbox list` shows those that are")
    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Whose messages to delete in a conversation; ``speaker`` None means everybody's."""

    conversation: str
    speaker: str | None


@OPERATIONS.operation
async def forget(service: OpenService, request: Forget) -> Mapping[str, int]:
    """The number of deleted entries by store."""
    # None and "" are easily confused by a caller, and everybody's messages would be gone.
    if request.speaker == "":
        raise BotsError("name the person to forget, or leave the name out to forget the whole conversation")
    now = datetime.now(UTC)
    counts = await service.forgetting.from_stores(request.conversation, request.speaker, now)
    await service.outbox.post(service.forgetting.from_log(request.conversation, request.speaker, now))
    return counts
