"""Library: the configured sources, and when each of them is read.

A sync is a numbered request in Redis and a task in a queue. Any process may perform it; whoever asked polls the source's state
until a run has served the request.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import time
from typing import Protocol

import structlog

from bots.desk.seam import SyncedSource, SyncEvent, SyncProgress
from bots.errors import BotsError, LeaseLost
from bots.library.documents import SharedDocuments
from bots.library.reading import SourceReader
from bots.library.runs import Runs, SourceState
from rag.errors import RagError, StoreUnavailable
from rag.settings import KnowledgeSettings, SourceSettings, handbook_source
from rag.store.task_queue import TaskQueue

log = structlog.get_logger()
CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages and, in a checkout, the handbook."""

LOOK_SECONDS = 0.2
"""Pause between two looks at the progress of a sync that somebody waits for."""
DUE_SECONDS = 30.0
"""The longest pause between two looks for sources that are due."""


def sources(settings: KnowledgeSettings, checkout: Path = CHECKOUT) -> tuple[SourceSettings, ...]:
    """The configured sources. If none is configured: the handbook beside the packages, if it is there."""
    if settings.sources:
        return settings.sources
    return (handbook_source(checkout),) if (checkout / "docs").is_dir() else ()


class Collections(Protocol):
    """What the library needs of the collections of passages. Methods raise ``IndexUnavailable``."""

    @property
    def recipe(self) -> str:
        """A short fingerprint of the embedding model and the settings for which passages are written."""

    async def filling(self) -> bool:
        """Whether readers still use another collection, because the new one is not complete."""

    async def complete(self) -> None:
        """Switches readers to the new collection, when every source was written to it."""

    async def withdraw(self, source: SourceSettings) -> None:
        """Removes from the old collection, while a new one is filled, passages that its readers may not read any more."""

    async def drop_others(self, names: Sequence[str]) -> Mapping[str, int]:
        """Removes the documents of sources that ``names`` lacks. Returns how many were removed, by source."""


class Observer(Protocol):
    """Receives the library's metrics."""

    def synced(self, report: SyncedSource) -> None:
        """A run ended."""


class Library:
    """The sources. Over all processes, each source is read by one run at a time.

    Within :meth:`working`, this process performs its share of the runs, whichever process asked for them. ``documents`` is None
    where no other process can help.
    """

    def __init__(
        self,
        settings: KnowledgeSettings,
        *,
        runs: Runs,
        reader: SourceReader,
        queue: Callable[[Callable[[str], Awaitable[None]]], TaskQueue],
        documents: SharedDocuments | None,
        collections: Collections,
        caches: Path,
        metrics: Observer,
        checkout: Path = CHECKOUT,
    ) -> None:
        self._settings = settings
        self._sources = {source.name: source for source in sources(settings, checkout)}
        self._runs = runs
        self._reader = reader
        self._queue = queue(self._perform)
        self._documents = documents
        self._collections = collections
        self._caches = caches
        self._metrics = metrics

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Context manager: performs this process's share of the work while the block runs."""
        with suppress(StoreUnavailable):  # without it, a collection may be filled once more than needed
            await self._reset_stale_runs()
        queues: list[TaskQueue | SharedDocuments] = [self._queue]
        if self._documents is not None:
            queues.append(self._documents)
        try:
            for queue in queues:
                await queue.open()
            yield
        finally:
            for queue in queues:
                await queue.close()

    async def sync(self, name: str | None = None, *, allow_shrink: bool = False) -> AsyncIterator[SyncEvent]:
        """Asks for one source, or all, to be read again, and yields its progress and its report.

        The runs go on if the caller stops iterating. A source that fails as a whole is reported and does not affect the others.
        A sync of all sources also removes the documents of sources that are no longer configured. Raises ``BotsError`` for an
        unknown name, and ``StoreUnavailable``.
        """
        async for event in self._request(self._chosen(name), allow_shrink=allow_shrink):
            yield event
        if name is None:
            for dropped in await self._drop_others():
                yield dropped

    async def _request(self, names: Sequence[str], *, allow_shrink: bool = False) -> AsyncIterator[SyncEvent]:
        requests = {name: await self._ask(name, allow_shrink=allow_shrink) for name in names}
        latest: dict[str, SyncEvent] = {}
        while requests:
            for source, number in list(requests.items()):
                event = await self._look(source, number)
                if isinstance(event, SyncedSource):
                    del requests[source]
                if event != latest.get(source):
                    latest[source] = event
                    yield event
            if requests:
                await asyncio.sleep(LOOK_SECONDS)

    async def synced(self, name: str | None = None, *, allow_shrink: bool = False) -> Sequence[SyncedSource]:
        """:meth:`sync` without its progress."""
        events = self.sync(name, allow_shrink=allow_shrink)
        return [event async for event in events if isinstance(event, SyncedSource)]

    async def keep_up(self, *, at_once: bool = True) -> None:
        """Reads sources whenever they are due, until it is cancelled; with ``at_once`` also those that may have changed.

        If this process is alone, every source may have changed. Otherwise only sources that are due, or whose settings changed
        since they were read: twenty workers that restart must not read a site twenty times.
        """
        if at_once and self._sources:
            with suppress(StoreUnavailable):  # they are read when they are next due
                async for _ in self._request([name for name in self._sources if await self._may_have_changed(name)]):
                    pass
                await self._drop_others()
        pauses = [minutes * 60 for minutes in map(self._every_minutes, self._sources.values()) if minutes]
        while pauses:
            await asyncio.sleep(min(DUE_SECONDS, *(pause / 2 for pause in pauses)))
            for source in self._sources.values():
                with suppress(StoreUnavailable):  # it is still due at the next look
                    await self._ask_if_due(source)

    async def _may_have_changed(self, name: str) -> bool:
        if self._documents is None:
            return True
        state, source = await self._runs.state(name), self._sources[name]
        as_read = (state.recipe, state.configured) == (self._collections.recipe, _configured(source))
        return not as_read or self._is_due(source, state)

    def _is_due(self, source: SourceSettings, state: SourceState) -> bool:
        pause = self._every_minutes(source) * 60
        return pause > 0 and time() - state.ended >= pause

    def _chosen(self, name: str | None) -> Sequence[str]:
        chosen = [source for source in self._sources if name in (None, source)]
        if not chosen:
            available = ", ".join(self._sources) or "none is configured"
            raise BotsError(f"no knowledge source is called {name}; sources: {available}" if name else _NOTHING)
        return chosen

    async def _reset_stale_runs(self) -> None:
        """Resets what earlier processes left: runs that nobody continues, and successes for another recipe."""
        for source in self._sources:
            if self._documents is None:  # this process is alone, so a run that seems to go on is dead
                await self._runs.clear_run(source)
            if (await self._runs.state(source)).recipe not in ("", self._collections.recipe):
                await self._runs.clear_recipe(source)

    async def _ask(self, source: str, *, allow_shrink: bool = False) -> int:
        number = await self._runs.ask(source, allow_shrink=allow_shrink)
        await self._queue.add(source)
        return number

    def _every_minutes(self, source: SourceSettings) -> float:
        return self._settings.every_minutes if source.every_minutes is None else source.every_minutes

    async def _ask_if_due(self, source: SourceSettings) -> None:
        if self._is_due(source, await self._runs.state(source.name)):
            await self._queue.add(source.name)

    async def _look(self, source: str, number: int) -> SyncEvent:
        state = await self._runs.state(source)
        if state.served >= number and state.report is not None:
            return state.report
        await self._queue.add(source)  # again, since a run that began before the request does not serve it
        return _progress(source, state, number)

    async def _perform(self, name: str) -> None:
        run = await self._runs.begin(name)
        source = self._sources.get(name)
        try:
            if source is None:
                report = SyncedSource(
                    source=name, error="a worker without this source took it; give all the same configuration"
                )
            else:
                # Before the read, which may take hours: who lost the right to a source must lose its passages now.
                with suppress(RagError):  # if the index is away, the reader reports it
                    await self._collections.withdraw(source)
                report = await self._reader.read(source, run)
            recipe = "" if report.error else self._collections.recipe
            await self._runs.end(run, report, recipe, _configured(source) if source else "")
        except asyncio.CancelledError:
            # The process stops on purpose: this start must not count among those that crashed.
            with suppress(StoreUnavailable):
                await self._runs.pause(run)
            raise
        except (LeaseLost, StoreUnavailable) as error:
            log.warning("sync_interrupted", source=name, reason=type(error).__name__)
            return
        log.info(
            "synced", source=name, passages=report.passages, skipped=len(report.skipped), failed=bool(report.error)
        )
        self._metrics.synced(report)
        await self._switch_if_complete()

    async def _switch_if_complete(self) -> None:
        """Switches readers to a new collection once every source was read into it without failing as a whole."""
        try:
            if not await self._collections.filling():
                return
            states = [await self._runs.state(source) for source in self._sources]
            if all(state.recipe == self._collections.recipe for state in states):
                await self._collections.complete()
                log.info("collection_switched", recipe=self._collections.recipe)
        except RagError as error:
            log.warning("collection_not_switched", reason=type(error).__name__)

    async def _drop_others(self) -> list[SyncedSource]:
        try:
            dropped = await self._collections.drop_others(list(self._sources))
        except RagError as error:
            log.warning("removed_sources_kept", reason=type(error).__name__)
            return [SyncedSource(source="removed sources", error=str(error))]
        for source in dropped:
            await self._runs.drop(source)
        await asyncio.to_thread(_drop_caches, self._caches, frozenset(self._sources))
        return [SyncedSource(source=source, removed=count) for source, count in dropped.items()]


_NOTHING = "there is nothing to sync: add a [[knowledge.sources]] section with name and path to cotorra.toml"


def _progress(source: str, state: SourceState, number: int) -> SyncProgress:
    if not state.running:
        return SyncProgress(source=source)
    return SyncProgress(
        source=source,
        done=state.done,
        total=state.total,
        passages=state.passages,
        waiting=state.covers < number,
    )


def _configured(source: SourceSettings) -> str:
    """A short hash of a source's settings."""
    return hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:12]


def _drop_caches(caches: Path, names: frozenset[str]) -> None:
    """Deletes what loaders cached for sources that are not configured any more. A cache that cannot be deleted does no harm."""
    if caches.is_dir():
        for folder in caches.iterdir():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)
