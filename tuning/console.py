"""Protocols of what the web console asks of the service that runs it.

``bots`` implements them, since ``tuning`` may not import it; so the console knows no platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What one sync of a source did, in documents. ``skipped`` holds pairs of path and reason.

    ``error`` is set if the source failed as a whole.
    """

    source: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    error: str = ""


class KnowledgeSync(Protocol):
    """The documents from which answers are made."""

    def sources(self) -> Sequence[str]:
        """The names of the configured sources."""

    async def sync(self, source: str | None = None) -> Sequence[SourceReport]:
        """Reads one source, or all, again. Returns when that is finished, which may take minutes."""


class Handover(Protocol):
    """Conversations that were handed over to people."""

    async def with_person(self, conversation: str) -> bool:
        """Whether a person was asked to come and the bot is silent there."""

    async def resume(self, conversation: str, by: str) -> bool:
        """Lets the bot answer again. Returns False if it was not silent.

        The request is stored durably, and carried out in the order of the conversation's messages.
        """


class Posting(Protocol):
    """Messages that people write and the bot sends."""

    async def post(self, conversation: str, text: str, identity: str) -> bool:
        """Sends ``text`` (Markdown) into a conversation in which the bot is silent. Returns False if it is not silent.

        The message is stored durably, and sent once for each ``identity``, however often this is called with it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleServices:
    """Everything that a console needs from outside of ``tuning``."""

    knowledge: KnowledgeSync
    handover: Handover
    posting: Posting
