"""The terminal as a place to ask: no inbox (the asker is waiting and sees an error), the same memory, chain and log."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

from bots.conversation.turns import logged_turn
from bots.desk.seam import Asked, AskEvent, Complete, Text
from bots.queue.outbox import Outbox, TurnEntry
from bots.texts import say
from rag.memory.conversation import ConversationMemory
from rag.turn import Turn, Turns
from rag.types import AdapterRef, Answer, Delta, Done, Question

SPEAKER = "terminal"


class TerminalDesk:
    """Answers who asks at the terminal. ``audiences`` is what the terminal reads when nothing is asked for, ``tenant`` whose."""

    def __init__(
        self,
        *,
        turns: Turns,
        memory: ConversationMemory,
        outbox: Outbox,
        audiences: frozenset[str],
        tenant: str = "",
        adapter: Callable[[], AdapterRef | None] = lambda: None,
    ) -> None:
        self._turns = turns
        self._memory = memory
        self._outbox = outbox
        self._audiences = audiences
        self._tenant = tenant
        self._adapter = adapter

    async def ask(self, asked: Asked) -> AsyncIterator[AskEvent]:
        question = self._question(asked)
        turn = Turn(question=question, notes=False)
        if asked.conversation:
            turn = await self._turns.prepare(question, alone=True)
        shown = 0
        async with aclosing(self._turns.answer(turn)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    shown += len(event.text)
                    yield Text(text=event.text)
                elif isinstance(event, Done):
                    answer = _alone(event.answer)
                    if rest := answer.text[shown:]:
                        yield Text(text=rest)
                    await self._keep(turn.question, answer)
                    yield Complete(conversation=question.conversation, answer=answer)

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
        await self._turns.remember(question, answer.text, answered=answer.outcome == "answered", asked_at=now)
        await self._outbox.post(TurnEntry(turn=logged_turn(question, answer, platform="terminal", asked_at=now)))


def _alone(answer: Answer) -> Answer:
    """With what is added where a person is wanted: nobody can come to a terminal."""
    if answer.outcome != "wants_person":
        return answer
    return replace(answer, text=f"{answer.text}\n\n{say(answer.language, 'nobody')}")
