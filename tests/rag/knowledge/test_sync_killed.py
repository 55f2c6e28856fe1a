"""SIGKILL at random moments of a sync: nothing is lost, nothing is left over, and something whole always serves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
from time import perf_counter

import pytest

from rag.errors import IndexLocked
from rag.knowledge.sync.source import Synchronizer
from rag.retrieval.index.edge.collections import EdgeCollections
from rag.retrieval.index.edge.passages import EdgeIndex
from tests.rag import syncing
from tests.rag.syncing import NOWHERE, SPARSE, contents, embeddings_of, found, recipe_of


def folder_of(tmp_path: Path, random: Random) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(150):
        syncing.write(folder, number, random)
    return folder


def sync_killed_after(seconds: float | None, home: Path, folder: Path, model: str = "words") -> tuple[bool, float]:
    """Whether it was killed before it was done, and how long it took."""
    process, said = syncing.begin(home, folder, model)
    assert said.recv() == "begun"
    begun = perf_counter()
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -9)
    return process.exitcode == -9, perf_counter() - begun


@pytest.mark.slow
async def test_after_fifty_kills_the_index_equals_a_fresh_one(tmp_path: Path) -> None:
    random = Random(1)
    folder, home = folder_of(tmp_path, random), tmp_path / "home"
    _, whole = sync_killed_after(None, tmp_path / "timed", folder)
    killed = 0
    for _ in range(50):
        killed += sync_killed_after(random.uniform(0, 0.7 * whole), home, folder)[0]
        syncing.mutate(folder, random)
    assert killed > 25, "most were still at work"
    survivor = syncing.serving(home, "words")
    await survivor.open()
    await syncing.sync_fully(survivor, "words", folder)
    fresh = EdgeIndex(tmp_path / "fresh", embeddings_of("words").dimension)
    await fresh.open()
    await Synchronizer(fresh, embeddings_of("words"), SPARSE).sync(syncing.source(folder), NOWHERE)
    embeddings, index = await survivor.pair()
    assert await contents(index) == await contents(fresh)
    for text in random.sample(syncing.WORDS, 10):
        assert await found(index, embeddings, text) == await found(fresh, embeddings, text)
    await survivor.close()
    await fresh.close()


@pytest.mark.slow
async def test_killed_while_the_model_is_changed_a_whole_pair_serves(tmp_path: Path) -> None:
    random = Random(2)
    folder, home = folder_of(tmp_path, random), tmp_path / "home"
    _, whole = sync_killed_after(None, home, folder, "first")
    models, served = ("second", "third"), ["first"]
    for attempt in range(30):
        model = models[attempt % 2]
        sync_killed_after(random.uniform(0, 1.3 * whole), home, folder, model)
        pair = syncing.serving(home, model)
        await pair.open()
        embeddings, index = await pair.pair()
        documents = await index.documents("kb")
        assert len(documents) == 150, "what serves is complete"
        assert await found(index, embeddings, "word7")
        served.append(embeddings.name)
        await pair.close()
    kept = [before == after for before, after in pairwise(served)]
    assert len(set(kept)) == 2, "some were killed before the switch, some were not"
    survivor = syncing.serving(home, "first")
    await survivor.open()
    await syncing.sync_fully(survivor, "first", folder)
    assert [each.name for each in (home / "passages").iterdir() if each.is_dir()] == [recipe_of("first").fingerprint], (
        "nothing is left of the others"
    )
    await survivor.close()


async def test_a_second_process_over_the_same_collections_is_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    syncing.write(folder, 1, Random(3))
    owner = EdgeCollections(tmp_path / "home")
    await owner.open()
    process, said = syncing.begin(tmp_path / "home", folder, "words")
    assert said.recv() == "begun"
    process.join()
    assert process.exitcode == 1
    with pytest.raises(IndexLocked, match=r"another Cotorra process owns .* or set QDRANT_URL"):
        await EdgeCollections(tmp_path / "home").open()
    await owner.close()
    process, _ = syncing.begin(tmp_path / "home", folder, "words")
    process.join()
    assert process.exitcode == 0, "the lock goes with its owner"
