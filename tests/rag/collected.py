"""Recipes, and a Qdrant server for collections of a test's own, for the suites of collections."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag.retrieval.index.collections import Collections, Recipe
from rag.settings import QdrantSettings
from tests.loopback.qdrant import LoopbackQdrant

FIRST = Recipe(embedding="first", dimension=4, window=60, layout=1)
SECOND = Recipe(embedding="second", dimension=5, window=60, layout=1)
THIRD = Recipe(embedding="second", dimension=5, window=60, layout=2)


@contextmanager
def qdrant_server(folder: Path) -> Iterator[QdrantSettings]:
    """The loopback server, or the one in COTORRA_TEST_QDRANT_URL."""
    name = f"test-{secrets.token_hex(4)}"
    if url := os.environ.get("COTORRA_TEST_QDRANT_URL"):
        yield QdrantSettings(url=url, collection=name)
        return
    with LoopbackQdrant(folder) as running:
        yield QdrantSettings(url=running.url, collection=name)


async def write(collections: Collections, recipe: Recipe, document: str) -> None:
    await (await collections.index(recipe)).replace(document, "kb", "digest", [])


async def documents(collections: Collections, recipe: Recipe) -> set[str]:
    return set(await (await collections.index(recipe)).documents("kb"))
