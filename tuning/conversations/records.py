"""The records of the conversation log. Times are aware datetimes; a ``speaker`` read from the log is always a pseudonym."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from rag.types import Outcome

Rating = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPassage:
    """A snapshot of a passage as the answerer saw it, identified by its digest (``rag.types.Passage.digest``)."""

    digest: str
    title: str
    headings: tuple[str, ...]
    url: str
    text: str
    source: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedTurn:
    """One question and its answer. ``passages`` are in the order in which the answerer saw them.

    ``cited`` are the ranks (from 0) of the cited passages, in the order of their numbers in the answer.
    ``seconds`` is the wall time of each stage by its name; ``reply_id`` is the platform's id of the reply.
    ``speaker`` is the platform's id or its pseudonym; the log stores the pseudonym.

    The other parts of the prompt: ``recalled`` are the ids of the past turns in it, oldest first; ``summary`` and ``notes`` are
    its background; ``prompt_version`` is the renderer's version (empty in turns of version 0.2 and before). ``adapter_digest``
    identifies the adapter that wrote the answer, since one name may have had several. ``dropped`` is the number of sentences
    that were removed because no passage supported them; ``interrupted`` means that the answer ended early.
    """

    turn_id: str
    conversation: str
    platform: str
    speaker: str
    language: str
    question: str
    answer: str
    outcome: Outcome
    asked_at: datetime
    passages: tuple[LoggedPassage, ...] = ()
    cited: tuple[int, ...] = ()
    model: str = ""
    adapter: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    reply_id: str = ""
    recalled: tuple[str, ...] = ()
    summary: str = ""
    notes: tuple[str, ...] = ()
    prompt_version: str = ""
    adapter_digest: str = ""
    dropped: int = 0
    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedFeedback:
    """One person's feedback on one turn. An empty text does not erase an earlier one."""

    turn_id: str
    speaker: str
    rating: Rating
    given_at: datetime
    reason: str = ""
    better_answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedTurn:
    """A turn with all feedback on it."""

    turn: LoggedTurn
    feedback: tuple[LoggedFeedback, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSummary:
    """One line of the list of conversations."""

    conversation: str
    platform: str
    turns: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCounts:
    """The number of records in the log."""

    conversations: int
    turns: int
    passages: int
    feedback: int
