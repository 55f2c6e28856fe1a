"""Bringing the index up to date with a source: only what changed costs anything.

A sync is three steps, which a queue may spread over processes: ``survey`` and its ``changes`` (one process looks at the
source), ``take`` (any process embeds and writes some changes), ``finish`` (what is gone is removed). Killed at any
point, the next one goes on from the documents that were written.
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
from rag.knowledge.sync.belt import sliced
from rag.knowledge.sync.survey import Change, Report, Survey, Tally, at_hand
from rag.knowledge.sync.writing import PassageWriter
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.index.collections import Recipe
from rag.retrieval.index.passages import PassageIndex
from rag.retrieval.sparse import SparseEncoder
from rag.settings import SourceSettings

LAYOUT = 7
"""Part of every recipe and digest: raise it when splitting changes, and the next sync fills a new collection."""
WINDOW = 256
"""Tokens of a passage at most, however much the embedder reads: a citation must point at something short."""
EVERY = 0.1
"""Seconds between two reports of progress at least."""


Discover = Callable[[SourceSettings, Path], Iterator[Candidate | Unreadable]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a sync did, in documents; ``passages`` is how many were written, ``skipped`` what could not be read."""

    source: str
    added: int
    changed: int
    removed: int
    unchanged: int
    passages: int
    skipped: tuple[Unreadable, ...]
    seconds: float


def recipe_for(embeddings: TextEmbeddings) -> Recipe:
    """What passages embedded by this model, in this release, have in common. May load the model (``ModelError``)."""
    window = min(WINDOW, embeddings.window)
    return Recipe(embedding=embeddings.name, dimension=embeddings.dimension, window=window, layout=LAYOUT)


class Synchronizer:
    """Reads sources, and writes what changed into an index.

    ``former`` is what readers have while ``index`` is being filled for the first time: it tells how much a source had.
    ``discover`` gives what a source holds; it blocks.
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
        """Adds, swaps and removes documents. ``cache`` is a folder of the source's own for what its loader keeps.

        Raises ``KnowledgeError`` when the source is not there, ``SourceShrank`` (after everything else was done) when
        more than half of its documents vanished and ``allow_shrink`` is not set, ``IndexUnavailable``, ``ModelError``.
        """
        survey = await self.survey(source)
        report = _Reporter(survey, progress)
        try:
            await self._writer.write(self._read(survey, cache), survey.tally, report.step)
        except IndexUnavailable:
            raise
        except Exception:
            await self.withdraw(survey)
            raise
        report.last()
        return await self.finish(survey, allow_shrink=allow_shrink)

    async def survey(self, source: SourceSettings) -> Survey:
        """Begin to look at a source: what the index has of it. Raises ``IndexUnavailable``."""
        before = await self._index.documents(source.name)
        known = await self._former.documents(source.name) if self._former else before
        return Survey(source, before, known.keys(), self._digest)

    async def changes(self, survey: Survey, cache: Path) -> AsyncIterator[Change]:
        """What changed, for a queue. Raises ``KnowledgeError``; then, as after any failure, call ``withdraw``."""
        async for found in sliced(self._read(survey, cache)):
            for change in found:
                yield change

    async def take(self, changes: Sequence[Change]) -> Tally:
        """Embed and write some changes; add the tally to the survey's. Raises ``ModelError``, ``IndexUnavailable``."""
        tally = Tally()
        await self._writer.write(at_hand(changes), tally)
        return tally

    async def finish(self, survey: Survey, *, allow_shrink: bool = False) -> SyncReport:
        """When every change was taken: remove what is gone. Raises ``SourceShrank``, ``IndexUnavailable``."""
        shrank = None if allow_shrink else survey.shrank
        vanished = [] if shrank else survey.vanished
        if vanished:
            await self._index.remove(vanished)
        await self.withdraw(survey)
        await self._index.settle()
        if shrank:
            raise SourceShrank(_shrank(survey.source, *shrank))
        return _report(survey, len(vanished))

    async def withdraw(self, survey: Survey) -> None:
        """Removes what stands in the index for readers that the source no longer has: others may read it there.

        What was not written anew still stands there with the audience and tenant that it had. Raises ``IndexUnavailable``.
        """
        readers = (survey.source.audience, survey.source.tenant)
        for document in survey.kept:
            if any((each.audience, each.tenant) != readers for each in await self._index.passages(document)):
                await self._index.remove([document])

    async def drop_others(self, known: Collection[str]) -> Mapping[str, int]:
        """Removes the documents of every source that is not in ``known``; how many, by source. Raises ``IndexUnavailable``."""
        dropped: dict[str, int] = {}
        for source in sorted(await self._index.sources() - set(known)):
            documents = await self._index.documents(source)
            await self._index.remove(list(documents))
            dropped[source] = len(documents)
        return dropped

    def _read(self, survey: Survey, cache: Path) -> Generator[Change | None]:
        """Does nothing before it is asked for the first one, in a thread: finding a loader may import half a library."""
        yield from survey.changes(self._discover(survey.source, cache))

    def _digest(self, fingerprint: str) -> str:
        """sha256 of all that decides what is written. The time of change is left out: a checkout changes nothing else."""
        decisive = [LAYOUT, self._recipe.window, self._recipe.embedding, fingerprint]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


class _Reporter:
    """Tells how far a sync is, not more often than anyone can look."""

    def __init__(self, survey: Survey, report: Report | None) -> None:
        self._survey = survey
        self._report = report
        self._told_at = 0.0

    def step(self) -> None:
        if self._report and perf_counter() - self._told_at >= EVERY:
            self.last()

    def last(self) -> None:
        if self._report:
            self._report(self._survey.progress())
            self._told_at = perf_counter()


def _shrank(source: SourceSettings, gone: int, known: int) -> str:
    return (
        f"source {source.name!r} lost {gone} of its {known} documents at once, which looks like an accident: they stay in "
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
