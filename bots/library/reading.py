"""Performs one run of a source's sync, in this process alone or with its documents spread over all workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from time import monotonic

import structlog

from bots.desk.seam import SyncedSource
from bots.errors import BotsError
from bots.library.documents import SharedDocuments
from bots.library.runs import Run, Runs
from rag.cancellation import end
from rag.errors import IndexUnavailable, RagError, StoreUnavailable
from rag.knowledge.sync.source import Synchronizer, SyncReport
from rag.knowledge.sync.survey import Survey, SyncProgress
from rag.settings import SourceSettings

log = structlog.get_logger()

PROGRESS_SECONDS = 0.5
"""Pause between two writes of a run's progress."""
LOG_SECONDS = 30.0
"""Pause between two log lines about a sync that takes long."""
STARTS = 3
"""How often in a row the process may end during a run; then the source is reported as failed until it is asked for again."""

Read = Callable[[], SyncProgress | None]


class SourceReader:
    """Reads sources. ``documents`` is given if other workers can help; ``caches`` is a folder with one folder for each source."""

    def __init__(
        self,
        synchronizer: Callable[[], Awaitable[Synchronizer]],
        runs: Runs,
        caches: Path,
        documents: SharedDocuments | None = None,
    ) -> None:
        self._synchronizer = synchronizer
        self._runs = runs
        self._caches = caches
        self._documents = documents

    async def read(self, source: SourceSettings, run: Run) -> SyncedSource:
        """Syncs the source and returns a report, also of a failure. Raises ``LeaseLost`` if another process took the run over.

        Raises ``StoreUnavailable`` too.
        """
        if run.starts > STARTS:
            return SyncedSource(
                source=source.name, error=f"the process ended {STARTS} times in a row while it was read"
            )
        try:
            return _reported(await self._read(source, run))
        except (BotsError, StoreUnavailable):
            # The run's own end is in question here, not the source: nothing may be reported of it.
            raise
        except RagError as error:
            log.warning("sync_failed", source=source.name, reason=type(error).__name__)
            return SyncedSource(source=source.name, error=str(error))
        except Exception as error:  # noqa: BLE001 - whatever a loader throws, the service and the other sources go on
            reason = f"{type(error).__name__}: {error}"
            log.warning("sync_failed", source=source.name, reason=type(error).__name__)
            return SyncedSource(source=source.name, error=reason)

    async def _read(self, source: SourceSettings, run: Run) -> SyncReport:
        synchronizer = await self._synchronizer()
        cache = self._caches / source.name
        if self._documents is not None:
            survey = await synchronizer.survey(source)
            spread = _spread(synchronizer, survey, cache, self._documents, allow_shrink=run.allow_shrink)
            return await self._watched(run, spread, survey.progress)
        latest: list[SyncProgress] = []

        def remember(progress: SyncProgress) -> None:
            latest[:] = [progress]

        alone = synchronizer.sync(source, cache, allow_shrink=run.allow_shrink, progress=remember)
        return await self._watched(run, alone, lambda: latest[0] if latest else None)

    async def _watched(self, run: Run, work: Coroutine[object, object, SyncReport], read: Read) -> SyncReport:
        """Runs ``work`` and stores its progress meanwhile; cancels it when another process took the run over."""
        # Before anything can fail: a coroutine that nobody awaits would be lost, and warned of.
        task = asyncio.create_task(work, name=f"sync {run.source}")
        logged_at = monotonic()
        try:
            expected = (await self._runs.state(run.source)).expected
            while not task.done():
                await asyncio.wait((task,), timeout=PROGRESS_SECONDS)
                if (progress := read()) is not None:
                    await self._store_progress(run, progress, expected)
                    if monotonic() - logged_at >= LOG_SECONDS:
                        log.info("syncing", source=run.source, done=progress.done, seen=progress.seen)
                        logged_at = monotonic()
            return task.result()
        finally:
            if not task.done():
                await end(task)

    async def _store_progress(self, run: Run, progress: SyncProgress, expected: int) -> None:
        """Stores the progress of a run. Until all documents were surveyed, the last run's number serves as the total."""
        total = progress.total if progress.total is not None else max(expected, progress.seen)
        try:
            await self._runs.store_progress(run, done=progress.done, total=total, passages=progress.embedded)
        except StoreUnavailable:
            # Hours of embedding are not given up because one figure was not stored.
            log.warning("progress_not_told", source=run.source)


async def _spread(
    synchronizer: Synchronizer, survey: Survey, cache: Path, documents: SharedDocuments, *, allow_shrink: bool
) -> SyncReport:
    try:
        await documents.spread(synchronizer.changes(survey, cache), survey.tally)
    except IndexUnavailable:
        # Withdrawing would need the index too.
        raise
    except Exception:
        await synchronizer.withdraw(survey)
        raise
    return await synchronizer.finish(survey, allow_shrink=allow_shrink)


def _reported(report: SyncReport) -> SyncedSource:
    return SyncedSource(
        source=report.source,
        added=report.added,
        changed=report.changed,
        removed=report.removed,
        unchanged=report.unchanged,
        passages=report.passages,
        skipped=tuple((str(document.path), document.reason) for document in report.skipped),
        seconds=report.seconds,
    )
