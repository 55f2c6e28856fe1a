"""One turn of a conversation, shared by everything that answers: load memory, answer, remember.

The three steps are separate because a service stores the computed answer between the last two: whoever goes on after a
crash remembers what was computed, and computes nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

from langchain_core.runnables import RunnableConfig

from rag.chain import ConversationalChain
from rag.memory.conversation import ConversationMemory
from rag.types import Answer, ChainEvent, Done, Exchange, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question with what is known beside it; ``history`` is oldest first.

    ``notes`` is False where the question stands outside any conversation: what it asks to be remembered is not.
    """

    question: Question
    history: Sequence[Exchange] = ()
    notes: bool = True


class Turns:
    """Takes turns with one chain and one memory; ``grown`` is told of each conversation that has one more turn.

    Every method raises ``StoreUnavailable`` when Redis does not answer.
    """

    def __init__(
        self, chain: ConversationalChain, memory: ConversationMemory, grown: Callable[[str], None] = lambda _: None
    ) -> None:
        self._chain = chain
        self._memory = memory
        self._grown = grown

    async def prepare(self, question: Question, *, alone: bool, history: Sequence[Exchange] | None = None) -> Turn:
        """The turn with its memory; ``history`` replaces the last exchanges, ``alone`` when only the speaker reads the answer."""
        past = await self._memory.load(question.conversation) if history is None else history
        background = await self._memory.background(
            question.conversation, question.speaker, question.audiences, question.tenant, alone=alone
        )
        return Turn(question=replace(question, background=background), history=past)

    async def answer(
        self, turn: Turn, config: RunnableConfig | None = None, *, abandoned: asyncio.Event | None = None
    ) -> AsyncGenerator[ChainEvent]:
        """The chain's events; the reply to a wish about notes is ``Done`` alone. Raises what the chain does.

        ``abandoned`` ends the answer once it is set.
        """
        if (reply := await self._noted(turn)) is not None:
            yield Done(answer=reply)
            return
        async with aclosing(self._chain.astream(turn.question, turn.history, config, abandoned=abandoned)) as events:
            async for event in events:
                yield event

    async def _noted(self, turn: Turn) -> Answer | None:
        notes, question = self._memory.notes, turn.question
        told = await notes.reply(question) if notes is not None and turn.notes else None
        if told is None:
            return None
        return Answer(text=told.text, outcome="small_talk", language=told.language, background=question.background)

    async def remember(
        self, question: Question, answer: str, *, answered: bool, asked_at: datetime, replaces: bool = False
    ) -> None:
        """Remembers the exchange, in the place of the turn's earlier one where it ``replaces`` it; safe to repeat.

        ``question.audiences`` and its tenant are those that the answer was computed for.
        """
        exchange = Exchange(
            turn_id=question.turn_id,
            question=question.text,
            answer=answer,
            asked_at=asked_at,
            speaker=question.speaker,
            speaker_name=question.speaker_name,
            answered=answered,
            audiences=tuple(sorted(question.audiences)),
            tenant=question.tenant,
        )
        keep = self._memory.replace if replaces else self._memory.append
        await keep(question.conversation, exchange)
        self._grown(question.conversation)
