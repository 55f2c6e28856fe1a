"""The collections on a Qdrant server, shared by any number of processes.

Collections are named ``<name>-<fingerprint>``. The alias ``<name>-serving`` points to the one that serves, so one request
switches all processes. A collection's recipe is stored in it as a point, which can be read through the alias (metadata of
collections exists only since Qdrant 1.16). The point also holds the time at which a sync last used the collection: one that
does not serve and was not used for a day is abandoned and may be deleted.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from rag.retrieval.index.collections import Recipe
from rag.retrieval.index.server.client import MISSING, connect, mapped_errors
from rag.retrieval.index.server.passages import ServerIndex
from rag.settings import QdrantSettings

RECIPE = "recipe"
POINT = str(UUID(int=0x0C0707A))
ABANDONED = 24 * 3600
"""Seconds. So two processes with different settings (a rolling upgrade) do not delete what the other is filling."""


class ServerCollections:
    """The collections of one name. ``clock`` returns seconds since 1970."""

    def __init__(self, settings: QdrantSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._alias = f"{settings.collection}-serving"
        self._client = connect(settings)
        self._open: dict[str, ServerIndex] = {}
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """Sends one request, so that a missing server is noticed now."""
        await self.serving()

    async def serving(self) -> Recipe | None:
        """The recipe in the collection behind the alias; None if there is no alias."""
        payload = await self._recipe_point(self._alias)
        return None if payload is None else Recipe.from_json(json.dumps(payload))

    async def index(self, recipe: Recipe) -> ServerIndex:
        """The index on the recipe's collection, which is created again if another process has dropped it."""
        async with self._changing:
            name = self._name(recipe)
            if name in self._open and await self._touch(name, recipe):
                return self._open[name]
            index = self._open.pop(name, None) or ServerIndex(self._settings, recipe.dimension, name)
            await index.open()
            await self._touch(name, recipe)
            self._open[name] = index
            return index

    async def switch(self, recipe: Recipe) -> None:
        """Moves the alias, then deletes the collection to which it pointed and all abandoned ones."""
        await self.index(recipe)
        async with self._changing:
            former = await self.serving()
            if former != recipe:
                await self._point_alias_to(self._name(recipe), moved=former is not None)
                if await self.serving() != recipe:  # another process has switched since; it deletes the old ones
                    return
            for name in await self._others(recipe):
                if (former and name == self._name(former)) or await self._is_abandoned(name):
                    await self._drop(name)

    async def close(self) -> None:
        """Closes the connections."""
        async with self._changing:
            while self._open:
                await self._open.popitem()[1].close()
            await self._client.close()

    def _name(self, recipe: Recipe) -> str:
        return f"{self._settings.collection}-{recipe.fingerprint}"

    async def _touch(self, name: str, recipe: Recipe) -> bool:
        """Writes recipe and time into the collection; False if the collection does not exist."""
        payload = {"kind": RECIPE, "asked_for": self._clock(), **json.loads(recipe.to_json())}
        return await self._write_point(name, payload)

    async def _write_point(self, name: str, payload: dict[str, Any]) -> bool:
        point = models.PointStruct(id=POINT, vector={}, payload=payload)
        with mapped_errors(self._settings, name):
            try:
                await self._client.upsert(name, [point], wait=True)
            except UnexpectedResponse as error:
                if error.status_code != MISSING:
                    raise
                return False
        return True

    async def _recipe_point(self, name: str) -> dict[str, Any] | None:
        with mapped_errors(self._settings, name):
            try:
                points = await self._client.retrieve(name, [POINT], with_payload=True)
            except UnexpectedResponse as error:
                if error.status_code != MISSING:
                    raise
                return None
        return points[0].payload if points else None

    async def _point_alias_to(self, name: str, *, moved: bool) -> None:
        create = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=name, alias_name=self._alias)
        )
        delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self._alias))
        with mapped_errors(self._settings, name):
            # Both operations in one request: readers never find the alias missing.
            await self._client.update_collection_aliases([delete, create] if moved else [create])

    async def _others(self, recipe: Recipe) -> list[str]:
        ours = re.compile(re.escape(self._settings.collection) + "-[0-9a-f]{12}")
        with mapped_errors(self._settings, self._alias):
            collections = (await self._client.get_collections()).collections
        return [each.name for each in collections if ours.fullmatch(each.name) and each.name != self._name(recipe)]

    async def _is_abandoned(self, name: str) -> bool:
        """Whether a collection may be deleted. One without a recipe may be in creation: it gets the current time first."""
        payload = await self._recipe_point(name)
        if payload is None:
            await self._write_point(name, {"kind": RECIPE, "asked_for": self._clock()})
            return False
        return self._clock() - float(payload.get("asked_for") or 0) > ABANDONED

    async def _drop(self, name: str) -> None:
        with mapped_errors(self._settings, name):
            await self._client.delete_collection(name)
        if index := self._open.pop(name, None):
            await index.close()
