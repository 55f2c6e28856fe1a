"""Implements the seams of ``tuning``'s web console with parts of the service: syncs, handovers, messages of a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from bots.conversation.handover.state import Handover, HandoverStore, resumption
from bots.library.library import Library
from bots.queue.inbox import Inbox
from rag.settings import SourceSettings
from tuning.console import SourceReport


class ConsoleKnowledge:
    """``tuning.console.KnowledgeSync`` over the library. Raises ``BotsError`` and ``StoreUnavailable``."""

    def __init__(self, library: Library, sources: Sequence[SourceSettings]) -> None:
        self._library = library
        self._sources = sources

    def sources(self) -> Sequence[str]:
        return [source.name for source in self._sources]

    async def sync(self, source: str | None = None) -> Sequence[SourceReport]:
        return [
            SourceReport(
                source=one.source,
                added=one.added,
                changed=one.changed,
                removed=one.removed,
                unchanged=one.unchanged,
                skipped=one.skipped,
                error=one.error,
            )
            for one in await self._library.synced(source)
        ]


class ConsoleHandover:
    """``Handover`` and ``Posting`` of ``tuning.console``: through the inbox, in the conversation's own order.

    Methods raise ``StoreUnavailable``.
    """

    def __init__(
        self, store: HandoverStore, inbox: Inbox, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._now = now

    async def with_person(self, conversation: str) -> bool:
        return await self._open(conversation) is not None

    # Through the inbox and not at once: a message that the worker answers at this moment must end first.
    async def resume(self, conversation: str, by: str) -> bool:
        handover = await self._open(conversation)
        if handover is None:
            return False
        await self._inbox.accept(resumption(handover, by, self._now()))
        return True

    async def post(self, conversation: str, text: str, identity: str) -> bool:
        handover = await self._open(conversation)
        if handover is None:
            return False
        # The same identity is accepted once, so a form that is sent twice posts once.
        name = f"handover:post:{conversation}:{identity}"
        message = replace(resumption(handover, text, self._now()), id=name, seen=(name,), command="post")
        await self._inbox.accept(message)
        return True

    async def _open(self, conversation: str) -> Handover | None:
        latest = await self._store.latest(conversation)
        silent = latest is not None and latest.stage == "open" and self._now() < latest.until
        return latest if silent else None
