"""The terminal as a place to ask: no inbox (the asker is waiting and sees an error), the same memory, chain and log."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

from bots.conversation.forgetting import Forgetting
from bots.conversation.turns import logged_turn
from bots.desk.seam import Asked, AskEvent, Complete, FoundPassage, Inquiry, Retrieved, SetAside, SyncEvent, Text
from bots.errors import BotsError
from bots.library.library import Library
from bots.queue.inbox import Inbox
from bots.queue.outbox import Outbox, TurnEntry
from bots.texts import say
from rag.chain import ConversationalChain
from rag.evaluation.changes import changed
from rag.memory.conversation import ConversationMemory
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.index.passages import PassageIndex, Scope
from rag.retrieval.retriever import HybridRetriever
from rag.types import AdapterRef, Answer, Delta, Done, Exchange, Query, Question
from rag.understanding import QUERY_CHARACTERS

SPEAKER = "terminal"


class TerminalDesk:
    """The desk of this process. ``audiences`` is what the terminal reads when nothing is asked for, ``tenant`` whose."""

    def __init__(
        self,
        *,
        chain: ConversationalChain,
        retriever: HybridRetriever,
        memory: ConversationMemory,
        inbox: Inbox,
        outbox: Outbox,
        forgetting: Forgetting,
        library: Library,
        audiences: frozenset[str],
        tenant: str = "",
        adapter: Callable[[], AdapterRef | None] = lambda: None,
        remembered: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._chain = chain
        self._retriever = retriever
        self._memory = memory
        self._inbox = inbox
        self._outbox = outbox
        self._forgetting = forgetting
        self._library = library
        self._audiences = audiences
        self._tenant = tenant
        self._adapter = adapter
        self._remembered = remembered

    async def ask(self, asked: Asked) -> AsyncIterator[AskEvent]:
        question = self._question(asked)
        history: Sequence[Exchange] = ()
        if asked.conversation:
            history = await self._memory.load(question.conversation)
            background = await self._memory.background(
                question.conversation, SPEAKER, question.audiences, question.tenant, alone=True
            )
            question = replace(question, background=background)
            if (answer := await self._noted(question)) is not None:
                yield Text(text=answer.text)
                await self._keep(question, answer)
                yield Complete(conversation=question.conversation, answer=answer)
                return
        async with aclosing(self._chain.astream(question, history)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    yield Text(text=event.text)
                elif isinstance(event, Done):
                    more = _alone(event.answer)
                    if more:
                        yield Text(text=more)
                    answer = replace(event.answer, text=event.answer.text + more)
                    await self._keep(question, answer)
                    yield Complete(conversation=question.conversation, answer=answer)

    async def _noted(self, question: Question) -> Answer | None:
        notes = self._memory.notes
        told = await notes.told(question) if notes is not None else None
        if told is None:
            return None
        return Answer(text=told.text, outcome="small_talk", language=told.language, background=question.background)

    def _question(self, asked: Asked) -> Question:
        identity = secrets.token_hex(8)
        return Question(
            turn_id=identity,
            conversation=asked.conversation or f"terminal:{identity}",
            text=asked.text,
            audiences=asked.audiences | {"public"} if asked.audiences else self._audiences,
            tenant=self._tenant,
            speaker=SPEAKER,
            adapter=self._adapter(),
        )

    async def _keep(self, question: Question, answer: Answer) -> None:
        now = datetime.now(UTC)
        exchange = Exchange(
            turn_id=question.turn_id,
            question=question.text,
            answer=answer.text,
            asked_at=now,
            speaker=SPEAKER,
            answered=answer.outcome == "answered",
            audiences=tuple(sorted(question.audiences)),
            tenant=question.tenant,
        )
        await self._memory.append(question.conversation, exchange)
        self._remembered(question.conversation)
        await self._outbox.post(TurnEntry(turn=logged_turn(question, answer, platform="terminal", asked_at=now)))

    async def new(self, conversation: str) -> None:
        await self._memory.forget(conversation)

    async def search(self, query: str, *, limit: int, audiences: frozenset[str]) -> Sequence[FoundPassage]:
        readers = audiences | {"public"} if audiences else self._audiences
        found = await self._retriever.find(Query(text=query), self._scope(readers), limit=limit)
        return [
            FoundPassage(
                title=" › ".join(dict.fromkeys((hit.passage.title, *hit.passage.headings))),
                url=hit.passage.url,
                text=hit.passage.text,
                score=round(hit.score, 4),
                source=hit.passage.source,
            )
            for hit in found.hits
        ]

    def _scope(self, readers: frozenset[str], sources: frozenset[str] | None = None) -> Scope:
        return Scope(audiences=readers, sources=sources, tenants=frozenset({"", self._tenant}))

    async def retrieve(self, inquiry: Inquiry) -> Retrieved:
        """The score and its evidence are those of a question that is served, however many passages are asked for here."""
        settings = changed(self._retriever.settings, inquiry.changes)
        retriever = self._retriever.model_copy(update={"settings": settings}) if inquiry.changes else self._retriever
        readers = inquiry.audiences | {"public"} if inquiry.audiences else self._audiences
        scope = self._scope(readers, inquiry.sources)
        query = replace(inquiry.query, text=inquiry.query.text[:QUERY_CHARACTERS])
        found = served = await retriever.find(query, scope, limit=settings.limit)
        if inquiry.limit != settings.limit:
            found = await retriever.find(query, scope, limit=inquiry.limit)
        return Retrieved(
            retrieval=replace(served, hits=found.hits),
            limit=settings.limit,
            threshold=settings.threshold,
            embedding=await retriever.serving.ask(_model),
        )

    def sync(self, source: str | None, *, allow_shrink: bool) -> AsyncIterator[SyncEvent]:
        return self._library.sync(source, allow_shrink=allow_shrink)

    async def set_aside(self) -> Sequence[SetAside]:
        return [
            SetAside(
                turn_id=aside.turn_id,
                conversation=aside.conversation,
                error=aside.error,
                tries=aside.tries,
                at=aside.at,
            )
            for aside in await self._inbox.list_aside()
        ]

    async def retry(self, turn_id: str | None) -> int:
        count = await self._inbox.retry(turn_id)
        if turn_id is not None and not count:
            raise BotsError(f"no message {turn_id} is set aside; `cotorra inbox list` shows those that are")
        return count

    async def forget(self, conversation: str, speaker: str | None) -> Mapping[str, int]:
        if speaker == "":
            raise BotsError("name the person to forget, or leave the name out to forget the whole conversation")
        now = datetime.now(UTC)
        counts = await self._forgetting.from_stores(conversation, speaker, now)
        await self._outbox.post(self._forgetting.from_log(conversation, speaker, now))
        return counts


def _alone(answer: Answer) -> str:
    """What is added where a person is wanted: nobody can come to a terminal."""
    return f"\n\n{say(answer.language, 'nobody')}" if answer.outcome == "wants_person" else ""


async def _model(embeddings: TextEmbeddings, index: PassageIndex) -> str:  # noqa: ARG001 - what Serving.ask calls
    return embeddings.query_name
