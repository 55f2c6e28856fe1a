"""Requests, responses and events of operations: values that cross the service's socket as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rag.types import Answer, Query, Retrieval


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    """One question at the terminal. Empty ``audiences`` mean the terminal's own; an empty ``conversation`` means no memory."""

    text: str
    conversation: str = ""
    audiences: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """More text of the answer."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The whole answer."""

    conversation: str
    answer: Answer


AskEvent = Text | Complete


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPassage:
    """One line of ``cotorra search``."""

    title: str
    url: str
    text: str
    score: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveRequest:
    """A question for the evaluation of retrieval. Empty ``audiences`` mean the terminal's own; ``sources`` None means all.

    ``changes``: settings of retrieval, by key, that replace those in force for this request.
    """

    query: Query
    limit: int
    audiences: frozenset[str] = frozenset()
    sources: frozenset[str] | None = None
    changes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveResponse:
    """The retrieved passages, with the settings and the embedding model that were used."""

    retrieval: Retrieval
    limit: int
    threshold: float
    embedding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncProgress:
    """Progress of the sync of a source, in documents. ``total`` is 0 while their number is unknown.

    ``waiting``: an earlier sync of the source must end first, and this is its progress.
    """

    source: str
    done: int = 0
    total: int = 0
    passages: int = 0
    waiting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedSource:
    """The result of a sync of one source. ``skipped``: path and reason; ``error``: set when nothing of it could be read."""

    source: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    passages: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    error: str = ""


SyncEvent = SyncProgress | SyncedSource


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideMessage:
    """A message that was set aside after repeated failure. Its text is left out, because it may be private."""

    turn_id: str
    conversation: str
    error: str
    tries: int
    at: datetime
