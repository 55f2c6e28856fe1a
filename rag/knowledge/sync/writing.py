"""Writes changed documents to the index: a thread splits them, groups across documents are embedded, documents are written.

Passages of many documents are embedded together, because a batch of similar lengths needs little padding. The vectors of a
document wait as 4-byte floats until all are there: 1.5 KB a passage, an eighth of a list of Python floats.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from time import monotonic

from rag.errors import ModelError, RagError
from rag.knowledge.chunking import embedding_text, split
from rag.knowledge.sync.belt import BoundedQueue, read_in_slices
from rag.knowledge.sync.survey import Change, Tally
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.index.passages import IndexedPassage, PassageIndex
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.types import Passage

GROUP = 512
"""Passages embedded together; the embedder answers questions between its batches."""
LINGER = 2.0
"""Seconds that passages wait for a group to fill."""
AHEAD = 4_000_000
"""Approximate characters that may wait to be embedded (four groups), and as many that may wait to be written."""
WRITERS = 4
"""Documents written at once: a write to a server is mostly waiting for the network."""


@dataclass(slots=True, kw_only=True)
class PreparedDocument:
    """A document split into passages; ``dense`` is empty until they are embedded."""

    change: Change
    passages: Sequence[Passage]
    sparse: Sequence[SparseVector]
    dense: list[array[float]]

    @property
    def weight(self) -> int:
        """Approximate size in characters; 1,000 for each passage stand for its fields and vectors."""
        return 1000 + sum(1000 + len(passage.text) for passage in self.passages)

    def indexed(self) -> list[IndexedPassage]:
        """The passages with their vectors, in the form that the index takes."""
        parts = zip(self.passages, self.dense, self.sparse, strict=True)
        return [IndexedPassage(passage=passage, dense=dense, sparse=sparse) for passage, dense, sparse in parts]


class PassageWriter:
    """Writes changes to an index. ``step`` is called in the event loop after every piece of progress."""

    def __init__(self, index: PassageIndex, embeddings: TextEmbeddings, sparse: SparseEncoder, *, window: int) -> None:
        self._index = index
        self._embeddings = embeddings
        self._sparse = sparse
        self._window = window

    async def write(
        self, changes: Generator[Change | None], tally: Tally, step: Callable[[], None] = lambda: None
    ) -> None:
        """Splits, embeds and writes each change as a whole document; ``changes`` is read in a thread.

        A document that cannot be split or embedded is skipped. Raises what ``changes`` raises, ``ModelError`` and
        ``IndexUnavailable``; documents that were not written by then are unchanged in the index.
        """
        prepared, embedded = BoundedQueue[PreparedDocument](AHEAD), BoundedQueue[PreparedDocument](AHEAD)
        reading = asyncio.create_task(self._read(changes, prepared, tally, step))
        embedding = asyncio.create_task(self._embed(prepared, embedded, tally, step))
        writing = [asyncio.create_task(self._write(embedded, tally, step)) for _ in range(WRITERS)]
        try:
            await asyncio.gather(
                embedding, *writing
            )  # before ``reading`` can raise: what was read before it failed is written
            await reading
        finally:
            for task in (reading, embedding, *writing):
                task.cancel()
            # Waits for the cancelled tasks, so that none still writes when the caller continues.
            await asyncio.gather(reading, embedding, *writing, return_exceptions=True)

    async def _read(
        self,
        changes: Generator[Change | None],
        documents: BoundedQueue[PreparedDocument],
        tally: Tally,
        step: Callable[[], None],
    ) -> None:
        try:
            async for prepared in read_in_slices(self._prepare_all(changes, tally)):
                for document in prepared:
                    await documents.put(document, document.weight)
                step()
        finally:
            await documents.close()

    def _prepare_all(self, changes: Generator[Change | None], tally: Tally) -> Generator[PreparedDocument | None]:
        for change in changes:
            yield self._prepare(change, tally) if change else None

    def _prepare(self, change: Change, tally: Tally) -> PreparedDocument | None:
        try:
            passages = split(change.document, window=self._window, count_tokens=self._embeddings.count_tokens)
            sparse = [self._sparse.encode_passage(embedding_text(each), each.language) for each in passages]
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - a document that the splitter cannot handle must not stop the others
            tally.skip(change.document.id, error)
            return None
        return PreparedDocument(change=change, passages=passages, sparse=sparse, dense=[])

    async def _embed(
        self,
        documents: BoundedQueue[PreparedDocument],
        embedded: BoundedQueue[PreparedDocument],
        tally: Tally,
        step: Callable[[], None],
    ) -> None:
        while group := await _next_group(documents):
            for document in await self._with_vectors(group, tally):
                tally.embedded += len(document.passages)
                await embedded.put(document, document.weight)
            step()
        await embedded.close()

    async def _with_vectors(self, group: Sequence[PreparedDocument], tally: Tally) -> Sequence[PreparedDocument]:
        """Embeds a group and returns it; if the group fails, each document is tried alone, and those that fail are skipped."""
        try:
            return await self._embed_group(group)
        except RagError:
            raise
        except Exception as error:  # noqa: BLE001 - one text can break a tokenizer; the others are still embedded
            if len(group) == 1:
                tally.skip(group[0].change.document.id, error)
                return []
            return await self._each_alone(group, tally, error)

    async def _each_alone(
        self, group: Sequence[PreparedDocument], tally: Tally, error: Exception
    ) -> Sequence[PreparedDocument]:
        tally_of_group = Tally()
        embeddable = [document for each in group for document in await self._with_vectors([each], tally_of_group)]
        if not embeddable:  # all failed: then the model is at fault, not the documents, and none is skipped
            raise ModelError(f"the embedding model {self._embeddings.name} failed: {error}") from error
        tally.skipped += tally_of_group.skipped
        return embeddable

    async def _embed_group(self, group: Sequence[PreparedDocument]) -> Sequence[PreparedDocument]:
        passages = [passage for document in group for passage in document.passages]
        vectors = [vector for batch in _batches(passages) for vector in await self._vectors(batch)]
        rest = iter(vectors)
        for document in group:
            document.dense = [next(rest) for _ in document.passages]
        return group

    async def _vectors(self, passages: Sequence[Passage]) -> list[array[float]]:
        vectors = await self._embeddings.aembed_documents([embedding_text(passage) for passage in passages])
        return [array("f", vector) for vector in vectors]

    async def _write(self, documents: BoundedQueue[PreparedDocument], tally: Tally, step: Callable[[], None]) -> None:
        while prepared := await documents.get():
            document = prepared.change.document
            await self._index.replace(document.id, document.source, prepared.change.digest, prepared.indexed())
            tally.written[document.id] = len(prepared.passages)
            step()


async def _next_group(documents: BoundedQueue[PreparedDocument]) -> list[PreparedDocument]:
    """The next documents with ``GROUP`` passages together, or fewer after ``LINGER`` seconds; empty at the end."""
    group: list[PreparedDocument] = []
    passages, until = 0, monotonic() + LINGER
    while passages < GROUP:
        try:
            async with asyncio.timeout(max(0.0, until - monotonic()) if group else None):
                document = await documents.get()
        except TimeoutError:
            break
        if document is None:
            break
        until = until if group else monotonic() + LINGER
        group.append(document)
        passages += len(document.passages)
    return group


def _batches(passages: Sequence[Passage]) -> list[Sequence[Passage]]:
    """Splits passages into batches of equal size, about ``GROUP`` each: one large document can have thousands."""
    count = max(1, round(len(passages) / GROUP))
    size = -(-len(passages) // count)
    return [passages[start : start + size] for start in range(0, len(passages), size)] if passages else []
