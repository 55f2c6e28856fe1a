"""Which embeddings and which index answer, from the first start through a change of model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rag.errors import IndexUnavailable, ModelError, SourceShrank
from rag.knowledge.sync.source import Synchronizer, recipe_for
from rag.retrieval.embeddings.models import PackagedEmbeddings, SentenceTransformersEmbeddings, TextEmbeddings
from rag.retrieval.index.edge.collections import EdgeCollections
from rag.retrieval.index.passages import PassageIndex
from rag.retrieval.index.server.collections import ServerCollections
from rag.retrieval.serving import REREAD, Serving, named
from rag.settings import EmbeddingSettings, QdrantSettings
from tests.rag import syncing
from tests.rag.collected import qdrant_server
from tests.rag.fakes import WordEmbeddings
from tests.rag.syncing import NOWHERE, SPARSE, embeddings_of, found, recipe_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    for number in range(12):
        (made / f"page{number:02}.md").write_text(f"# Page {number}\n\nThis page is about subject{number}.\n")
    return made


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[QdrantSettings]:
    with qdrant_server(tmp_path / "qdrant") as running:
        yield running


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def on_server(qdrant: QdrantSettings, model: str, clock: Clock) -> Serving:
    embeddings = embeddings_of(model)
    return Serving(ServerCollections(qdrant), embeddings, recipe_for(embeddings), embeddings_of, clock)


async def opened(home: Path, model: str) -> Serving:
    pair = syncing.serving(home, model)
    await pair.open()
    return pair


async def synced(home: Path, model: str, folder: Path) -> Serving:
    pair = await opened(home, model)
    await syncing.sync_fully(pair, model, folder)
    return pair


@pytest.fixture
async def changed(tmp_path: Path, folder: Path) -> AsyncIterator[Serving]:
    """The next start with another model, after a full sync with the first."""
    await (await synced(tmp_path, "first", folder)).close()
    pair = await opened(tmp_path, "second")
    yield pair
    await pair.close()


async def test_the_first_collection_answers_while_it_fills(tmp_path: Path, folder: Path) -> None:
    pair = await opened(tmp_path, "first")
    embeddings, index = await pair.pair()
    assert (embeddings.name, await index.count()) == ("first", 0)
    assert await pair.former() is None
    synchronizer = Synchronizer(await pair.target(), embeddings, SPARSE)
    await synchronizer.sync(syncing.source(folder), NOWHERE)
    assert len(await found(index, embeddings, "subject3")) == 12
    await pair.close()


async def test_the_former_pair_answers_until_the_new_collection_is_complete(changed: Serving, folder: Path) -> None:
    embeddings, index = await changed.pair()
    assert (embeddings.name, await index.count()) == ("first", 12)
    target = await changed.target()
    assert target is not index
    await Synchronizer(target, embeddings_of("second"), SPARSE).sync(syncing.source(folder), NOWHERE)
    assert (await changed.pair())[0].name == "first"
    await changed.complete()
    embeddings, index = await changed.pair()
    assert (embeddings.name, await index.count(), index is target) == ("second", 12, True)
    assert await changed.former() is None


async def test_a_question_that_meets_the_switch_is_asked_again_of_the_new_pair(changed: Serving, folder: Path) -> None:
    asked: list[str] = []

    async def ask(embeddings: TextEmbeddings, index: PassageIndex) -> int:
        asked.append(embeddings.name)
        if len(asked) == 1:  # between the embedding of a question and its search
            await syncing.sync_fully(changed, "second", folder)
        return len(await found(index, embeddings, "subject3"))

    assert await changed.ask(ask) == 12
    assert asked == ["first", "second"]


async def test_readers_see_all_documents_throughout_a_change_of_model(changed: Serving, folder: Path) -> None:
    async def look(embeddings: TextEmbeddings, index: PassageIndex) -> tuple[str, int]:
        return embeddings.name, len(await found(index, embeddings, "subject3"))

    syncing_now = asyncio.create_task(syncing.sync_fully(changed, "second", folder))
    seen = {await changed.ask(look)}
    while not syncing_now.done():
        seen.add(await changed.ask(look))
    seen.add(await changed.ask(look))
    await syncing_now
    assert seen == {("first", 12), ("second", 12)}


async def test_a_model_that_cannot_be_had_any_more_leaves_the_answers_to_the_new_collection(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def load(name: str) -> WordEmbeddings:
        tried.append(name)
        raise ModelError(f"{name} is gone")

    tried: list[str] = []
    await (await synced(tmp_path, "first", folder)).close()
    embeddings = embeddings_of("second")
    pair = Serving(EdgeCollections(tmp_path), embeddings, recipe_for(embeddings), load)
    with caplog.at_level(logging.WARNING):
        await pair.open()
        await pair.pair(fresh=True)
    assert "first is gone" in caplog.text
    assert tried == ["first"], "it is not tried for each question"
    assert (await pair.pair()) == (embeddings, await pair.target())
    await pair.close()


async def test_a_model_of_the_same_name_that_changed_its_width_counts_as_gone(tmp_path: Path, folder: Path) -> None:
    def load(name: str) -> WordEmbeddings:
        embeddings = embeddings_of(name)
        embeddings.dimension = 65
        return embeddings

    await (await synced(tmp_path, "first", folder)).close()
    embeddings = embeddings_of("second")
    pair = Serving(EdgeCollections(tmp_path), embeddings, recipe_for(embeddings), load)
    await pair.open()
    assert (await pair.pair())[0] is embeddings
    await pair.close()


async def test_a_new_layout_keeps_the_loaded_model(tmp_path: Path, folder: Path) -> None:
    await (await synced(tmp_path, "first", folder)).close()
    embeddings = embeddings_of("first")
    embeddings.window = 30
    pair = Serving(EdgeCollections(tmp_path), embeddings, recipe_for(embeddings), lambda _: pytest.fail("loaded again"))
    await pair.open()
    assert (await pair.pair())[0] is embeddings
    assert await pair.former() is not None
    await pair.close()


async def test_a_source_that_shrank_does_not_shrink_unseen_in_a_new_collection(changed: Serving, folder: Path) -> None:
    for number in range(7):
        (folder / f"page{number:02}.md").unlink()
    synchronizer = Synchronizer(await changed.target(), embeddings_of("second"), SPARSE, former=await changed.former())
    with pytest.raises(SourceShrank, match="lost 7 of its 12 documents"):
        await synchronizer.sync(syncing.source(folder), NOWHERE)


async def test_other_processes_follow_a_switch_at_once_when_it_touches_them_and_soon_otherwise(
    qdrant: QdrantSettings, folder: Path
) -> None:
    async def look(embeddings: TextEmbeddings, index: PassageIndex) -> tuple[str, int]:
        return embeddings.name, len(await found(index, embeddings, "subject3"))

    clock = Clock()
    first, reader, newer = (on_server(qdrant, model, clock) for model in ("first", "first", "second"))
    await syncing.sync_fully(first, "first", folder)
    assert await reader.ask(look) == ("first", 12)
    await syncing.sync_fully(newer, "second", folder)
    assert (await reader.pair())[0].name == "first", "it has not looked"
    assert await reader.ask(look) == ("second", 12), "its collection was gone"
    clock.now += REREAD
    assert (await first.pair())[0].name == "second"
    for each in (first, reader, newer):
        await each.close()


async def test_a_change_that_is_taken_back_leaves_nothing(tmp_path: Path, changed: Serving) -> None:
    await changed.target()
    await changed.close()
    pair = await opened(tmp_path, "first")
    assert (await (await pair.pair())[1].count()) == 12
    folders = [each.name for each in (tmp_path / "passages").iterdir() if each.is_dir()]
    assert folders == [recipe_of("first").fingerprint]
    await pair.close()


async def test_a_trouble_that_is_no_switch_is_raised(changed: Serving) -> None:
    async def fail(embeddings: TextEmbeddings, index: PassageIndex) -> None:
        raise IndexUnavailable("the disk is full")

    with pytest.raises(IndexUnavailable, match="the disk is full"):
        await changed.ask(fail)


def test_a_recipe_finds_its_model_by_name() -> None:
    load = named(EmbeddingSettings(model="intfloat/e5-small", batch=7))
    assert isinstance(load("all-MiniLM-L6-v2"), PackagedEmbeddings)
    other = load("BAAI/bge-small-en")
    assert isinstance(other, SentenceTransformersEmbeddings)
    assert other.name == "BAAI/bge-small-en"
