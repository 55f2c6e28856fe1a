"""What operations are asked with and what they answer: values that cross the owner's socket as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rag.types import Answer, Query, Retrieval


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question at the terminal. ``audiences`` empty means the terminal's own; ``conversation`` empty, no memory."""

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
class Inquiry:
    """What retrieval is measured with. ``audiences`` empty means the terminal's own, ``sources`` None all.

    ``changes`` holds settings of retrieval that this inquiry is made under instead of those in force, by their keys.
    """

    query: Query
    limit: int
    audiences: frozenset[str] = frozenset()
    sources: frozenset[str] | None = None
    changes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """What was found, with the settings it was found under and the embedding model that found it."""

    retrieval: Retrieval
    limit: int
    threshold: float
    embedding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncProgress:
    """How far a source's sync has come, in documents looked at; ``total`` is 0 while nobody knows how many there are.

    ``waiting``: one that began before this was asked for comes first, and this is its progress.
    """

    source: str
    done: int = 0
    total: int = 0
    passages: int = 0
    waiting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedSource:
    """What ``cotorra sync`` did to one source. ``skipped`` holds path and reason; ``error`` is set when it failed whole."""

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
class SetAside:
    """A message that failed repeatedly; the text is not shown, it may be private."""

    turn_id: str
    conversation: str
    error: str
    tries: int
    at: datetime
