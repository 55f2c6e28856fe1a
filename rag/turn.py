"""One turn of a conversation: load memory, answer, remember. All platforms, the terminal and the evaluation share it.

The three steps are separate because a service stores the computed answer before it is remembered: after a crash another
worker remembers the stored answer and computes nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

from langchain_core.runnables import RunnableConfig

from rag.chain import ConversationalChain
from rag.memory.conversation import FOLDED_AT_ONCE, ConversationMemory
from rag.types import Answer, ChainEvent, Done, Exchange, Offer, Outcome, Query, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question with its memory; ``history`` is oldest first.

    ``notes`` is False for a question outside any conversation: requests to remember something are not carried out.
    """

    question: Question
    history: Sequence[Exchange] = ()
    notes: bool = True


class Turns:
    """Takes turns with one chain and one memory.

    ``to_summarise`` is called with each conversation in which enough exchanges wait for a summary.
    Every method raises ``StoreUnavailable`` when Redis does not answer.
    """

    def __init__(
        self,
        chain: ConversationalChain,
        memory: ConversationMemory,
        to_summarise: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._chain = chain
        self._memory = memory
        self._to_summarise = to_summarise

    async def prepare(self, question: Question, *, alone: bool, history: Sequence[Exchange] | None = None) -> Turn:
        """The turn with its memory; ``history`` replaces the last exchanges, ``alone`` when only the speaker reads the answer."""
        recent, background = await self._memory.recall(
            question.conversation, question.speaker, question.audiences, question.tenant, alone=alone
        )
        past = recent if history is None else history
        return Turn(question=replace(question, background=background), history=past)

    async def query(self, turn: Turn) -> Query:
        """What the turn is searched with, as :meth:`answer` does it; without text where nothing is searched."""
        return await self._chain.query(turn.question, turn.history)

    async def answer(
        self, turn: Turn, config: RunnableConfig | None = None, *, abandoned: asyncio.Event | None = None
    ) -> AsyncGenerator[ChainEvent]:
        """The chain's events; a request about notes yields ``Done`` alone. Raises what the chain raises.

        The answer ends as soon as ``abandoned`` is set.
        """
        if (reply := await self._notes_reply(turn)) is not None:
            yield Done(answer=reply)
            return
        async with aclosing(self._chain.astream(turn.question, turn.history, config, abandoned=abandoned)) as events:
            async for event in events:
                yield event

    async def _notes_reply(self, turn: Turn) -> Answer | None:
        notes, question = self._memory.notes, turn.question
        if notes is None or not notes.on or not turn.notes:
            return None
        wish = await self._chain.note_wish(question, turn.history)
        reply = await notes.reply(question, wish) if wish is not None else None
        if reply is None:
            return None
        return Answer(text=reply.text, outcome="small_talk", language=reply.language, background=question.background)

    async def remember(
        self,
        question: Question,
        answer: str,
        *,
        outcome: Outcome,
        asked_at: datetime,
        offer: Offer | None = None,
        replaces: bool = False,
    ) -> None:
        """Stores the exchange, instead of the turn's earlier one if it ``replaces`` it; safe to repeat.

        ``question.audiences`` and ``question.tenant`` must be those that the answer was computed for.
        """
        exchange = Exchange(
            turn_id=question.turn_id,
            question=question.text,
            answer=answer,
            asked_at=asked_at,
            speaker=question.speaker,
            speaker_name=question.speaker_name,
            answered=outcome == "answered",
            outcome=outcome,
            offer=offer,
            # later readers see the exchange only if they may read all that it was answered from
            audiences=tuple(sorted(question.audiences)),
            tenant=question.tenant,
        )
        keep = self._memory.replace if replaces else self._memory.append
        if await keep(question.conversation, exchange) >= FOLDED_AT_ONCE:
            self._to_summarise(question.conversation)
