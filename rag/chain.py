"""The conversational chain: condense | retrieve | answer | ground, as LangChain runnables that stream.

One ``_Work`` goes down the chain and each stage fills in its part; events and the answer's pieces flow past it. Callbacks,
tracing and config of the caller reach every stage by its name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Protocol

from langchain_core.runnables import RunnableConfig, RunnableGenerator, RunnableSequence

from rag.answering.answerer import Answerer
from rag.answering.grounding import Citations
from rag.answering.small_talk import recognise
from rag.condense import cleaned, is_empty, utterances
from rag.language import LANGUAGES, adetect
from rag.prompts.sentences import abstention, say
from rag.retrieval.index import Scope
from rag.settings import RetrievalSettings
from rag.types import (
    Answer,
    ChainEvent,
    Delta,
    Done,
    Exchange,
    Hit,
    Outcome,
    Progress,
    Query,
    Question,
    Retrieval,
    Source,
    Stage,
)

QUERY_CHARACTERS = 1000
"""Of a question that are embedded and searched for: more than any embedder reads of a question."""

NEARBY = 0.5
"""Share of the threshold from which on a page is worth naming when the bot does not know."""


class Finder(Protocol):
    """What finds passages; ``HybridRetriever`` is one."""

    async def find(self, query: Query, scope: Scope, *, limit: int | None = None) -> Retrieval: ...


_UNREAD = Query(text="")


@dataclass(slots=True, kw_only=True)
class _Work:
    """One question on its way. ``said`` is what is answered without the answerer, and ``outcome`` what that makes of it."""

    question: Question
    history: Sequence[Exchange]
    language: str = "en"
    query: Query = _UNREAD
    hits: Sequence[Hit] = ()
    score: float = 0.0
    said: str = ""
    outcome: Outcome = "answered"
    abandoned: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def say(self, text: str, outcome: Outcome) -> None:
        self.said, self.outcome = text, outcome

    def abstain(self, nearby: float) -> None:
        """Says that the documents do not tell; names the closest page if its score is at least ``nearby``."""
        closest = self.hits[0].passage if self.hits and self.score >= nearby else None
        self.say(abstention(self.language, closest), "abstained")

    @contextmanager
    def clocked(self, stage: Stage) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - started


_Item = _Work | ChainEvent | str


class ConversationalChain:
    """Answers a question in a conversation."""

    def __init__(self, retriever: Finder, answerer: Answerer, settings: RetrievalSettings) -> None:
        self._retriever = retriever
        self._answerer = answerer
        self._settings = settings
        self._nearby = NEARBY * settings.threshold
        stages = (self._condense, self._retrieve, self._answer, self._ground)
        names = ("condense", "retrieve", "answer", "ground")
        steps = [RunnableGenerator(stage, name=name) for stage, name in zip(stages, names, strict=True)]
        self._runnable: RunnableSequence[_Work, ChainEvent] = RunnableSequence(*steps, name="conversation")

    async def astream(
        self, question: Question, history: Sequence[Exchange], config: RunnableConfig | None = None
    ) -> AsyncGenerator[ChainEvent]:
        """Progress, the answer's text as it comes, and at last ``Done``; ``history`` is oldest first.

        Raises ``IndexUnavailable`` and ``ModelError``; no text of a user makes it raise.
        """
        work = _Work(question=question, history=history)
        events = self._runnable.astream(work, config)
        try:
            async for event in events:
                yield event
        except GeneratorExit:
            # Closing a stream of nested runnables leaves the inner ones open (langchain-core 1.7): they run out instead.
            work.abandoned = True
            async for _ in events:
                pass
            raise

    async def _condense(self, items: AsyncIterator[_Work]) -> AsyncIterator[_Item]:
        async for work in items:
            yield Progress(stage="condense")
            with work.clocked("condense"):
                await _read(work)
            yield work

    async def _retrieve(self, items: AsyncIterator[_Item]) -> AsyncIterator[_Item]:
        async for item in items:
            if isinstance(item, _Work) and not item.said:
                yield Progress(stage="retrieve")
                with item.clocked("retrieve"):
                    await self._find(item)
                if item.score < self._settings.threshold:
                    item.abstain(self._nearby)
            yield item

    async def _find(self, work: _Work) -> None:
        """The passages that suit the turn in its conversation; what belongs to the best one's section first."""
        asked = work.question
        scope = Scope(audiences=asked.audiences, tenants=frozenset({"", asked.tenant}))
        found = await self._retriever.find(work.query, scope, limit=self._settings.limit)
        work.score = found.score
        work.hits = sorted(found.hits, key=lambda hit: _section(hit) != _section(found.hits[0]))

    async def _answer(self, items: AsyncIterator[_Item]) -> AsyncIterator[_Item]:
        async for item in items:
            yield item
            if not isinstance(item, _Work) or item.said:
                continue
            yield Progress(stage="answer")
            async with aclosing(
                self._answerer.astream(item.question, item.history, item.hits, item.language)
            ) as pieces:
                while not item.abandoned and (piece := await _next(pieces, item)) is not None:
                    yield piece

    async def _ground(self, items: AsyncIterator[_Item]) -> AsyncIterator[ChainEvent]:
        async for item in items:
            if isinstance(item, _Work):
                async for event in self._grounded(item, items):
                    yield event
            elif not isinstance(item, str):
                yield item

    async def _grounded(self, work: _Work, items: AsyncIterator[_Item]) -> AsyncIterator[ChainEvent]:
        """The rest of the stream: pieces with their markers numbered, then the whole."""
        citations = Citations(work.hits)
        text = ""
        async for item in items:
            if isinstance(item, str):
                with work.clocked("ground"):
                    shown = citations.feed(item)
                text += shown
                if shown:
                    yield Delta(text=shown)
            elif not isinstance(item, _Work):
                yield item
        with work.clocked("ground"):
            rest = citations.finish()
        if not (text + rest).strip() and not work.said:
            work.abstain(self._nearby)
        if rest := rest + work.said:
            text += rest
            yield Delta(text=rest)
        yield Done(answer=self._whole(work, text, citations.sources))

    def _whole(self, work: _Work, text: str, sources: tuple[Source, ...]) -> Answer:
        adapter = work.question.adapter
        return Answer(
            text=text,
            outcome=work.outcome,
            language=work.language,
            sources=sources if work.outcome == "answered" else (),
            shown=tuple(work.hits),
            model=self._answerer.name,
            adapter=adapter.name if adapter else None,
            seconds=dict(work.seconds),
        )


def _section(hit: Hit) -> tuple[str, ...]:
    return (hit.passage.document, *hit.passage.headings)


async def _next(pieces: AsyncIterator[str], work: _Work) -> str | None:
    with work.clocked("answer"):
        return await anext(pieces, None)


async def _read(work: _Work) -> None:
    """Cleans the question, tells its language, and finds what to search for, or what to say at once."""
    text = cleaned(work.question.text)
    work.question = replace(work.question, text=text)
    work.language = await _language(work)
    if is_empty(text):
        work.say(say(work.language, "empty"), "abstained")
    elif courtesy := recognise(text):
        work.language = courtesy.language
        work.say(say(work.language, courtesy.kind), "small_talk")
    else:
        work.query = Query(text=text[:QUERY_CHARACTERS], history=utterances(work.history), language=work.language)


async def _language(work: _Work) -> str:
    """The question's own; where that is undecided, the one of the question before, or the platform's hint."""
    hinted = (work.question.language or "").lower().replace("_", "-").partition("-")[0]
    default = hinted if hinted in LANGUAGES else "en"
    if work.history:
        default = await adetect(work.history[-1].question, default)
    return await adetect(work.question.text, default)
