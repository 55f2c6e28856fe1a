"""What a person at a terminal can ask of a service: the same calls in this process or through the owner's socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rag.types import Answer


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A message that failed repeatedly; the text is not shown, it may be private."""

    turn_id: str
    conversation: str
    error: str
    tries: int
    at: datetime


class Desk(Protocol):
    """Raises the errors of ``bots`` and ``rag``."""

    def ask(self, asked: Asked) -> AsyncIterator[AskEvent]: ...

    async def new(self, conversation: str) -> None: ...

    async def search(self, query: str, *, limit: int, audiences: frozenset[str]) -> Sequence[FoundPassage]: ...

    async def sync(self, source: str | None, *, allow_shrink: bool) -> Sequence[SyncedSource]: ...

    async def set_aside(self) -> Sequence[SetAside]: ...

    async def retry(self, turn_id: str | None) -> int: ...

    async def forget(self, conversation: str, speaker: str | None) -> Mapping[str, int]: ...
