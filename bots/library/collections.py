"""The collections of passages as a library uses them: one to write to, and perhaps another that readers still have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rag.knowledge.sync.source import Synchronizer, recipe_for
from rag.knowledge.sync.survey import Change, Tally
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.serving import Serving
from rag.retrieval.sparse import SparseEncoder
from rag.settings import SourceSettings


class ServingShelf:
    """Every call asks for the collection anew: another process may have switched. Raises ``IndexUnavailable``."""

    def __init__(self, serving: Serving, embeddings: TextEmbeddings, sparse: SparseEncoder) -> None:
        self._serving = serving
        self._embeddings = embeddings
        self._sparse = sparse
        self._recipe = recipe_for(embeddings).fingerprint

    @property
    def recipe(self) -> str:
        """The fingerprint of what passages are written for."""
        return self._recipe

    async def synchronizer(self) -> Synchronizer:
        """What reads a source into the collection that is written to."""
        index, former = await self._serving.target(), await self._serving.former()
        return Synchronizer(index, self._embeddings, self._sparse, former=former)

    async def take(self, change: Change) -> Tally:
        """Embeds and writes one document."""
        return await Synchronizer(await self._serving.target(), self._embeddings, self._sparse).take([change])

    async def filling(self) -> bool:
        """Whether readers have another collection until this one is complete."""
        return await self._serving.former() is not None

    async def complete(self) -> None:
        """Readers get the new collection."""
        await self._serving.complete()

    async def withdraw(self, source: SourceSettings) -> None:
        """Removes from the collection that still serves what the source has for other readers by now; a sync writes to the new
        one only."""
        former = await self._serving.former()
        if former is not None:
            readers = (source.audience, source.tenant)
            for document in await former.documents(source.name):
                if any((each.audience, each.tenant) != readers for each in await former.passages(document)):
                    await former.remove([document])

    async def drop_others(self, known: Sequence[str]) -> Mapping[str, int]:
        """Removes what belongs to no known source, from what readers have too; how many documents, by source."""
        dropped: Counter[str] = Counter()
        for index in (await self._serving.target(), await self._serving.former()):
            if index is not None:
                dropped |= Counter(await Synchronizer(index, self._embeddings, self._sparse).drop_others(known))
        return dropped
