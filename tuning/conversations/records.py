"""What the log keeps. Times are aware datetimes; ``speaker`` leaves the log only as a pseudonym."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from rag.types import Outcome

Rating = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPassage:
    """A passage as it was shown: a snapshot, identified by its digest (``rag.types.Passage.digest``)."""

    digest: str
    title: str
    headings: tuple[str, ...]
    url: str
    text: str
    source: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedTurn:
    """One question and its answer. ``passages`` stand in the order shown.

    ``cited`` are the ranks (from 0) of the cited passages, in the order of their numbers in the answer.
    ``seconds`` is the wall time of each stage by its name; ``reply_id`` is the platform's id of the reply.
    ``speaker`` may be the platform's id or already its pseudonym: the log stores the pseudonym.

    What else the prompt was made of: ``recalled`` are the turns of the past in it (ids, oldest first), ``summary`` and ``notes``
    its background, ``prompt_version`` that of the renderer (empty in turns of version 0.2 and before), ``adapter_digest``
    which adapter of the name wrote. ``dropped`` counts sentences that no passage supported; ``interrupted`` when the answer
    ended early.
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
    """What one person thought of one turn; empty texts say nothing and erase nothing."""

    turn_id: str
    speaker: str
    rating: Rating
    given_at: datetime
    reason: str = ""
    better_answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedTurn:
    """A turn with everything that was said about it."""

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
    """How much the log holds."""

    conversations: int
    turns: int
    passages: int
    feedback: int
