"""Collections on a Qdrant server that many processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient, models

from rag.errors import IndexUnavailable
from rag.retrieval.index.server.collections import ABANDONED, ServerCollections
from rag.retrieval.index.server.passages import ServerIndex
from rag.settings import QdrantSettings
from tests.rag.collected import FIRST, SECOND, THIRD, qdrant_server


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[QdrantSettings]:
    with qdrant_server(tmp_path / "qdrant") as running:
        yield running


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def names(qdrant: QdrantSettings) -> set[str]:
    client = AsyncQdrantClient(url=qdrant.url, check_compatibility=False)
    found = {each.name.removeprefix(f"{qdrant.collection}-") for each in (await client.get_collections()).collections}
    await client.close()
    return found


async def test_a_switch_drops_what_served_but_not_what_another_process_may_be_filling(qdrant: QdrantSettings) -> None:
    clock = Clock()
    ours, theirs = ServerCollections(qdrant, clock), ServerCollections(qdrant, clock)
    await ours.switch(FIRST)
    await theirs.index(THIRD)
    clock.now += ABANDONED - 1
    await ours.switch(SECOND)
    assert await names(qdrant) >= {SECOND.fingerprint, THIRD.fingerprint}
    assert FIRST.fingerprint not in await names(qdrant)
    await theirs.index(THIRD)
    clock.now += ABANDONED - 1
    await ours.switch(SECOND)
    assert THIRD.fingerprint in await names(qdrant), "it was asked for within the day"
    clock.now += 2
    await ours.switch(SECOND)
    assert THIRD.fingerprint not in await names(qdrant)
    await ours.close()
    await theirs.close()


async def test_a_collection_whose_making_was_cut_short_goes_after_a_day(qdrant: QdrantSettings) -> None:
    clock = Clock()
    torn = ServerIndex(qdrant, THIRD.dimension, f"{qdrant.collection}-{THIRD.fingerprint}")
    await torn.open()
    await torn.close()
    ours = ServerCollections(qdrant, clock)
    await ours.switch(FIRST)
    assert THIRD.fingerprint in await names(qdrant)
    clock.now += ABANDONED + 1
    await ours.switch(FIRST)
    assert THIRD.fingerprint not in await names(qdrant)
    await ours.close()


async def test_collections_of_another_name_are_left_alone(qdrant: QdrantSettings) -> None:
    clock = Clock()
    longer = qdrant.model_copy(update={"collection": f"{qdrant.collection}-staging"})
    others = ServerCollections(longer, clock)
    await others.index(FIRST)
    client = AsyncQdrantClient(url=qdrant.url, check_compatibility=False)
    await client.create_collection(
        qdrant.collection, {"dense": models.VectorParams(size=4, distance=models.Distance.COSINE)}
    )
    ours = ServerCollections(qdrant, clock)
    await ours.switch(FIRST)
    clock.now += 2 * ABANDONED
    await ours.switch(SECOND)
    kept = {each.name for each in (await client.get_collections()).collections}
    assert {qdrant.collection, f"{longer.collection}-{FIRST.fingerprint}"} <= kept
    for each in (client, ours, others):
        await each.close()


async def test_all_processes_see_a_switch(qdrant: QdrantSettings) -> None:
    ours, theirs = ServerCollections(qdrant), ServerCollections(qdrant)
    await ours.switch(FIRST)
    assert await theirs.serving() == FIRST
    await theirs.switch(SECOND)
    assert await ours.serving() == SECOND
    await ours.close()
    await theirs.close()


async def test_the_recipe_is_no_passage_and_no_document(qdrant: QdrantSettings) -> None:
    collections = ServerCollections(qdrant)
    index = await collections.index(FIRST)
    assert (await index.count(), await index.sources()) == (0, frozenset())
    await collections.close()


async def test_a_server_that_is_not_there_is_noticed_at_the_start(free_port: int) -> None:
    collections = ServerCollections(QdrantSettings(url=f"http://127.0.0.1:{free_port}"))
    with pytest.raises(IndexUnavailable, match="does not answer"):
        await collections.open()
    await collections.close()
