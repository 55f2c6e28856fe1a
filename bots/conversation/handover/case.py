"""The case: what people are shown of a conversation that they are asked to take over.

It holds enough to go on with, and nothing that its readers may not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bots.conversation.audience import Readers
from bots.conversation.handover.state import Handover
from rag.text.utterances import unmarked
from rag.types import Exchange
from tuning.conversations.privacy import find

LAST = 5
"""How many exchanges are shown."""

QUESTION_CHARACTERS = 1000
SUMMARY_CHARACTERS = 1500
EXCHANGE_CHARACTERS = 400
"""Limits of each text, in characters: people need the gist, and the platform limits a post."""
_MASKED = ("secret", "card")
"""Kinds of personal data that are masked. Names, addresses and phone numbers stay: people need them to help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownExchange:
    """One exchange as it is shown. ``answer`` is None if these readers may not read it."""

    who: str
    question: str
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request for a person, with the question, a summary and the latest exchanges."""

    handover: Handover
    question: str
    summary: str = ""
    exchanges: tuple[ShownExchange, ...] = ()


def compose(
    handover: Handover, question: str, summary: str, history: Sequence[Exchange], readers: Readers, language: str
) -> Case:
    """The case of a handover for ``readers``, who must be allowed to read ``summary``."""

    def visible(text: str, limit: int) -> str:
        return _bounded(masked(text, language), limit)

    return Case(
        handover=handover,
        question=visible(question, QUESTION_CHARACTERS),
        summary=visible(summary, SUMMARY_CHARACTERS),
        exchanges=tuple(
            ShownExchange(
                who=exchange.speaker_name,
                question=visible(exchange.question, EXCHANGE_CHARACTERS),
                answer=visible(unmarked(exchange.answer), EXCHANGE_CHARACTERS) if readers.may_read(exchange) else None,
            )
            for exchange in history[-LAST:]
        ),
    )


def masked(text: str, language: str) -> str:
    """``text`` without passwords, keys and card numbers."""
    # From the end, so that the offsets of earlier findings stay right.
    for finding in reversed(find(text, language)):
        if finding.kind in _MASKED:
            text = f"{text[: finding.start]}[{finding.kind}]{text[finding.end :]}"
    return text


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
