"""One suite for every passage index: Qdrant Edge, the loopback server, and the one in COTORRA_TEST_QDRANT_URL."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import qdrant_edge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import AsyncQdrantClient

from rag.retrieval import edge, records, server
from rag.retrieval.edge import EdgeIndex
from rag.retrieval.index import IndexedPassage, PassageIndex
from rag.retrieval.server import ServerIndex
from rag.settings import QdrantSettings
from tests.loopback.qdrant import LoopbackQdrant
from tests.rag.indexed import DIMENSION, EAST, NORTH, asked, indexed, passage


class Backend(ABC):
    """A place for one index."""

    @abstractmethod
    def index(self) -> PassageIndex:
        """A further index over the same place, not open yet."""

    @abstractmethod
    async def write_first_step(self, marker: records.Marker, passages: Sequence[IndexedPassage]) -> None:
        """What a replacement wrote when it was killed before its second step. No index is open meanwhile."""

    @abstractmethod
    async def drop(self) -> None:
        """Leave nothing behind."""


class EdgeBackend(Backend):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def index(self) -> PassageIndex:
        return EdgeIndex(self._folder, DIMENSION)

    async def write_first_step(self, marker: records.Marker, passages: Sequence[IndexedPassage]) -> None:
        shard = qdrant_edge.EdgeShard.load(str(self._folder))
        shard.update(qdrant_edge.UpdateOperation.upsert_points(edge.version_points(marker, passages)))
        shard.close()

    async def drop(self) -> None:
        shutil.rmtree(self._folder)


class ServerBackend(Backend):
    def __init__(self, url: str) -> None:
        self.settings = QdrantSettings(url=url, collection=f"test-{secrets.token_hex(4)}")

    def index(self) -> PassageIndex:
        return ServerIndex(self.settings, DIMENSION)

    async def write_first_step(self, marker: records.Marker, passages: Sequence[IndexedPassage]) -> None:
        async with self._client() as client:
            await client.upsert(self.settings.collection, server.version_points(marker, passages), wait=True)

    async def drop(self) -> None:
        async with self._client() as client:
            await client.delete_collection(self.settings.collection)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AsyncQdrantClient]:
        client = AsyncQdrantClient(url=self.settings.url, check_compatibility=False)
        yield client
        await client.close()


@pytest.fixture(scope="module")
def loopback_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LoopbackQdrant(tmp_path_factory.mktemp("qdrant")) as running:
        yield running.url


GIVEN = os.environ.get("COTORRA_TEST_QDRANT_URL")


@pytest.fixture(params=["edge", "loopback", *(["server"] if GIVEN else [])])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "edge":
        return EdgeBackend(tmp_path / "index")
    return ServerBackend(GIVEN if GIVEN and request.param == "server" else request.getfixturevalue("loopback_url"))


@pytest.fixture
async def index(backend: Backend) -> AsyncIterator[PassageIndex]:
    opened = backend.index()
    await opened.open()
    yield opened
    await opened.close()
    await backend.drop()


async def found(index: PassageIndex, text: str, **how: object) -> list[str]:
    return [hit.passage.id for hit in await index.search(asked(text, **how))]  # type: ignore[arg-type]


async def test_an_empty_index_finds_and_holds_nothing(index: PassageIndex) -> None:
    assert await index.search(asked("slack")) == []
    assert await index.passages("a.md") == []
    assert await index.documents("handbook") == {}
    assert await index.count() == 0


async def test_a_passage_comes_back_as_it_went_in(index: PassageIndex) -> None:
    written = passage("a.md", 0, "Connect Slack")
    await index.replace("a.md", "handbook", "d1", [indexed(written)])
    (hit,) = await index.search(asked("slack"))
    assert hit.passage == written
    assert await index.passages("a.md") == [written]


async def test_passages_of_a_document_come_in_reading_order(index: PassageIndex) -> None:
    written = [passage("a.md", position, f"part {position}") for position in range(12)]
    await index.replace("a.md", "handbook", "d1", [indexed(each) for each in reversed(written)])
    assert await index.passages("a.md") == written


async def test_words_find_what_meaning_does_not_and_the_reverse(index: PassageIndex) -> None:
    await index.replace("words.md", "handbook", "d1", [indexed(passage("words.md", 0, "slack"), EAST)])
    await index.replace("sense.md", "handbook", "d1", [indexed(passage("sense.md", 0, "messenger"), NORTH)])
    hits = {hit.passage.document: hit for hit in await index.search(asked("slack", dense=NORTH))}
    assert hits.keys() == {"words.md", "sense.md"}
    assert hits["sense.md"].dense == pytest.approx(1)
    assert hits["words.md"].dense == pytest.approx(0)
    assert 0 < hits["sense.md"].fused < hits["words.md"].fused <= 1


async def test_a_rare_word_outweighs_a_frequent_one(index: PassageIndex) -> None:
    frequent = [indexed(passage("a.md", at, "bot bot bot"), EAST) for at in range(9)]
    await index.replace("a.md", "handbook", "d1", frequent)
    await index.replace("b.md", "handbook", "d1", [indexed(passage("b.md", 0, "webhook secret"), NORTH)])
    best = (await index.search(asked("bot webhook", dense=NORTH)))[0]
    assert best.passage.document == "b.md"
    assert best.fused == pytest.approx(1), "first in both legs: by words too, though the other has more of them"


async def test_a_question_without_content_words_is_searched_by_meaning(index: PassageIndex) -> None:
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", 0, "slack"))])
    assert await found(index, "how do I") == ["a.md#0"]


async def test_the_limit_is_kept(index: PassageIndex) -> None:
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", at, "slack")) for at in range(5)])
    assert len(await found(index, "slack", limit=3)) == 3


async def test_only_the_sources_asked_for_are_searched(index: PassageIndex) -> None:
    for source in ("handbook", "wiki"):
        written = passage(f"{source}/a.md", 0, "slack", source=source)
        await index.replace(written.document, source, "d1", [indexed(written)])
    assert await found(index, "slack", sources=frozenset({"wiki"})) == ["wiki/a.md#0"]
    assert await found(index, "slack", sources=frozenset()) == []
    assert len(await found(index, "slack")) == 2


AUDIENCES = st.sampled_from(["public", "employees", "legal", "Ñandú 组"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(AUDIENCES, max_size=8), reading=st.frozensets(AUDIENCES))
async def test_exactly_what_the_audiences_may_read_is_found(
    index: PassageIndex, written: list[str], reading: frozenset[str]
) -> None:
    passages = [passage("a.md", at, "slack", audience=audience) for at, audience in enumerate(written)]
    await index.replace("a.md", "handbook", "d1", [indexed(each) for each in passages])
    allowed = {each.id for each in passages if each.audience in reading}
    assert set(await found(index, "slack", audiences=reading)) == allowed


async def test_hidden_passages_do_not_crowd_out_those_that_may_be_read(index: PassageIndex) -> None:
    hidden = [indexed(passage("a.md", at, "slack slack", audience="legal")) for at in range(60)]
    await index.replace("a.md", "handbook", "d1", hidden)
    await index.replace("b.md", "handbook", "d1", [indexed(passage("b.md", 0, "slack once"), EAST)])
    assert await found(index, "slack", limit=1) == ["b.md#0"]


async def test_a_new_version_leaves_nothing_of_the_old_one(index: PassageIndex) -> None:
    old = [indexed(passage("a.md", at, f"old slack {at}")) for at in range(4)]
    await index.replace("a.md", "handbook", "d1", old)
    await index.replace("a.md", "handbook", "d2", [indexed(passage("a.md", 0, "new slack"))])
    assert [hit.passage.text for hit in await index.search(asked("slack"))] == ["new slack"]
    assert await index.count() == 1
    assert await index.documents("handbook") == {"a.md": "d2"}


async def test_a_document_without_passages_is_remembered(index: PassageIndex) -> None:
    await index.replace("empty.md", "handbook", "d1", [])
    assert await index.documents("handbook") == {"empty.md": "d1"}
    assert await index.passages("empty.md") == []
    assert await index.count() == 0


async def test_documents_are_listed_by_their_source(index: PassageIndex) -> None:
    for source in ("handbook", "wiki"):
        await index.replace(f"{source}/a.md", source, source, [])
    assert await index.documents("wiki") == {"wiki/a.md": "wiki"}


async def test_more_documents_than_a_page_are_all_listed(index: PassageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PAGE", 3)
    for number in range(8):
        await index.replace(f"{number}.md", "handbook", str(number), [])
    assert await index.documents("handbook") == {f"{number}.md": str(number) for number in range(8)}


async def test_removed_documents_are_gone_and_the_others_stay(index: PassageIndex) -> None:
    for name in ("a.md", "b.md", "c.md"):
        await index.replace(name, "handbook", "d1", [indexed(passage(name, 0, "slack"))])
    await index.remove(["a.md", "b.md", "unknown.md"])
    await index.remove([])
    assert await found(index, "slack") == ["c.md#0"]
    assert await index.documents("handbook") == {"c.md": "d1"}


async def test_any_text_of_any_size_survives(index: PassageIndex) -> None:
    odd = "Ñandú 🦜 \x00 \u202e \x1f 你好 " + "slack " * 200_000
    document = "carpeta/página ½.md\n'\"{}"
    await index.replace(document, "handbook", "d1", [indexed(passage(document, 0, odd))])
    assert [each.text for each in await index.passages(document)] == [odd]
    assert await found(index, "slack") == [f"{document}#0"]


async def test_what_was_written_is_there_after_opening_again(backend: Backend, index: PassageIndex) -> None:
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", 0, "slack"))])
    await index.close()
    again = backend.index()
    await again.open()
    assert await found(again, "slack") == ["a.md#0"]
    await again.close()


async def test_an_interrupted_replacement_is_finished_when_the_index_opens(backend: Backend) -> None:
    index = backend.index()
    await index.open()
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", at, "old slack")) for at in range(3)])
    await index.close()
    marker = records.Marker(document="a.md", source="handbook", digest="d2", version=records.next_version([]))
    await backend.write_first_step(marker, [indexed(passage("a.md", 0, "new slack"))])
    again = backend.index()
    await again.open()
    assert [hit.passage.text for hit in await again.search(asked("slack"))] == ["new slack"]
    assert await again.count() == 1
    assert await again.documents("handbook") == {"a.md": "d2"}
    await again.close()
    await backend.drop()


async def test_a_document_that_bears_the_number_of_anothers_old_version_stays(backend: Backend) -> None:
    await (created := backend.index()).open()
    await created.close()
    for document, version in (("a.md", 7), ("a.md", 8), ("b.md", 7)):
        marker = records.Marker(document=document, source="handbook", digest=f"d{version}", version=version)
        await backend.write_first_step(marker, [indexed(passage(document, 0, "slack"))])
    await (index := backend.index()).open()
    assert await index.documents("handbook") == {"a.md": "d8", "b.md": "d7"}
    assert sorted(await found(index, "slack")) == ["a.md#0", "b.md#0"]
    await index.close()
    await backend.drop()


async def test_a_clock_set_back_does_not_bring_an_old_version_back(backend: Backend) -> None:
    await (created := backend.index()).open()
    await created.close()
    ahead = records.Marker(document="a.md", source="handbook", digest="d1", version=records.next_version([]) * 2)
    await backend.write_first_step(ahead, [indexed(passage("a.md", 0, "old slack"))])
    await (index := backend.index()).open()
    await index.replace("a.md", "handbook", "d2", [indexed(passage("a.md", 0, "new slack"))])
    assert [each.text for each in await index.passages("a.md")] == ["new slack"]
    assert await index.count() == 1
    await index.close()
    await backend.drop()


async def test_every_search_during_replacements_sees_one_whole_version(index: PassageIndex) -> None:
    size, rounds = 5, 20

    async def write() -> None:
        for number in range(1, rounds):
            texts = [passage("a.md", at, f"slack version {number}") for at in range(size)]
            await index.replace("a.md", "handbook", str(number), [indexed(each) for each in texts])

    await index.replace(
        "a.md", "handbook", "0", [indexed(passage("a.md", at, "slack version 0")) for at in range(size)]
    )
    writing = asyncio.create_task(write())
    seen = set()
    while not writing.done():
        texts = [hit.passage.text for hit in await index.search(asked("slack", limit=size))]
        assert len(texts) == size
        assert len(set(texts)) == 1
        seen.add(texts[0])
    await writing
    assert len(seen) > 1
