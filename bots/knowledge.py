"""The service's documents: which sources there are, and bringing the index up to date, one run at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from bots.desk import SyncedSource
from bots.errors import BotsError
from rag.errors import RagError
from rag.knowledge.sync import Synchronizer, SyncReport
from rag.settings import KnowledgeSettings, SourceSettings, handbook_source

log = structlog.get_logger()
CHECKOUT = Path(__file__).resolve().parent.parent


def sources(settings: KnowledgeSettings) -> tuple[SourceSettings, ...]:
    """The configured sources; without any, the handbook beside the packages, if it is there."""
    if settings.sources:
        return settings.sources
    return (handbook_source(CHECKOUT),) if (CHECKOUT / "docs").is_dir() else ()


class Library:
    """The sources and the one synchronizer over them."""

    def __init__(self, synchronizer: Synchronizer, settings: KnowledgeSettings) -> None:
        self._synchronizer = synchronizer
        self._sources = sources(settings)
        self._turn = asyncio.Lock()

    async def sync(self, name: str | None = None, *, allow_shrink: bool = False) -> Sequence[SyncedSource]:
        """Syncs one source or all; a source that fails as a whole is reported and leaves the others alone.

        A sync of all also removes what sources left behind that are no longer configured.
        Raises ``BotsError`` for a name that no source has.
        """
        chosen = [source for source in self._sources if name in (None, source.name)]
        if not chosen:
            known = ", ".join(source.name for source in self._sources) or "none is configured"
            raise BotsError(f"no knowledge source is called {name}; sources: {known}" if name else _NOTHING)
        async with self._turn:
            synced = [await self._sync(source, allow_shrink) for source in chosen]
            return synced if name else [*synced, *await self._drop_others()]

    async def _drop_others(self) -> list[SyncedSource]:
        try:
            dropped = await self._synchronizer.drop_others([source.name for source in self._sources])
        except RagError as error:
            log.warning("removed_sources_kept", reason=type(error).__name__)
            return [SyncedSource(source="removed sources", error=str(error))]
        return [SyncedSource(source=source, removed=count) for source, count in dropped.items()]

    async def _sync(self, source: SourceSettings, allow_shrink: bool) -> SyncedSource:
        try:
            cache = Path(".cotorra", "sources", source.name)
            report = await self._synchronizer.sync(source, cache, allow_shrink=allow_shrink)
        except RagError as error:
            log.warning("sync_failed", source=source.name, reason=type(error).__name__)
            return SyncedSource(source=source.name, error=str(error))
        log.info("synced", source=source.name, passages=report.passages, skipped=len(report.skipped))
        return _reported(report)


_NOTHING = "there is nothing to sync: add a [[knowledge.sources]] section with name and path to cotorra.toml"


def _reported(report: SyncReport) -> SyncedSource:
    return SyncedSource(
        source=report.source,
        added=report.added,
        changed=report.changed,
        removed=report.removed,
        unchanged=report.unchanged,
        passages=report.passages,
        skipped=tuple((str(one.path), one.reason) for one in report.skipped),
        seconds=report.seconds,
    )
