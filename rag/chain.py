"""The conversational chain, from top to bottom: condense, retrieve, answer, ground.

For LangChain it is one runnable, ``conversation``, which runs each stage as a runnable of its own. So callbacks, tracing and
config of the caller reach every stage under its name, and the language model within it. The first two stages fill in the state
of the turn, the third streams pieces of an answer, the last turns the pieces into checked text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableGenerator, RunnableLambda
from langchain_core.runnables.config import merge_configs

from rag.answering.answerer import Answerer, Notice, Piece, Quoted, Writer
from rag.answering.wishes import Lookup, Reply, Wishes
from rag.cancellation import end
from rag.errors import ModelBusy, ModelError
from rag.grounding.streaming import GroundedText, Grounder
from rag.intents.notes import NoteWish
from rag.language import LANGUAGES, adetect
from rag.memory.conversation import readable
from rag.prompts.sentences import abstention, say
from rag.retrieval.index.passages import Scope
from rag.settings import RetrievalSettings
from rag.text.utterances import cleaned, follows_up, is_empty, utterances
from rag.types import (
    Answer,
    ChainEvent,
    Delta,
    Done,
    Exchange,
    Hit,
    Offer,
    Outcome,
    Progress,
    Query,
    Question,
    Retrieval,
    Source,
    Stage,
)

if TYPE_CHECKING:
    from rag.answering.rewriting import Rewriter

log = logging.getLogger(__name__)
T = TypeVar("T")

NEARBY = 0.5
"""When the bot does not know, it names the closest page if its score is at least this share of the threshold."""
QUERY_CHARACTERS = 1000
"""Most characters of a question that are embedded and searched: about the 256 tokens that the packaged MiniLM reads."""
OFFER_REACH = 24
"""Passages among which an offered page is looked for; it is searched for by its own title."""


class Finder(Protocol):
    """Seam: finds passages; ``HybridRetriever`` implements it."""

    async def find(self, query: Query, scope: Scope, *, limit: int | None = None) -> Retrieval: ...


@dataclass(slots=True, kw_only=True)
class _State:
    """The state of one turn; each stage fills in its part. ``ending`` is done when the answer was abandoned.

    ``history`` has only exchanges that the readers of this answer may see; ``reply`` is a fixed sentence instead of an answer.
    ``lookup`` is what is looked up instead of the message itself; ``offer`` is what this answer offers.
    """

    question: Question
    history: Sequence[Exchange]
    ending: asyncio.Future[object]
    language: str = "en"
    query: Query = field(default_factory=lambda: Query(text=""))
    lookup: Lookup | None = None
    offer: Offer | None = None
    hits: Sequence[Hit] = ()
    score: float = 0.0
    reply: str = ""
    outcome: Outcome = "answered"
    writer: Writer | None = None
    text: str = ""
    sources: tuple[Source, ...] = ()
    dropped: int = 0
    interrupted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def clocked(self, stage: Stage) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - started


class ConversationalChain:
    """Answers a question in a conversation.

    ``fallback`` answers if ``answerer`` fails before any of its text was sent; ``grounder`` checks a model's text; ``rewriter``
    rewrites follow-up questions so that they stand alone; ``wishes`` answers what no document does. ``callbacks`` are called
    beside those of the caller.
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
        wishes: Wishes | None = None,
        callbacks: Sequence[BaseCallbackHandler] = (),
    ) -> None:
        self._retriever = retriever
        self._answerer = answerer
        self._settings = settings
        self._fallback = fallback
        self._grounder = grounder
        self._rewriter = rewriter
        self._wishes = wishes or Wishes()
        self._config = RunnableConfig(callbacks=list(callbacks))
        self._runnable: RunnableGenerator[_State, ChainEvent] = RunnableGenerator(self._converse, name="conversation")
        self._condense = RunnableLambda(self._understand, name="condense")
        self._retrieve = RunnableLambda(self._find, name="retrieve")
        self._answer: RunnableGenerator[_State, Piece] = RunnableGenerator(self._answer_pieces, name="answer")

    async def astream(
        self,
        question: Question,
        history: Sequence[Exchange],
        config: RunnableConfig | None = None,
        *,
        abandoned: asyncio.Event | None = None,
    ) -> AsyncGenerator[ChainEvent]:
        """Progress, the answer's text while it is written, and finally ``Done``; ``history`` is oldest first.

        When ``abandoned`` is set, an answer that is still being written ends with a sentence that says so. Raises
        ``IndexUnavailable``, and ``ModelError`` if there is no fallback; no text of a user makes it raise.
        """
        state = _State(
            question=question,
            history=readable(history, question.audiences, question.tenant),
            ending=_ending(abandoned),
        )
        try:
            async with aclosing(
                _closable(self._runnable.astream(state, merge_configs(self._config, config)))
            ) as events:
                async for event in events:
                    yield event
        finally:
            state.ending.cancel()

    async def query(self, question: Question, history: Sequence[Exchange]) -> Query:
        """What a turn in its conversation is searched with; without text where nothing is searched."""
        ending = _ending(None)
        state = _State(question=question, history=readable(history, question.audiences, question.tenant), ending=ending)
        try:
            await self._understand(state)
        finally:
            ending.cancel()
        return state.query

    async def note_wish(self, question: Question, history: Sequence[Exchange]) -> NoteWish | None:
        """The request about the speaker's notes that a turn makes, or None. Raises ``ModelError``."""
        asked = replace(question, text=cleaned(question.text))
        return await self._wishes.note_wish(asked, await _language(asked, history))

    async def _converse(self, states: AsyncIterator[_State]) -> AsyncGenerator[ChainEvent]:
        """The four stages of one turn, one after the other; a fixed reply skips the rest of them."""
        state = await anext(states)
        yield Progress(stage="condense")
        await self._condense.ainvoke(state)
        if not state.reply:
            yield Progress(stage="retrieve")
            await self._retrieve.ainvoke(state)
        if not state.reply:
            yield Progress(stage="answer")
            ground: RunnableGenerator[Piece, Delta] = RunnableGenerator(
                partial(self._grounded_text, state), name="ground"
            )
            # Both are closed explicitly: closing a stream of LangChain leaves the streams within it open (langchain-core 1.7).
            async with (
                aclosing(_closable(self._answer.astream(state))) as pieces,
                aclosing(_closable(ground.atransform(pieces))) as deltas,
            ):
                async for delta in deltas:
                    yield delta
            if not state.text.strip():
                self._abstain(state)
        if state.reply:
            state.text += state.reply
            yield Delta(text=state.reply)
        yield Done(answer=self._final_answer(state))

    # condense: from the turn in its conversation to a query, or to a fixed reply that needs no documents

    async def _understand(self, state: _State) -> None:
        """Cleans the question, detects its language, and sets the query or a fixed reply."""
        with state.clocked("condense"):
            text = cleaned(state.question.text)
            state.question = replace(state.question, text=text)
            state.language = await _language(state.question, state.history)
            wish = await self._wishes.act(state.question, state.history, state.language)
            if isinstance(wish, Reply):
                state.reply, state.outcome, state.language = wish.text, wish.outcome, wish.language
            elif is_empty(text):
                state.reply, state.outcome = say(state.language, "empty"), "abstained"
            else:
                state.lookup = wish
                state.query = Query(
                    text=(wish.text if wish else text)[:QUERY_CHARACTERS],
                    history=utterances(wish.history if wish else state.history),
                    rewritten="" if wish else await self._rewrite(state),
                    language=state.language,
                )

    async def _rewrite(self, state: _State) -> str:
        """The rewritten question, or an empty string if the turn is no follow-up."""
        # Only follow-ups: each rewriting is a reply of the model to wait for before the search can start.
        if self._rewriter is None or not state.history or not follows_up(state.question.text):
            return ""
        return (await self._rewriter.rewrite(state.question, state.history, state.language))[:QUERY_CHARACTERS]

    # retrieve: the passages that may answer

    async def _find(self, state: _State) -> None:
        """Retrieves passages, those of the best one's section first. The turn abstains if the score is below the threshold."""
        with state.clocked("retrieve"):
            question = state.question
            scope = Scope(audiences=question.audiences, tenants=frozenset({"", question.tenant}))
            if state.lookup and state.lookup.offer:
                await self._find_offered(state, state.lookup.offer, scope)
                return
            retrieval = await self._retriever.find(state.query, scope, limit=self._settings.limit)
        state.score = retrieval.score
        # The sort is stable: within both groups the ranking stays.
        state.hits = sorted(retrieval.hits, key=lambda hit: _section(hit) != _section(retrieval.hits[0]))
        if state.score < self._settings.threshold:
            self._abstain(state)

    async def _find_offered(self, state: _State, offer: Offer, scope: Scope) -> None:
        """Retrieves the section that was offered, in the index: its readers or its text may have changed since."""
        retrieval = await self._retriever.find(state.query, scope, limit=OFFER_REACH)
        section = (offer.document, *offer.headings)
        state.score = retrieval.score
        state.hits = [hit for hit in retrieval.hits if _section(hit) == section]
        if not state.hits:
            state.reply, state.outcome = say(state.language, "offer_gone"), "abstained"

    def _abstain(self, state: _State) -> None:
        """Replies that the documents do not answer, and names the closest page if it is close enough."""
        near = bool(state.hits) and state.score >= NEARBY * self._settings.threshold
        closest = state.hits[0].passage if near else None
        state.reply, state.outcome = abstention(state.language, closest), "abstained"
        if closest is not None:
            state.offer = Offer(document=closest.document, title=closest.title, headings=closest.headings)

    # answer: from passages to pieces of an answer

    async def _answer_pieces(self, states: AsyncIterator[_State]) -> AsyncGenerator[Piece]:
        """The answerer's pieces. If it fails: the fallback's pieces or, if text was sent already, a sentence that says so."""
        state = await anext(states)
        quoting = self._fallback or self._answerer
        try:
            async with aclosing(_until_abandoned(self._answerer, state, quotes=self._answerer is quoting)) as pieces:
                async for piece in pieces:
                    yield piece
        except ModelError as error:
            if self._fallback is None:
                raise
            log.warning("the language model failed (%s): %s", type(error).__name__, error)
            if state.text:
                yield Notice(text=say(state.language, "cut_off"), interrupted=True)
                return
            notice: Notice | None = _fallback_notice(error, state.language)
            async with aclosing(_until_abandoned(self._fallback, state, quotes=True)) as pieces:
                async for piece in pieces:
                    # The notice waits for the first quote: an answer without text must stay empty, so that the chain abstains.
                    if isinstance(piece, Quoted) and notice:
                        yield notice
                        notice = None
                    yield piece

    # ground: from pieces to the text that may be shown

    async def _grounded_text(self, state: _State, pieces: AsyncIterator[Piece]) -> AsyncGenerator[Delta]:
        text = GroundedText(state.hits, state.language, self._grounder)
        async for piece in pieces:
            if isinstance(piece, Writer):
                state.writer = piece
            state.interrupted = state.interrupted or (isinstance(piece, Notice) and piece.interrupted)
            with state.clocked("ground"):
                checked = await text.feed(piece)
            if checked:
                state.text += checked
                yield Delta(text=checked)
        with state.clocked("ground"):
            rest = await text.finish()
        if rest:
            state.text += rest
            yield Delta(text=rest)
        state.sources, state.dropped = text.sources, text.dropped
        if state.dropped:
            log.info("%d sentences of %s were not supported and left out", state.dropped, self._answerer.name)

    def _final_answer(self, state: _State) -> Answer:
        writer = state.writer or Writer(model=self._answerer.name, hits=tuple(state.hits))
        return Answer(
            text=state.text,
            outcome=state.outcome,
            language=state.language,
            sources=state.sources if state.outcome == "answered" else (),
            shown=writer.hits,
            model=writer.model,
            adapter=writer.adapter,
            recalled=writer.recalled,
            background=writer.background,
            dropped=state.dropped,
            interrupted=state.interrupted,
            seconds=dict(state.seconds),
            offer=state.offer,
        )


def _ending(abandoned: asyncio.Event | None) -> asyncio.Future[object]:
    """A future that is done when the event is set; without an event it never is."""
    if abandoned is None:
        return asyncio.get_running_loop().create_future()
    return asyncio.ensure_future(abandoned.wait())


def _closable(stream: AsyncIterator[T]) -> AsyncGenerator[T]:
    """The stream as a generator, which it is: LangChain declares its streams as plain iterators, which cannot be closed."""
    return cast("AsyncGenerator[T]", stream)


async def _language(question: Question, history: Sequence[Exchange]) -> str:
    """The language of the question; if that is undecided, of the previous question, else the platform's hint, else English."""
    hinted = (question.language or "").lower().replace("_", "-").partition("-")[0]
    default = hinted if hinted in LANGUAGES else "en"
    if history:
        default = await adetect(history[-1].question, default)
    return await adetect(question.text, default)


def _section(hit: Hit) -> tuple[str, ...]:
    return (hit.passage.document, *hit.passage.headings)


async def _until_abandoned(answerer: Answerer, state: _State, *, quotes: bool) -> AsyncGenerator[Piece]:
    """The answerer's pieces; as soon as the answer is abandoned, even while the model is silent, a sentence that says so.

    One that ``quotes`` is asked for what is looked up. A model gets the message itself and reads the conversation: the log must
    be able to make its prompt again.
    """
    question, history = state.question, state.history
    if quotes and state.lookup:
        question, history = replace(question, text=state.lookup.text), state.lookup.history
    async with aclosing(answerer.astream(question, history, state.hits, state.language)) as pieces:
        while not state.ending.done():
            step = asyncio.ensure_future(anext(pieces, None))
            try:
                with state.clocked("answer"):
                    await asyncio.wait((step, state.ending), return_when=asyncio.FIRST_COMPLETED)
                if step.done():
                    if (piece := step.result()) is None:
                        return
                    yield piece
            finally:
                if not step.done():  # a generator cannot be closed while one of its steps runs
                    await end(step)
    yield Notice(text=say(state.language, "stopped"), interrupted=True)


def _fallback_notice(error: ModelError, language: str) -> Notice:
    """The notice that explains why quotes come instead of a written answer."""
    if isinstance(error, ModelBusy):
        return Notice(text=say(language, "busy", seconds=error.seconds))
    return Notice(text=say(language, "quoted"))
