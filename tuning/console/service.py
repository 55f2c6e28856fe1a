"""What the web console asks of the service around it. The service fills these Protocols; the console knows no platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What reading one source did, in documents. ``skipped`` holds path and reason; ``error`` is set when all of it failed."""

    source: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    error: str = ""


class KnowledgeSync(Protocol):
    """The documents that answers are made of."""

    def sources(self) -> Sequence[str]:
        """The names of the configured sources."""

    async def sync(self, source: str | None = None) -> Sequence[SourceReport]:
        """Reads one source, or all, and returns when that is done; may take minutes."""


class Handover(Protocol):
    """Conversations that people took over."""

    async def with_person(self, conversation: str) -> bool:
        """Whether a person was asked to come and the bot is silent there."""

    async def resume(self, conversation: str, by: str) -> bool:
        """Lets the bot answer again; False where it was not silent. Accepted durably, done in the conversation's order."""


class Posting(Protocol):
    """Messages of people, sent by the bot."""

    async def post(self, conversation: str, text: str, identity: str) -> bool:
        """Sends ``text`` (Markdown) into a conversation in which the bot is silent; False where it is not.

        Accepted durably, and sent once for each ``identity``, however often it is asked for.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleServices:
    """All that a console is built with besides what is tuning's own."""

    knowledge: KnowledgeSync
    handover: Handover
    posting: Posting
