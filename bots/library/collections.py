"""The collections of passages that the library writes to.

Usually there is one. After a change of the embedding model there are two: the target, which is being filled, and the former one,
which readers use until the target is complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rag.knowledge.sync.source import Synchronizer, recipe_for
from rag.knowledge.sync.survey import Change, Tally
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.serving import Serving
from rag.retrieval.sparse import SparseEncoder
from rag.settings import SourceSettings


class ServingCollections:
    """The collections that are being served. Methods raise ``IndexUnavailable``.

    Every call looks the collections up again, because another process may have switched to a new one.
    """

    def __init__(self, serving: Serving, embeddings: TextEmbeddings, sparse: SparseEncoder) -> None:
        self._serving = serving
        self._embeddings = embeddings
        self._sparse = sparse
        self._recipe = recipe_for(embeddings).fingerprint

    @property
    def recipe(self) -> str:
        """The fingerprint of the embedding model and the other settings for which passages are written."""
        return self._recipe

    async def synchronizer(self) -> Synchronizer:
        """A synchronizer that reads a source into the target."""
        # The former one tells how many documents the source had, so that a shrunk source is noticed in an empty target too.
        index, former = await self._serving.target(), await self._serving.former()
        return Synchronizer(index, self._embeddings, self._sparse, former=former)

    async def take(self, change: Change) -> Tally:
        """Embeds and writes one changed document."""
        return await Synchronizer(await self._serving.target(), self._embeddings, self._sparse).take([change])

    async def filling(self) -> bool:
        """Whether readers still use the former collection, because the target is not complete."""
        return await self._serving.former() is not None

    async def complete(self) -> None:
        """Switches readers to the target."""
        await self._serving.complete()

    async def withdraw(self, source: SourceSettings) -> None:
        """Removes from the former collection what the source now has for other readers.

        A sync writes to the target only, so the former collection would serve such passages to the old readers until the switch.
        """
        former = await self._serving.former()
        if former is not None:
            readers = (source.audience, source.tenant)
            for document in await former.documents(source.name):
                if any((each.audience, each.tenant) != readers for each in await former.passages(document)):
                    await former.remove([document])

    async def drop_others(self, names: Sequence[str]) -> Mapping[str, int]:
        """Removes from both collections the documents of sources that ``names`` lacks. Returns how many, by source."""
        dropped: Counter[str] = Counter()
        for index in (await self._serving.target(), await self._serving.former()):
            if index is not None:
                # The union takes the larger count: a document in both collections is counted once.
                dropped |= Counter(await Synchronizer(index, self._embeddings, self._sparse).drop_others(names))
        return dropped
