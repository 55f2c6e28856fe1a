"""The terminal as a place to ask: no inbox (the asker is waiting and sees an error), the same memory, chain and log."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

from bots.conversation.turns import logged_turn
from bots.desk.seam import Asked, AskEvent, Complete, Text
from bots.queue.outbox import Outbox, TurnEntry
from bots.texts import say
from rag.chain import ConversationalChain
from rag.memory.conversation import ConversationMemory
from rag.types import AdapterRef, Answer, Delta, Done, Exchange, Question

SPEAKER = "terminal"


class TerminalDesk:
    """Answers who asks at the terminal. ``audiences`` is what the terminal reads when nothing is asked for, ``tenant`` whose."""

    def __init__(
        self,
        *,
        chain: ConversationalChain,
        memory: ConversationMemory,
        outbox: Outbox,
        audiences: frozenset[str],
        tenant: str = "",
        adapter: Callable[[], AdapterRef | None] = lambda: None,
        remembered: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._chain = chain
        self._memory = memory
        self._outbox = outbox
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


def _alone(answer: Answer) -> str:
    """What is added where a person is wanted: nobody can come to a terminal."""
    return f"\n\n{say(answer.language, 'nobody')}" if answer.outcome == "wants_person" else ""
