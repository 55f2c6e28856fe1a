"""Answers questions from the terminal. No inbox, because the asker waits and sees an error; same memory, chain and log."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

from bots.conversation.turns import logged_turn
from bots.desk.seam import AskEvent, AskRequest, Complete, Text
from bots.queue.outbox import Outbox, TurnEntry
from bots.texts import say
from rag.memory.conversation import ConversationMemory
from rag.turn import Turn, Turns
from rag.types import AdapterRef, Answer, Delta, Done, Question

SPEAKER = "terminal"


class TerminalDesk:
    """Answers at the terminal. ``audiences``: what it reads when a request names none; ``tenant``: whose documents."""

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

    async def ask(self, request: AskRequest) -> AsyncIterator[AskEvent]:
        question = self._question(request)
        # Without a conversation there is no memory to load, which saves the trips to Redis.
        turn = Turn(question=question, notes=False)
        if request.conversation:
            turn = await self._turns.prepare(question, alone=True)
        sent_characters = 0
        # Closed here and not by the garbage collector: an asker who leaves must end the model's work at once.
        async with aclosing(self._turns.answer(turn)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    sent_characters += len(event.text)
                    yield Text(text=event.text)
                elif isinstance(event, Done):
                    answer = _without_person(event.answer)
                    # What streamed is a beginning of the answer; the added sentence, for one, was not streamed.
                    if rest := answer.text[sent_characters:]:
                        yield Text(text=rest)
                    await self._remember(turn.question, answer)
                    yield Complete(conversation=question.conversation, answer=answer)

    def _question(self, request: AskRequest) -> Question:
        turn_id = secrets.token_hex(8)
        return Question(
            turn_id=turn_id,
            conversation=request.conversation or f"terminal:{turn_id}",
            text=request.text,
            audiences=request.audiences | {"public"} if request.audiences else self._audiences,
            tenant=self._tenant,
            speaker=SPEAKER,
            adapter=self._adapter(),
        )

    async def _remember(self, question: Question, answer: Answer) -> None:
        now = datetime.now(UTC)
        await self._turns.remember(question, answer.text, outcome=answer.outcome, asked_at=now, offer=answer.offer)
        await self._outbox.post(TurnEntry(turn=logged_turn(question, answer, platform="terminal", asked_at=now)))


def _without_person(answer: Answer) -> Answer:
    """The answer; to a wish for a person it adds that nobody can come to a terminal."""
    if answer.outcome != "wants_person":
        return answer
    return replace(answer, text=f"{answer.text}\n\n{say(answer.language, 'nobody')}")
