"""Changed documents into the index: split ahead in a thread, embedded in large groups across documents, written whole.

Passages of many documents are embedded together because a batch of like lengths wastes no arithmetic on padding. A
document's vectors are kept as 4-byte floats until all are there: 1.5 KB a passage, an eighth of a list of Python floats.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from time import monotonic

from rag.errors import ModelError, RagError
from rag.knowledge.chunking import embedding_text, split
from rag.knowledge.sync.belt import Belt, sliced
from rag.knowledge.sync.survey import Change, Tally
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.index.passages import IndexedPassage, PassageIndex
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.types import Passage

GROUP = 512
"""Passages embedded together; the embedder lets questions in between its batches."""
LINGER = 2.0
"""Seconds for which passages wait for others to fill a group."""
AHEAD = 4_000_000
"""About the characters that are split and wait to be embedded (four groups), and as many that wait to be written."""
WRITERS = 4
"""Documents written at once: a server's answers take longer than its work."""


@dataclass(slots=True, kw_only=True)
class Cut:
    """A document in passages, with their vectors once they are embedded."""

    change: Change
    passages: Sequence[Passage]
    sparse: Sequence[SparseVector]
    dense: list[array[float]]

    @property
    def weight(self) -> int:
        """About its size in characters."""
        return 1000 + sum(1000 + len(passage.text) for passage in self.passages)

    def indexed(self) -> list[IndexedPassage]:
        """What the index takes."""
        parts = zip(self.passages, self.dense, self.sparse, strict=True)
        return [IndexedPassage(passage=passage, dense=dense, sparse=sparse) for passage, dense, sparse in parts]


class PassageWriter:
    """Writes changes into an index. ``step`` is called in the event loop whenever something has been done."""

    def __init__(self, index: PassageIndex, embeddings: TextEmbeddings, sparse: SparseEncoder, *, window: int) -> None:
        self._index = index
        self._embeddings = embeddings
        self._sparse = sparse
        self._window = window

    async def write(
        self, changes: Generator[Change | None], tally: Tally, step: Callable[[], None] = lambda: None
    ) -> None:
        """Splits, embeds and writes each change, whole; ``changes`` is read in a thread.

        A document that cannot be split or embedded is skipped. Raises what ``changes`` raises, ``ModelError``,
        ``IndexUnavailable``; what was not written then is still as it was.
        """
        cut, embedded = Belt[Cut](AHEAD), Belt[Cut](AHEAD)
        reading = asyncio.create_task(self._read(changes, cut, tally, step))
        embedding = asyncio.create_task(self._embed(cut, embedded, tally, step))
        writing = [asyncio.create_task(self._write(embedded, tally, step)) for _ in range(WRITERS)]
        try:
            await asyncio.gather(embedding, *writing)  # what was read before a source failed is written too
            await reading
        finally:
            for task in (reading, embedding, *writing):
                task.cancel()
            await asyncio.gather(reading, embedding, *writing, return_exceptions=True)

    async def _read(
        self, changes: Generator[Change | None], cuts: Belt[Cut], tally: Tally, step: Callable[[], None]
    ) -> None:
        try:
            async for found in sliced(self._cuts(changes, tally)):
                for cut in found:
                    await cuts.put(cut, cut.weight)
                step()
        finally:
            await cuts.close()

    def _cuts(self, changes: Generator[Change | None], tally: Tally) -> Generator[Cut | None]:
        for change in changes:
            yield self._cut(change, tally) if change else None

    def _cut(self, change: Change, tally: Tally) -> Cut | None:
        try:
            passages = split(change.document, window=self._window, count_tokens=self._embeddings.count_tokens)
            sparse = [self._sparse.encode_passage(embedding_text(each), each.language) for each in passages]
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - a page that breaks the splitter takes no other down
            tally.skip(change.document.id, error)
            return None
        return Cut(change=change, passages=passages, sparse=sparse, dense=[])

    async def _embed(self, cuts: Belt[Cut], embedded: Belt[Cut], tally: Tally, step: Callable[[], None]) -> None:
        while group := await _gathered(cuts):
            for cut in await self._with_vectors(group, tally):
                tally.embedded += len(cut.passages)
                await embedded.put(cut, cut.weight)
            step()
        await embedded.close()

    async def _with_vectors(self, group: Sequence[Cut], tally: Tally) -> Sequence[Cut]:
        """Those that could be embedded; if the group fails as a whole, each is tried alone."""
        try:
            return await self._embedded(group)
        except RagError:
            raise
        except Exception as error:  # noqa: BLE001 - one text may break a tokenizer: the others are embedded
            if len(group) == 1:
                tally.skip(group[0].change.document.id, error)
                return []
            return await self._each_alone(group, tally, error)

    async def _each_alone(self, group: Sequence[Cut], tally: Tally, error: Exception) -> Sequence[Cut]:
        alone = Tally()
        able = [cut for each in group for cut in await self._with_vectors([each], alone)]
        if not able:
            raise ModelError(f"the embedding model {self._embeddings.name} failed: {error}") from error
        tally.skipped += alone.skipped
        return able

    async def _embedded(self, group: Sequence[Cut]) -> Sequence[Cut]:
        passages = [passage for cut in group for passage in cut.passages]
        vectors = [vector for batch in _batches(passages) for vector in await self._vectors(batch)]
        rest = iter(vectors)
        for cut in group:
            cut.dense = [next(rest) for _ in cut.passages]
        return group

    async def _vectors(self, passages: Sequence[Passage]) -> list[array[float]]:
        vectors = await self._embeddings.aembed_documents([embedding_text(passage) for passage in passages])
        return [array("f", vector) for vector in vectors]

    async def _write(self, cuts: Belt[Cut], tally: Tally, step: Callable[[], None]) -> None:
        while cut := await cuts.get():
            document = cut.change.document
            await self._index.replace(document.id, document.source, cut.change.digest, cut.indexed())
            tally.written[document.id] = len(cut.passages)
            step()


async def _gathered(cuts: Belt[Cut]) -> list[Cut]:
    """Documents with a group's passages together, or fewer if no more come for a while; empty at the end."""
    gathered: list[Cut] = []
    passages, until = 0, monotonic() + LINGER
    while passages < GROUP:
        try:
            async with asyncio.timeout(max(0.0, until - monotonic()) if gathered else None):
                cut = await cuts.get()
        except TimeoutError:
            break
        if cut is None:
            break
        until = until if gathered else monotonic() + LINGER
        gathered.append(cut)
        passages += len(cut.passages)
    return gathered


def _batches(passages: Sequence[Passage]) -> list[Sequence[Passage]]:
    """Of equal size, about ``GROUP`` each: a large document has thousands."""
    count = max(1, round(len(passages) / GROUP))
    size = -(-len(passages) // count)
    return [passages[start : start + size] for start in range(0, len(passages), size)] if passages else []
