"""Bringing the index up to date with a source: only what changed costs anything."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from rag.errors import KnowledgeError, ModelError, RagError, SourceShrank
from rag.knowledge.chunking import embedding_text, split
from rag.knowledge.loaders import Candidate, Unreadable, discover
from rag.retrieval.embeddings import TextEmbeddings
from rag.retrieval.index import IndexedPassage, PassageIndex
from rag.retrieval.sparse import SparseEncoder
from rag.settings import SourceSettings
from rag.types import Passage

LAYOUT = 2
"""Part of every digest: raise it when splitting changes, and the next sync writes every document anew."""
WINDOW = 256
"""Tokens of a passage at most, however much the embedder reads: a citation must point at something short."""
BATCH = 64
"""Passages handed to the embedder at once; questions take their turn between two batches."""
ENOUGH = 10
"""Documents from which on losing more than half at once is taken for an accident."""

Report = Callable[[str], None]


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


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What happened so far to the documents that the index knew (``before``: digest by id) and to new ones."""

    before: dict[str, str]
    seen: set[str] = field(default_factory=set)
    current: set[str] = field(default_factory=set)
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    passages: int = 0
    skipped: list[Unreadable] = field(default_factory=list)

    def skip(self, unreadable: Unreadable) -> None:
        """A document that is there but cannot be read keeps its indexed version."""
        self.seen.add(unreadable.document)
        self.skipped.append(unreadable)

    def written(self, document: str, passages: int) -> None:
        self.passages += passages
        self.current.add(document)
        if document in self.before:
            self.changed += 1
        else:
            self.added += 1

    @property
    def kept(self) -> list[str]:
        """Documents whose indexed version stays, though what they say now was not read."""
        return [document for document in self.before if document not in self.current]

    @property
    def vanished(self) -> list[str]:
        return [document for document in self.before if document not in self.seen]


class Synchronizer:
    """Reads a source, and writes what changed into the index."""

    def __init__(self, index: PassageIndex, embeddings: TextEmbeddings, sparse: SparseEncoder) -> None:
        self._index = index
        self._embeddings = embeddings
        self._sparse = sparse
        self._window = min(WINDOW, embeddings.window)

    async def sync(
        self, source: SourceSettings, *, allow_shrink: bool = False, progress: Report | None = None
    ) -> SyncReport:
        """Adds, swaps and removes documents; ``progress`` hears the id of each one that is looked at.

        Raises ``KnowledgeError`` when the source is not there, ``SourceShrank`` (after everything else was done) when
        more than half of its documents vanished and ``allow_shrink`` is not set, ``IndexUnavailable``, ``ModelError``.
        """
        started = perf_counter()
        tally = _Tally(before=dict(await self._index.documents(source.name)))
        try:
            await self._read(source, tally, progress)
            removed = await self._remove(source, tally, allow_shrink)
        except (KnowledgeError, ModelError):
            await self._withdraw(source, tally.kept)
            raise
        await self._withdraw(source, tally.kept)
        return SyncReport(
            source=source.name,
            added=tally.added,
            changed=tally.changed,
            removed=removed,
            unchanged=tally.unchanged,
            passages=tally.passages,
            skipped=tuple(tally.skipped),
            seconds=perf_counter() - started,
        )

    async def drop_others(self, known: Collection[str]) -> Mapping[str, int]:
        """Removes the documents of every source that is not in ``known``; how many, by source. Raises ``IndexUnavailable``."""
        dropped: dict[str, int] = {}
        for source in sorted(await self._index.sources() - set(known)):
            documents = await self._index.documents(source)
            await self._index.remove(list(documents))
            dropped[source] = len(documents)
        return dropped

    async def _read(self, source: SourceSettings, tally: _Tally, progress: Report | None) -> None:
        documents = discover(source, Path(".cotorra", "sources", source.name))
        while (found := await asyncio.to_thread(next, documents, None)) is not None:
            if progress:
                progress(found.document)
            await self._take(found, tally)

    async def _withdraw(self, source: SourceSettings, documents: Sequence[str]) -> None:
        """Removes what stands in the index for an audience that the source no longer has: others may read it there."""
        for document in documents:
            if any(passage.audience != source.audience for passage in await self._index.passages(document)):
                await self._index.remove([document])

    async def _take(self, found: Candidate | Unreadable, tally: _Tally) -> None:
        if isinstance(found, Unreadable):
            return tally.skip(found)
        tally.seen.add(found.document)
        digest = self._digest(found)
        if tally.before.get(found.document) == digest:
            tally.unchanged += 1
            tally.current.add(found.document)
            return None
        try:
            tally.written(found.document, await self._write(found, digest))
        except KnowledgeError as error:
            tally.skip(Unreadable(path=found.document, reason=str(error), document=found.document))
        except RagError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a parser throws at one page, the others are read
            reason = f"{type(error).__name__}: {error}"
            tally.skip(Unreadable(path=found.document, reason=reason, document=found.document))
        return None

    async def _write(self, candidate: Candidate, digest: str) -> int:
        document = await asyncio.to_thread(candidate.load)
        passages = await asyncio.to_thread(
            split, document, window=self._window, count_tokens=self._embeddings.count_tokens
        )
        indexed = [each for batch in _batches(passages) for each in await self._embed(batch)]
        await self._index.replace(document.id, document.source, digest, indexed)
        return len(indexed)

    async def _embed(self, passages: Sequence[Passage]) -> list[IndexedPassage]:
        texts = [embedding_text(passage) for passage in passages]
        vectors = await self._embeddings.aembed_documents(texts)
        return [
            IndexedPassage(passage=passage, dense=dense, sparse=self._sparse.encode_passage(text, passage.language))
            for passage, dense, text in zip(passages, vectors, texts, strict=True)
        ]

    async def _remove(self, source: SourceSettings, tally: _Tally, allow_shrink: bool) -> int:
        vanished, known = tally.vanished, len(tally.before)
        if known >= ENOUGH and 2 * len(vanished) > known and not allow_shrink:
            raise SourceShrank(
                f"source {source.name!r} lost {len(vanished)} of its {known} documents at once; none was removed from the "
                f"index. Check {source.place}; if this is meant: cotorra sync --source {source.name} --allow-shrink"
            )
        if vanished:
            await self._index.remove(vanished)
        return len(vanished)

    def _digest(self, candidate: Candidate) -> str:
        """sha256 of all that decides what is written. The time of change is left out: a checkout changes nothing else."""
        decisive = [LAYOUT, self._window, self._embeddings.name, candidate.fingerprint]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


def _batches(passages: Sequence[Passage]) -> Iterator[Sequence[Passage]]:
    return (passages[start : start + BATCH] for start in range(0, len(passages), BATCH))
