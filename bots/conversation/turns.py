"""Makes the log's record of an answered question."""

from __future__ import annotations

from datetime import datetime

from rag.prompts.instructions import VERSION
from rag.types import AdapterRef, Answer, Hit, Question
from tuning.conversations.records import LoggedPassage, LoggedTurn


def logged_turn(question: Question, answer: Answer, *, platform: str, asked_at: datetime) -> LoggedTurn:
    """The record of one turn, with a snapshot of every passage that the answerer saw, in the same order.

    ``asked_at`` is an aware datetime.
    """
    return LoggedTurn(
        turn_id=question.turn_id,
        conversation=question.conversation,
        platform=platform,
        speaker=question.speaker,
        language=answer.language,
        question=question.text,
        answer=answer.text,
        outcome=answer.outcome,
        passages=tuple(_snapshot(hit) for hit in answer.shown),
        cited=_cited(answer),
        model=answer.model,
        adapter=answer.adapter,
        seconds=answer.seconds,
        asked_at=asked_at,
        recalled=answer.recalled,
        summary=answer.background.summary,
        notes=answer.background.notes,
        # The prompt can be made again only by the renderer that made it, so its version is logged with the turn.
        prompt_version=VERSION,
        adapter_digest=_digest(question.adapter, answer),
        dropped=answer.dropped,
        interrupted=answer.interrupted,
    )


def _digest(asked_for: AdapterRef | None, answer: Answer) -> str:
    """The digest of the adapter that wrote the answer; empty if it is not the one asked for."""
    # Another answerer takes over when a language model fails; the digest asked for would name a model that wrote nothing.
    return asked_for.digest if asked_for is not None and asked_for.name == answer.adapter else ""


def _snapshot(hit: Hit) -> LoggedPassage:
    passage = hit.passage
    return LoggedPassage(
        digest=passage.digest,
        title=passage.title,
        headings=passage.headings,
        url=passage.url,
        text=passage.text,
        source=passage.source,
        score=hit.score,
    )


def _cited(answer: Answer) -> tuple[int, ...]:
    """Ranks (from 0) of the cited passages among those shown, in the order of their numbers in the answer."""
    ranks = {hit.passage.id: rank for rank, hit in enumerate(answer.shown)}
    return tuple(ranks[source.passage.id] for source in answer.sources if source.passage.id in ranks)
