"""The embeddings and the index that questions use now: a question's vector must come from the model that made the index.

With a new recipe the former pair serves until the new collection is complete; the very first one serves while it fills.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rag.errors import IndexUnavailable, ModelError
from rag.retrieval.embeddings.models import SETTINGS, TextEmbeddings, load_embeddings
from rag.retrieval.index.collections import Collections, Recipe
from rag.retrieval.index.passages import PassageIndex
from rag.settings import EmbeddingSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
Pair = tuple[TextEmbeddings, PassageIndex]

REREAD = 5.0
"""Seconds after which a switch by another process is noticed by one that has met no trouble."""


def named(settings: EmbeddingSettings) -> Callable[[str], TextEmbeddings]:
    """What gives the embeddings of a name that a recipe bears, batched as the settings say."""

    def load(name: str) -> TextEmbeddings:
        return load_embeddings(settings.model_copy(update={"model": SETTINGS.get(name, name)}))

    return load


class Serving:
    """The serving pair, and the collection that ``recipe`` asks for.

    ``load`` gives the embeddings that a former recipe names; ``clock`` tells seconds.
    """

    def __init__(
        self,
        collections: Collections,
        embeddings: TextEmbeddings,
        recipe: Recipe,
        load: Callable[[str], TextEmbeddings],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._collections = collections
        self._embeddings = embeddings
        self._recipe = recipe
        self._load = load
        self._clock = clock
        self._pair: Pair | None = None
        self._served: Recipe | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[Pair] | None = None
        self._reading_afresh = False
        self._refused: set[str] = set()

    async def open(self) -> None:
        """Open what serves, or the first collection. Raises ``IndexUnavailable``, ``IndexLocked``, ``ModelError``."""
        await self._collections.open()
        await self.pair(fresh=True)
        if self._served == self._recipe:
            await self._collections.switch(self._recipe)  # drops what a change that was taken back had begun to fill

    async def pair(self, *, fresh: bool = False) -> Pair:
        """Embeddings and index, which belong together; ``fresh`` asks the collections even if that was done just now."""
        if self._pair and not fresh and self._clock() - self._read_at < REREAD:
            return self._pair
        if self._reading is None or self._reading.done() or (fresh and not self._reading_afresh):
            self._reading = asyncio.create_task(self._read(fresh=fresh), name="serving collection")
            self._reading_afresh = fresh
        return await asyncio.shield(self._reading)  # many questions share one look

    async def ask(self, work: Callable[[TextEmbeddings, PassageIndex], Awaitable[T]]) -> T:
        """What ``work`` gives with the serving pair; once more if that collection was replaced and dropped meanwhile."""
        pair = await self.pair()
        try:
            return await work(*pair)
        except IndexUnavailable:
            newer = await self.pair(fresh=True)
            if newer[1] is pair[1]:
                raise
        return await work(*newer)

    async def target(self) -> PassageIndex:
        """The index that a sync writes to: ask anew before each one, another process may have dropped the last."""
        return await self._collections.index(self._recipe)

    async def former(self) -> PassageIndex | None:
        """What serves while ``target`` is being filled; None when the target serves."""
        _, index = await self.pair(fresh=True)
        return None if index is await self.target() else index

    async def complete(self) -> None:
        """The target holds every source now: let it serve, and drop the others. Safe to repeat after every full sync."""
        self._served, self._pair = self._recipe, (self._embeddings, await self.target())
        await self._collections.switch(self._recipe)

    async def close(self) -> None:
        """Close the collections; safe to repeat."""
        if self._reading:
            self._reading.cancel()
        self._pair = None
        await self._collections.close()

    async def _read(self, *, fresh: bool) -> Pair:
        while True:
            recipe = await self._collections.serving() or await self._first()
            if self._pair and recipe == self._served and not fresh:
                self._read_at = self._clock()
                return self._pair
            pair = await self._paired(recipe)
            if await self._collections.serving() == recipe:  # else it was replaced while it was opened
                self._pair, self._served, self._read_at = pair, recipe, self._clock()
                return pair

    async def _first(self) -> Recipe:
        await self._collections.switch(self._recipe)
        return self._recipe

    async def _paired(self, recipe: Recipe) -> Pair:
        embeddings = await self._embeddings_of(recipe)
        if embeddings is None:
            return self._embeddings, await self.target()
        return embeddings, await self._collections.index(recipe)

    async def _embeddings_of(self, recipe: Recipe) -> TextEmbeddings | None:
        """None for a model that cannot be had any more."""
        if recipe.embedding == self._recipe.embedding and recipe.dimension == self._recipe.dimension:
            return self._embeddings
        if recipe.fingerprint in self._refused:
            return None
        if self._pair and self._served == recipe:
            return self._pair[0]
        try:
            return await asyncio.to_thread(self._loaded, recipe)
        except ModelError as error:
            self._refused.add(recipe.fingerprint)
            log.warning("the new collection answers before it is complete, because the former model fails: %s", error)
            return None

    def _loaded(self, recipe: Recipe) -> TextEmbeddings:
        embeddings = self._load(recipe.embedding)
        embeddings.load()
        if embeddings.dimension != recipe.dimension:
            raise ModelError(f"{recipe.embedding} gives {embeddings.dimension} dimensions now, not {recipe.dimension}")
        return embeddings
