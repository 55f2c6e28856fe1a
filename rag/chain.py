"""The conversational chain: condense | retrieve | answer | ground, as LangChain runnables that stream.

One ``Work`` goes down the chain and each stage fills in its part; events and the answer's pieces flow past it. Callbacks,
tracing and config of the caller reach every stage by its name, and the language model within them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableSequence

from rag.answering.answerer import Answerer, Notice, Piece, Quoted, Writer, Written
from rag.errors import ModelBusy, ModelError
from rag.memory.conversation import readable
from rag.prompts.sentences import say
from rag.retrieval.index.passages import Scope
from rag.settings import RetrievalSettings
from rag.showing import Grounder, Showing
from rag.types import Answer, ChainEvent, Delta, Done, Exchange, Hit, Progress, Query, Question, Retrieval, Source
from rag.understanding import understand
from rag.work import Work, never
from rag.writing import written

if TYPE_CHECKING:
    from rag.answering.rewriting import Rewriter

log = logging.getLogger(__name__)

NEARBY = 0.5
"""Share of the threshold from which on a page is worth naming when the bot does not know."""


class Finder(Protocol):
    """What finds passages; ``HybridRetriever`` is one."""

    async def find(self, query: Query, scope: Scope, *, limit: int | None = None) -> Retrieval: ...


_Item = Work | ChainEvent | Piece


class ConversationalChain:
    """Answers a question in a conversation.

    ``fallback`` answers where ``answerer`` fails before any of its words is out; ``grounder`` checks what a model writes, and
    ``rewriter`` makes turns that lean on the past stand alone. ``callbacks`` hear of every run beside the caller's own.
    """

    def __init__(
        self,
        retriever: Finder,
        answerer: Answerer,
        settings: RetrievalSettings,
        *,
        fallback: Answerer | None = None,
        grounder: Grounder | None = None,
        rewriter: Rewriter | None = None,
        callbacks: Sequence[BaseCallbackHandler] = (),
    ) -> None:
        self._retriever = retriever
        self._answerer = answerer
        self._settings = settings
        self._fallback = fallback
        self._grounder = grounder
        self._rewriter = rewriter
        self._nearby = NEARBY * settings.threshold
        stages = (self._condense, self._retrieve, self._answer, self._ground)
        names = ("condense", "retrieve", "answer", "ground")
        steps = [RunnableGenerator(stage, name=name) for stage, name in zip(stages, names, strict=True)]
        conversation: RunnableSequence[Work, ChainEvent] = RunnableSequence(*steps, name="conversation")
        self._runnable: Runnable[Work, ChainEvent] = conversation.with_config(callbacks=list(callbacks))

    async def astream(
        self,
        question: Question,
        history: Sequence[Exchange],
        config: RunnableConfig | None = None,
        *,
        stopping: Callable[[], bool] = never,
    ) -> AsyncGenerator[ChainEvent]:
        """Progress, the answer's text as it comes, and at last ``Done``; ``history`` is oldest first.

        Once ``stopping()`` is true, an answer that is still being written ends with a sentence that says so. Raises
        ``IndexUnavailable``, and ``ModelError`` where there is no fallback; no text of a user makes it raise.
        """
        work = Work(
            question=question,
            history=readable(history, question.audiences, question.tenant),
            stopping=stopping,
        )
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

    async def _condense(self, items: AsyncIterator[Work]) -> AsyncIterator[_Item]:
        async for work in items:
            yield Progress(stage="condense")
            with work.clocked("condense"):
                await understand(work, self._rewriter)
            yield work

    async def _retrieve(self, items: AsyncIterator[_Item]) -> AsyncIterator[_Item]:
        async for item in items:
            if isinstance(item, Work) and not item.said:
                yield Progress(stage="retrieve")
                with item.clocked("retrieve"):
                    await self._find(item)
                if item.score < self._settings.threshold:
                    item.abstain(self._nearby)
            yield item

    async def _find(self, work: Work) -> None:
        """The passages that suit the turn in its conversation; what belongs to the best one's section first."""
        asked = work.question
        scope = Scope(audiences=asked.audiences, tenants=frozenset({"", asked.tenant}))
        found = await self._retriever.find(work.query, scope, limit=self._settings.limit)
        work.score = found.score
        work.hits = sorted(found.hits, key=lambda hit: _section(hit) != _section(found.hits[0]))

    async def _answer(self, items: AsyncIterator[_Item]) -> AsyncIterator[_Item]:
        async for item in items:
            yield item
            if not isinstance(item, Work) or item.said:
                continue
            yield Progress(stage="answer")
            async with aclosing(self._pieces(item)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _pieces(self, work: Work) -> AsyncGenerator[Piece]:
        """The answerer's; where it fails, the fallback's or, once something of it is out, an honest end."""
        try:
            async with aclosing(written(self._answerer, work)) as pieces:
                async for piece in pieces:
                    yield piece
        except ModelError as error:
            if self._fallback is None:
                raise
            log.warning("the language model failed (%s): %s", type(error).__name__, error)
            if work.shown:
                yield Notice(text=say(work.language, "cut_off"), interrupted=True)
                return
            notice: Notice | None = _instead(error, work.language)
            async with aclosing(written(self._fallback, work)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Quoted) and notice:
                        yield notice
                        notice = None
                    yield piece

    async def _ground(self, items: AsyncIterator[_Item]) -> AsyncIterator[ChainEvent]:
        async for item in items:
            if isinstance(item, Work):
                async for event in self._grounded(item, items):
                    yield event
            elif isinstance(item, Progress | Delta | Done):
                yield item

    async def _grounded(self, work: Work, items: AsyncIterator[_Item]) -> AsyncIterator[ChainEvent]:
        """The rest of the stream: what of the pieces may be shown, then the whole."""
        showing = Showing(work.hits, work.language, self._grounder)
        text = ""
        async for item in items:
            match item:
                case Writer():
                    work.writer = item
                    await showing.begin(item.hits)
                case Written() | Quoted() | Notice():
                    with work.clocked("ground"):
                        shown = await showing.piece(item)
                    work.interrupted = work.interrupted or (isinstance(item, Notice) and item.interrupted)
                    text += shown
                    if shown:
                        work.shown = True
                        yield Delta(text=shown)
                case Progress():
                    yield item
        with work.clocked("ground"):
            rest = await showing.finish()
        if not (text + rest).strip() and not work.said:
            work.abstain(self._nearby)
        if rest := rest + work.said:
            text += rest
            yield Delta(text=rest)
        work.dropped = showing.dropped
        if work.dropped:
            log.info("%d sentences of %s were not supported and left out", work.dropped, self._answerer.name)
        yield Done(answer=self._whole(work, text, showing.sources))

    def _whole(self, work: Work, text: str, sources: tuple[Source, ...]) -> Answer:
        writer = work.writer or Writer(model=self._answerer.name, hits=tuple(work.hits))
        return Answer(
            text=text,
            outcome=work.outcome,
            language=work.language,
            sources=sources if work.outcome == "answered" else (),
            shown=writer.hits,
            model=writer.model,
            adapter=writer.adapter,
            recalled=writer.recalled,
            background=writer.background,
            dropped=work.dropped,
            interrupted=work.interrupted,
            seconds=dict(work.seconds),
        )


def _section(hit: Hit) -> tuple[str, ...]:
    return (hit.passage.document, *hit.passage.headings)


def _instead(error: ModelError, language: str) -> Notice:
    """Why the documents' own words come instead of an answer."""
    if isinstance(error, ModelBusy):
        return Notice(text=say(language, "busy", seconds=error.seconds))
    return Notice(text=say(language, "quoted"))
