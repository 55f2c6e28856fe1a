"""Synchronizes the index with a source; only changed documents are loaded and embedded.

A sync has three steps, which a queue may spread over processes: ``survey`` with ``changes`` (one process reads the source),
``take`` (any process embeds and writes some changes), ``finish`` (vanished documents are removed). If a process is killed,
the next sync continues from the documents that were written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from rag.errors import IndexUnavailable, SourceShrank
from rag.knowledge.loaders.sources import Candidate, Unreadable, discover
from rag.knowledge.sync.belt import read_in_slices
from rag.knowledge.sync.survey import Change, Report, Survey, Tally, loaded_changes
from rag.knowledge.sync.writing import PassageWriter
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.index.collections import Recipe
from rag.retrieval.index.passages import PassageIndex
from rag.retrieval.sparse import SparseEncoder
from rag.settings import SourceSettings

LAYOUT = 8
"""Part of every recipe and digest: raise it when splitting changes, so that the next sync fills a new collection."""
WINDOW = 256
"""The most tokens of a passage, also for embedders that read more: a citation must point at a short text."""
EVERY = 0.1
"""The shortest time between two progress reports, in seconds."""


Discover = Callable[[SourceSettings, Path], Iterator[Candidate | Unreadable]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """Result of a sync in documents; ``passages`` counts those written, ``skipped`` lists what could not be read."""

    source: str
    added: int
    changed: int
    removed: int
    unchanged: int
    passages: int
    skipped: tuple[Unreadable, ...]
    seconds: float


def recipe_for(embeddings: TextEmbeddings) -> Recipe:
    """The recipe of passages that this model and release produce. May load the model. Raises ``ModelError``."""
    window = min(WINDOW, embeddings.window)
    return Recipe(embedding=embeddings.name, dimension=embeddings.dimension, window=window, layout=LAYOUT)


class Synchronizer:
    """Reads sources and writes their changes to an index.

    ``former`` is the index that readers use while ``index`` is being filled for the first time; it tells how many documents
    a source had. ``discover`` lists the documents of a source and blocks.
    """

    def __init__(
        self,
        index: PassageIndex,
        embeddings: TextEmbeddings,
        sparse: SparseEncoder,
        *,
        former: PassageIndex | None = None,
        discover: Discover = discover,
    ) -> None:
        self._index = index
        self._former = former
        self._discover = discover
        self._recipe = recipe_for(embeddings)
        self._writer = PassageWriter(index, embeddings, sparse, window=self._recipe.window)

    async def sync(
        self, source: SourceSettings, cache: Path, *, allow_shrink: bool = False, progress: Report | None = None
    ) -> SyncReport:
        """Adds, replaces and removes documents. ``cache`` is a folder for the loader of this source only.

        Raises ``KnowledgeError`` when the source cannot be read, ``SourceShrank`` (after everything else was done) when
        more than half of its documents vanished and ``allow_shrink`` is not set, ``IndexUnavailable``, ``ModelError``.
        """
        survey = await self.survey(source)
        report = _Reporter(survey, progress)
        try:
            await self._writer.write(self._read(survey, cache), survey.tally, report.step)
        except IndexUnavailable:
            raise
        except Exception:
            # Also after a failure: documents whose readers changed in the settings must not stay visible to the old ones.
            await self.withdraw(survey)
            raise
        report.last()
        return await self.finish(survey, allow_shrink=allow_shrink)

    async def survey(self, source: SourceSettings) -> Survey:
        """Starts a comparison with what the index has of a source. Raises ``IndexUnavailable``."""
        before = await self._index.documents(source.name)
        known = await self._former.documents(source.name) if self._former else before
        return Survey(source, before, known.keys(), self._digest)

    async def changes(self, survey: Survey, cache: Path) -> AsyncIterator[Change]:
        """Yields the changes, for a queue. Raises ``KnowledgeError``; after this and any other failure call ``withdraw``."""
        async for changes in read_in_slices(self._read(survey, cache)):
            for change in changes:
                yield change

    async def take(self, changes: Sequence[Change]) -> Tally:
        """Embeds and writes changes; the caller adds the tally to the survey's. Raises ``ModelError``, ``IndexUnavailable``."""
        tally = Tally()
        await self._writer.write(loaded_changes(changes), tally)
        return tally

    async def finish(self, survey: Survey, *, allow_shrink: bool = False) -> SyncReport:
        """Removes vanished documents; call it after every change was taken. Raises ``SourceShrank``, ``IndexUnavailable``."""
        shrinkage = None if allow_shrink else survey.shrinkage
        vanished = [] if shrinkage else survey.vanished
        if vanished:
            await self._index.remove(vanished)
        await self.withdraw(survey)
        # Last, because only now all deleted points of this sync are known.
        await self._index.settle()
        if shrinkage:
            raise SourceShrank(_shrink_message(survey.source, *shrinkage))
        return _report(survey, len(vanished))

    async def withdraw(self, survey: Survey) -> None:
        """Removes documents that were not rewritten and have another audience or tenant than the source has now.

        Otherwise readers could still find what is no longer meant for them. Raises ``IndexUnavailable``.
        """
        readers = (survey.source.audience, survey.source.tenant)
        for document in survey.retained:
            if any((each.audience, each.tenant) != readers for each in await self._index.passages(document)):
                await self._index.remove([document])

    async def drop_others(self, known: Collection[str]) -> Mapping[str, int]:
        """Removes the documents of sources that are not in ``known``; returns their numbers. Raises ``IndexUnavailable``."""
        dropped: dict[str, int] = {}
        for source in sorted(await self._index.sources() - set(known)):
            documents = await self._index.documents(source)
            await self._index.remove(list(documents))
            dropped[source] = len(documents)
        return dropped

    def _read(self, survey: Survey, cache: Path) -> Generator[Change | None]:
        """A generator, so that ``discover`` runs in the reading thread: a loader's imports may take seconds."""
        yield from survey.changes(self._discover(survey.source, cache))

    def _digest(self, fingerprint: str) -> str:
        """sha256 of all that decides what is written; not the time of change, which every checkout changes."""
        decisive = [LAYOUT, self._recipe.window, self._recipe.embedding, fingerprint]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


class _Reporter:
    """Reports progress at most once in ``EVERY`` seconds."""

    def __init__(self, survey: Survey, report: Report | None) -> None:
        self._survey = survey
        self._report = report
        self._reported_at = 0.0

    def step(self) -> None:
        if self._report and perf_counter() - self._reported_at >= EVERY:
            self.last()

    def last(self) -> None:
        if self._report:
            self._report(self._survey.progress())
            self._reported_at = perf_counter()


def _shrink_message(source: SourceSettings, missing: int, known: int) -> str:
    return (
        f"source {source.name!r} lost {missing} of its {known} documents at once, which looks like an accident: they stay in "
        f"the index, while what is new or changed was written. Check {source.place}; if this is meant: "
        f"cotorra sync --source {source.name} --allow-shrink"
    )


def _report(survey: Survey, removed: int) -> SyncReport:
    written = survey.tally.written
    return SyncReport(
        source=survey.source.name,
        added=survey.added,
        changed=len(written) - survey.added,
        removed=removed,
        unchanged=len(survey.unchanged),
        passages=sum(written.values()),
        skipped=tuple(survey.tally.skipped),
        seconds=perf_counter() - survey.began,
    )
