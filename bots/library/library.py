"""The service's documents: which sources there are, when they are read, and what becomes of those who ask for it."""

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

LOOK_SECONDS = 0.2
"""How often who waits for a sync looks how far it is."""
DUE_SECONDS = 30.0
"""How often it is seen which sources are due, at most."""


def sources(settings: KnowledgeSettings, checkout: Path = CHECKOUT) -> tuple[SourceSettings, ...]:
    """The configured sources; without any, the handbook beside the packages, if it is there."""
    if settings.sources:
        return settings.sources
    return (handbook_source(checkout),) if (checkout / "docs").is_dir() else ()


class Shelf(Protocol):
    """The collections of passages, as far as the library is concerned. Raises ``IndexUnavailable``."""

    @property
    def recipe(self) -> str:
        """What passages are written for, in short."""

    async def filling(self) -> bool:
        """Whether readers have another collection until this one is complete."""

    async def complete(self) -> None:
        """Every source was written: readers get the new collection."""

    async def withdraw(self, source: SourceSettings) -> None:
        """Removes what readers have of the source who may not read it any more, while a new collection is being filled."""

    async def drop_others(self, known: Sequence[str]) -> Mapping[str, int]:
        """Removes what belongs to no known source; how many documents, by source."""


class Observer(Protocol):
    """Where the library's figures go."""

    def synced(self, report: SyncedSource) -> None:
        """A run ended."""


class Library:
    """The sources, read one run a source at a time over all processes.

    Between :meth:`open` and :meth:`close` this process does its share of the work, whoever asked for it.
    """

    def __init__(
        self,
        settings: KnowledgeSettings,
        *,
        runs: Runs,
        reader: SourceReader,
        queue: Callable[[Callable[[str], Awaitable[None]]], TaskQueue],
        documents: SharedDocuments | None,
        shelf: Shelf,
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
        self._shelf = shelf
        self._caches = caches
        self._metrics = metrics

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Does this process's share of the work meanwhile."""
        with suppress(StoreUnavailable):  # then a collection may be filled once more before it serves
            await self._tidy_up()
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
        """Has one source or all of them read anew, and tells of it; who stops listening stops nothing.

        A source that fails as a whole is reported and leaves the others alone. A sync of all also removes what sources
        left behind that are no longer configured. Raises ``BotsError`` for a name that no source has, ``StoreUnavailable``.
        """
        async for event in self._asked(self._chosen(name), allow_shrink=allow_shrink):
            yield event
        if name is None:
            for dropped in await self._drop_others():
                yield dropped

    async def _asked(self, names: Sequence[str], *, allow_shrink: bool = False) -> AsyncIterator[SyncEvent]:
        waited = {name: await self._ask(name, allow_shrink=allow_shrink) for name in names}
        told: dict[str, SyncEvent] = {}
        while waited:
            for source, number in list(waited.items()):
                event = await self._look(source, number)
                if isinstance(event, SyncedSource):
                    del waited[source]
                if event != told.get(source):
                    told[source] = event
                    yield event
            if waited:
                await asyncio.sleep(LOOK_SECONDS)

    async def synced(self, name: str | None = None, *, allow_shrink: bool = False) -> Sequence[SyncedSource]:
        """:meth:`sync` without its progress."""
        events = self.sync(name, allow_shrink=allow_shrink)
        return [event async for event in events if isinstance(event, SyncedSource)]

    async def keep_up(self, *, at_once: bool = True) -> None:
        """Has sources read whenever they are due, and ``at_once`` what may have changed, until cancelled.

        Alone, that is every source; among other processes those whose settings changed since they were read, or that are due:
        twenty workers that start again must not read a site twenty times.
        """
        if at_once and self._sources:
            with suppress(StoreUnavailable):  # then they are due soon
                async for _ in self._asked([name for name in self._sources if await self._may_have_changed(name)]):
                    pass
                await self._drop_others()
        pauses = [minutes * 60 for minutes in map(self._every_minutes, self._sources.values()) if minutes]
        while pauses:
            await asyncio.sleep(min(DUE_SECONDS, *(pause / 2 for pause in pauses)))
            for source in self._sources.values():
                with suppress(StoreUnavailable):  # then it is due the next time
                    await self._ask_if_due(source)

    async def _may_have_changed(self, name: str) -> bool:
        if self._documents is None:
            return True
        state, source = await self._runs.state(name), self._sources[name]
        as_read = (state.recipe, state.configured) == (self._shelf.recipe, _configured(source))
        return not as_read or self._is_due(source, state)

    def _is_due(self, source: SourceSettings, state: SourceState) -> bool:
        pause = self._every_minutes(source) * 60
        return pause > 0 and time() - state.ended >= pause

    def _chosen(self, name: str | None) -> Sequence[str]:
        chosen = [source for source in self._sources if name in (None, source)]
        if not chosen:
            known = ", ".join(self._sources) or "none is configured"
            raise BotsError(f"no knowledge source is called {name}; sources: {known}" if name else _NOTHING)
        return chosen

    async def _tidy_up(self) -> None:
        """What an earlier process left: runs that nobody can go on with, and what was written for another recipe."""
        for source in self._sources:
            if self._documents is None:  # nobody else works here
                await self._runs.bury(source)
            if (await self._runs.state(source)).recipe not in ("", self._shelf.recipe):
                await self._runs.disown(source)

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
        await self._queue.add(source)  # again: a run under way may have begun before this was asked for
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
                with suppress(RagError):  # the index is away, as the reader will report
                    await self._shelf.withdraw(source)
                report = await self._reader.read(source, run)
            recipe = "" if report.error else self._shelf.recipe
            await self._runs.end(run, report, recipe, _configured(source) if source else "")
        except asyncio.CancelledError:
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
        """Readers get a new collection once every source was read for it without failing as a whole."""
        try:
            if not await self._shelf.filling():
                return
            states = [await self._runs.state(source) for source in self._sources]
            if all(state.recipe == self._shelf.recipe for state in states):
                await self._shelf.complete()
                log.info("collection_switched", recipe=self._shelf.recipe)
        except RagError as error:
            log.warning("collection_not_switched", reason=type(error).__name__)

    async def _drop_others(self) -> list[SyncedSource]:
        try:
            dropped = await self._shelf.drop_others(list(self._sources))
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
    """The settings of a source in short."""
    return hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:12]


def _drop_caches(caches: Path, known: frozenset[str]) -> None:
    """What loaders kept for sources that are no more. A cache that cannot be removed is in nobody's way."""
    if caches.is_dir():
        for folder in caches.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
