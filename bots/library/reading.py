"""One run of a source's sync: in this process alone, or with its documents spread over all workers."""

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

TELL_SECONDS = 0.5
LOG_SECONDS = 30.0
"""How often the log tells of a sync that takes long."""
STARTS = 3
"""How often in a row a run may end with its process; then the source is left alone until its next turn."""

Read = Callable[[], SyncProgress | None]


class SourceReader:
    """Performs runs. ``documents`` is given where other workers may help; ``caches`` holds a folder for each source."""

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
        """Syncs the source and reports, failures too. Raises ``LeaseLost`` where the run was taken over, ``StoreUnavailable``."""
        if run.starts > STARTS:
            return SyncedSource(
                source=source.name, error=f"the process ended {STARTS} times in a row while it was read"
            )
        try:
            return _reported(await self._read(source, run))
        except (BotsError, StoreUnavailable):
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

        def note(progress: SyncProgress) -> None:
            latest[:] = [progress]

        alone = synchronizer.sync(source, cache, allow_shrink=run.allow_shrink, progress=note)
        return await self._watched(run, alone, lambda: latest[0] if latest else None)

    async def _watched(self, run: Run, work: Coroutine[object, object, SyncReport], read: Read) -> SyncReport:
        """Tells how far ``work`` is while it goes on, and ends it when the run was taken over."""
        working = asyncio.create_task(work, name=f"sync {run.source}")
        told = monotonic()
        try:
            expected = (await self._runs.state(run.source)).expected
            while not working.done():
                await asyncio.wait((working,), timeout=TELL_SECONDS)
                if (progress := read()) is not None:
                    await self._tell(run, progress, expected)
                    if monotonic() - told >= LOG_SECONDS:
                        log.info("syncing", source=run.source, done=progress.done, seen=progress.seen)
                        told = monotonic()
            return working.result()
        finally:
            if not working.done():
                await end(working)

    async def _tell(self, run: Run, progress: SyncProgress, expected: int) -> None:
        """How many there are is known when all were looked at; until then they are taken for as many as the last time."""
        total = progress.total if progress.total is not None else max(expected, progress.seen)
        try:
            await self._runs.tell(run, done=progress.done, total=total, passages=progress.embedded)
        except StoreUnavailable:
            log.warning("progress_not_told", source=run.source)


async def _spread(
    synchronizer: Synchronizer, survey: Survey, cache: Path, documents: SharedDocuments, *, allow_shrink: bool
) -> SyncReport:
    try:
        await documents.spread(synchronizer.changes(survey, cache), survey.tally)
    except IndexUnavailable:
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
        skipped=tuple((str(one.path), one.reason) for one in report.skipped),
        seconds=report.seconds,
    )
