"""What people are shown of a conversation that they are asked to take over: enough to go on, and nothing they may not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bots.conversation.audience import Readers
from bots.conversation.handover.state import Handover
from rag.text.utterances import unmarked
from rag.types import Exchange
from tuning.conversations.privacy import find

LAST = 5
"""Exchanges shown."""

QUESTION_CHARACTERS = 1000
SUMMARY_CHARACTERS = 1500
SAID_CHARACTERS = 400
_MASKED = ("secret", "card")
"""Nobody needs these to help; names, addresses and numbers to call are what people need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One exchange. ``answer`` is None where these readers may not see it."""

    who: str
    question: str
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A wish for a person with what it is about."""

    handover: Handover
    question: str
    summary: str = ""
    said: tuple[Said, ...] = ()


def compose(
    handover: Handover, question: str, summary: str, history: Sequence[Exchange], readers: Readers, language: str
) -> Case:
    """``summary`` must be one that the readers may read."""

    def shown(text: str, limit: int) -> str:
        return _bounded(masked(text, language), limit)

    return Case(
        handover=handover,
        question=shown(question, QUESTION_CHARACTERS),
        summary=shown(summary, SUMMARY_CHARACTERS),
        said=tuple(
            Said(
                who=exchange.speaker_name,
                question=shown(exchange.question, SAID_CHARACTERS),
                answer=shown(unmarked(exchange.answer), SAID_CHARACTERS) if readers.may_read(exchange) else None,
            )
            for exchange in history[-LAST:]
        ),
    )


def masked(text: str, language: str) -> str:
    """``text`` without passwords, keys and card numbers."""
    for found in reversed(find(text, language)):
        if found.kind in _MASKED:
            text = f"{text[: found.start]}[{found.kind}]{text[found.end :]}"
    return text


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
