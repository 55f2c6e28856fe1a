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
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import AsyncQdrantClient

from rag.retrieval.index import records
from rag.retrieval.index.edge import writing as edge_writing
from rag.retrieval.index.edge.folder import EdgeFolder
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import Choose, IndexedPassage, IndexQuery, Leg, Match, PassageIndex, Scope
from rag.retrieval.index.server import writing as server_writing
from rag.retrieval.index.server.passages import ServerIndex
from rag.settings import QdrantSettings
from rag.types import Passage
from tests.loopback.qdrant import LoopbackQdrant
from tests.rag.indexed import (
    DIMENSION,
    EAST,
    EVERYONE,
    NORTH,
    SPARSE,
    all_of,
    asked,
    first,
    indexed,
    passage,
    search,
)


class Backend(ABC):
    """A place for one index."""

    @abstractmethod
    def index(self) -> PassageIndex:
        """A further index over the same place, not open yet."""

    @abstractmethod
    async def write_first_step(self, marker: records.Marker, passages: Sequence[IndexedPassage]) -> None:
        """What a replacement wrote when it was killed before its second step. No index is open meanwhile."""

    @abstractmethod
    async def write_waiting(self, marker: records.Marker, passages: Sequence[IndexedPassage]) -> None:
        """What a long document's replacement wrote when it was killed in its first step."""

    @abstractmethod
    def index_of_small_steps(self) -> PassageIndex:
        """As :meth:`index`, but a document of a few passages is a long one to it."""

    @abstractmethod
    async def write_documents(self, markers: Sequence[records.Marker]) -> None:
        """Documents without passages, all at once. No index is open meanwhile."""

    @abstractmethod
    async def drop(self) -> None:
        """Leave nothing behind."""


class EdgeBackend(Backend):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def index(self) -> PassageIndex:
        return EdgeIndex(self._folder, DIMENSION)

    async def write_first_step(self, marker: records.Marker, passages: Sequence[IndexedPassage]) -> None:
        shard, _ = EdgeFolder(self._folder, DIMENSION).open()
        edge_writing.write(shard, edge_writing.version_points(marker, passages))
        shard.close()

    async def write_waiting(self, marker: records.Marker, passages: Sequence[IndexedPassage]) -> None:
        shard, _ = EdgeFolder(self._folder, DIMENSION).open()
        edge_writing.write(shard, edge_writing.passage_points(marker, passages, waiting=True))
        shard.close()

    def index_of_small_steps(self) -> PassageIndex:
        return EdgeIndex(self._folder, DIMENSION, at_once=2)

    async def write_documents(self, markers: Sequence[records.Marker]) -> None:
        shard, _ = EdgeFolder(self._folder, DIMENSION).open()
        edge_writing.write(shard, [point for each in markers for point in edge_writing.version_points(each, [])])
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
            await client.upsert(self.settings.collection, server_writing.version_points(marker, passages), wait=True)

    async def write_waiting(self, marker: records.Marker, passages: Sequence[IndexedPassage]) -> None:
        async with self._client() as client:
            points = list(server_writing.passage_points(marker, passages, waiting=True))
            await client.upsert(self.settings.collection, points, wait=True)

    def index_of_small_steps(self) -> PassageIndex:
        return ServerIndex(self.settings, DIMENSION, request_bytes=3000)

    async def write_documents(self, markers: Sequence[records.Marker]) -> None:
        async with self._client() as client:
            points = [server_writing.marker_point(each) for each in markers]
            await client.upsert(self.settings.collection, points, wait=True)

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


@pytest.fixture
async def slow(backend: Backend) -> AsyncIterator[PassageIndex]:
    """An index that writes documents of a few passages bit by bit."""
    opened = backend.index_of_small_steps()
    await opened.open()
    yield opened
    await opened.close()
    await backend.drop()


async def found(index: PassageIndex, text: str, choose: Choose = all_of, **scope: frozenset[str]) -> list[str]:
    query = asked(text, scope=Scope(**({"audiences": EVERYONE} | scope)))
    return [hit.passage.id for hit in await index.search(query, choose)]


async def matched(index: PassageIndex, *legs: Leg, candidates: int = 40) -> list[list[Match]]:
    """What a choice is made from."""
    seen: list[list[Match]] = []

    def look(matches: Sequence[Sequence[Match]]) -> list[str]:
        seen.extend(list(leg) for leg in matches)
        return []

    query = IndexQuery(legs=legs, scope=Scope(audiences=EVERYONE), candidates=candidates)
    assert await index.search(query, look) == []
    return seen


def words(text: str) -> Leg:
    return Leg(sparse=SPARSE.encode_query(text, "en"))


async def test_an_empty_index_finds_and_holds_nothing(index: PassageIndex) -> None:
    assert await search(index, asked("slack")) == []
    assert await index.passages("a.md") == []
    assert await index.documents("handbook") == {}
    assert await index.count() == 0


async def test_a_passage_comes_back_as_it_went_in(index: PassageIndex) -> None:
    written = passage("a.md", 0, "Connect Slack")
    await index.replace("a.md", "handbook", "d1", [indexed(written)])
    (hit,) = await search(index, asked("slack"))
    assert hit.passage == written
    assert await index.passages("a.md") == [written]


async def test_passages_of_a_document_come_in_reading_order(index: PassageIndex) -> None:
    written = [passage("a.md", position, f"part {position}") for position in range(12)]
    await index.replace("a.md", "handbook", "d1", [indexed(each) for each in reversed(written)])
    assert await index.passages("a.md") == written


async def test_an_excerpt_has_the_positions_asked_for_in_reading_order(index: PassageIndex) -> None:
    written = [passage("a.md", position, f"part {position}") for position in range(12)]
    await index.replace("a.md", "handbook", "d1", [indexed(each) for each in reversed(written)])
    await index.replace("b.md", "handbook", "d1", [indexed(passage("b.md", 3, "of another page"))])
    everyone = Scope(audiences=EVERYONE)
    assert await index.excerpt("a.md", range(3, 6), everyone) == written[3:6]
    assert await index.excerpt("a.md", range(10, 40), everyone) == written[10:]
    assert await index.excerpt("a.md", range(4, 4), everyone) == []
    assert await index.excerpt("nowhere.md", range(9), everyone) == []


async def test_an_excerpt_hides_what_the_scope_hides(index: PassageIndex) -> None:
    written = [passage("a.md", at, "slack", audience="legal" if at == 1 else "public") for at in range(3)]
    await index.replace("a.md", "handbook", "d1", [indexed(each) for each in written])
    assert await index.excerpt("a.md", range(3), Scope(audiences=EVERYONE)) == [written[0], written[2]]
    assert await index.excerpt("a.md", range(3), Scope(audiences=frozenset())) == []
    assert await index.excerpt("a.md", range(3), Scope(audiences=EVERYONE, tenants=frozenset({"acme"}))) == []


async def test_an_excerpt_is_of_the_newest_version(index: PassageIndex) -> None:
    for word in ("former", "latter"):
        await index.replace("a.md", "handbook", word, [indexed(passage("a.md", at, word)) for at in range(3)])
    assert [each.text for each in await index.excerpt("a.md", range(1, 3), Scope(audiences=EVERYONE))] == ["latter"] * 2


async def test_each_leg_gives_its_own_matches_best_first_with_their_scores(index: PassageIndex) -> None:
    await index.replace("words.md", "handbook", "d1", [indexed(passage("words.md", 0, "slack"), EAST)])
    await index.replace("sense.md", "handbook", "d1", [indexed(passage("sense.md", 7, "messenger"), NORTH)])
    meaning, spelling, other = await matched(index, Leg(dense=NORTH), words("slack"), Leg(dense=EAST))
    assert [match.document for match in meaning] == ["sense.md", "words.md"]
    assert [match.score for match in meaning] == pytest.approx([1, 0])
    assert [match.document for match in spelling] == ["words.md"]
    assert spelling[0].score > 0
    assert [match.document for match in other] == ["words.md", "sense.md"]
    assert [match.key for match in other] == [meaning[1].key, meaning[0].key]
    assert (meaning[0].position, meaning[1].position) == (7, 0)
    assert min(match.version for match in meaning) > 0


async def test_a_rare_word_outweighs_a_frequent_one(index: PassageIndex) -> None:
    frequent = [indexed(passage("a.md", at, "bot bot bot"), EAST) for at in range(9)]
    await index.replace("a.md", "handbook", "d1", frequent)
    await index.replace("b.md", "handbook", "d1", [indexed(passage("b.md", 0, "webhook secret"), NORTH)])
    (spelling,) = await matched(index, words("bot webhook"))
    assert spelling[0].document == "b.md"
    assert spelling[0].score > spelling[1].score


async def test_a_leg_gives_no_more_than_its_candidates(index: PassageIndex) -> None:
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", at, "slack")) for at in range(9)])
    meaning, spelling = await matched(index, Leg(dense=NORTH), words("slack"), candidates=4)
    assert (len(meaning), len(spelling)) == (4, 4)


async def test_a_query_without_legs_and_a_leg_without_words_find_nothing(index: PassageIndex) -> None:
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", 0, "slack"))])
    assert await matched(index) == []
    assert [len(leg) for leg in await matched(index, words("how do I"), Leg(dense=NORTH), words("the"))] == [0, 1, 0]


@pytest.mark.parametrize("given", [{}, {"dense": NORTH, "sparse": SPARSE.encode_query("slack", "en")}])
def test_a_leg_that_is_not_one_search_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either by meaning or by words"):
        Leg(**given)


async def test_what_is_chosen_comes_in_the_order_of_the_choice_and_once(index: PassageIndex) -> None:
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", at, "slack")) for at in range(5)])

    def backwards(legs: Sequence[Sequence[Match]]) -> list[str]:
        return [match.key for match in sorted(legs[0], key=lambda match: -match.position) for _ in range(2)]

    assert await found(index, "slack", backwards) == [f"a.md#{at}" for at in (4, 3, 2, 1, 0)]


async def test_neighbours_come_along_in_reading_order_as_far_as_the_document_goes(index: PassageIndex) -> None:
    written = [passage("a.md", at, "slack" if at in {1, 5} else "else") for at in range(7)]
    await index.replace("a.md", "handbook", "d1", [indexed(each) for each in written])
    await index.replace("b.md", "handbook", "d1", [indexed(passage("b.md", 0, "else"))])
    query = IndexQuery(legs=(words("slack"),), scope=Scope(audiences=EVERYONE), candidates=9, reach=2)
    hits = {hit.passage.position: hit for hit in await search(index, query)}
    assert hits.keys() == {1, 5}
    assert [each.position for each in hits[1].before] == [0]
    assert list(hits[1].after) == written[2:4]
    assert list(hits[5].before) == written[3:5]
    assert [each.position for each in hits[5].after] == [6]


async def test_a_neighbour_for_others_hides_what_is_behind_it_too(index: PassageIndex) -> None:
    kept = {0: "legal", 4: "legal"}
    written = [passage("a.md", at, "slack" if at == 2 else "else", audience=kept.get(at, "public")) for at in range(6)]
    await index.replace("a.md", "handbook", "d1", [indexed(each) for each in written])
    query = IndexQuery(legs=(words("slack"),), scope=Scope(audiences=EVERYONE), candidates=9, reach=3)
    (hit,) = await search(index, query)
    assert list(hit.before) == [written[1]]
    assert list(hit.after) == [written[3]]


async def test_a_question_without_content_words_is_searched_by_meaning(index: PassageIndex) -> None:
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", 0, "slack"))])
    assert await found(index, "how do I") == ["a.md#0"]


async def test_the_limit_is_kept(index: PassageIndex) -> None:
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", at, "slack")) for at in range(5)])
    assert len(await found(index, "slack", first(3))) == 3


async def test_only_the_sources_asked_for_are_searched(index: PassageIndex) -> None:
    for source in ("handbook", "wiki"):
        written = passage(f"{source}/a.md", 0, "slack", source=source)
        await index.replace(written.document, source, "d1", [indexed(written)])
    assert await found(index, "slack", sources=frozenset({"wiki"})) == ["wiki/a.md#0"]
    assert await found(index, "slack", sources=frozenset()) == []
    assert len(await found(index, "slack")) == 2


async def test_only_the_languages_and_tenants_asked_for_are_searched(index: PassageIndex) -> None:
    for document, kind in {"es": {"language": "es"}, "en": {}, "acme": {"tenant": "acme"}}.items():
        await index.replace(document, "handbook", "d1", [indexed(passage(document, 0, "slack", **kind))])
    assert await found(index, "slack", languages=frozenset({"es"})) == ["es#0"]
    assert await found(index, "slack", languages=frozenset()) == []
    assert sorted(await found(index, "slack")) == ["en#0", "es#0"], "what belongs to a tenant is nobody else's"
    assert await found(index, "slack", tenants=frozenset({"acme"})) == ["acme#0"]
    assert len(await found(index, "slack", tenants=frozenset({"", "acme"}))) == 3
    assert await found(index, "slack", tenants=frozenset()) == []


AUDIENCES = st.sampled_from(["public", "employees", "legal", "Ñandú 组"])
TENANTS = st.sampled_from(["", "acme", "Ñandú"])
LANGUAGES = st.sampled_from(["en", "es", "zh"])
SOURCES = st.sampled_from(["handbook", "wiki"])
KIND = st.tuples(AUDIENCES, TENANTS, LANGUAGES)
SCOPES = st.builds(
    Scope,
    audiences=st.frozensets(AUDIENCES),
    tenants=st.frozensets(TENANTS),
    languages=st.none() | st.frozensets(LANGUAGES),
    sources=st.none() | st.frozensets(SOURCES),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.dictionaries(SOURCES, st.lists(KIND, max_size=8)), scope=SCOPES, reach=st.integers(0, 3))
async def test_exactly_what_the_scope_holds_is_found_and_no_neighbour_that_it_hides(
    index: PassageIndex,
    written: dict[str, list[tuple[str, str, str]]],
    scope: Scope,
    reach: int,
) -> None:
    everything: dict[str, Passage] = {}
    await index.remove(["handbook", "wiki"])
    for source, kinds in written.items():
        passages = [
            passage(source, at, "slack", audience=audience, tenant=tenant, language=language, source=source)
            for at, (audience, tenant, language) in enumerate(kinds)
        ]
        await index.replace(source, source, "d1", [indexed(each) for each in passages])
        everything |= {each.id: each for each in passages}
    hits = await search(index, asked("slack", scope=scope, reach=reach))
    assert {hit.passage.id for hit in hits} == {each.id for each in everything.values() if inside(scope, each)}
    for hit in hits:
        assert all(scope.may_read(each.audience, each.tenant) for each in (*hit.before, *hit.after))
        around = [each.position - hit.passage.position for each in (*hit.before, *hit.after)]
        assert around == [*range(-len(hit.before), 0), *range(1, len(hit.after) + 1)]
        assert max(len(hit.before), len(hit.after)) <= reach


def inside(scope: Scope, each: Passage) -> bool:
    return (
        scope.may_read(each.audience, each.tenant)
        and (scope.sources is None or each.source in scope.sources)
        and (scope.languages is None or each.language in scope.languages)
    )


async def test_hidden_passages_do_not_crowd_out_those_that_may_be_read(index: PassageIndex) -> None:
    hidden = [indexed(passage("a.md", at, "slack slack", audience="legal")) for at in range(60)]
    await index.replace("a.md", "handbook", "d1", hidden)
    await index.replace("b.md", "handbook", "d1", [indexed(passage("b.md", 0, "slack once"), EAST)])
    assert await found(index, "slack", first(1)) == ["b.md#0"]


async def test_a_new_version_leaves_nothing_of_the_old_one(index: PassageIndex) -> None:
    old = [indexed(passage("a.md", at, f"old slack {at}")) for at in range(4)]
    await index.replace("a.md", "handbook", "d1", old)
    await index.replace("a.md", "handbook", "d2", [indexed(passage("a.md", 0, "new slack"))])
    assert [hit.passage.text for hit in await search(index, asked("slack"))] == ["new slack"]
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


async def test_more_documents_than_a_page_are_all_listed(backend: Backend, index: PassageIndex) -> None:
    await index.close()
    count = records.PAGE + 1
    await backend.write_documents(
        [
            records.Marker(document=f"{number}.md", source="handbook", digest=str(number), version=7)
            for number in range(count)
        ]
    )
    await (again := backend.index()).open()
    assert await again.documents("handbook") == {f"{number}.md": str(number) for number in range(count)}
    await again.close()


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
    assert [hit.passage.text for hit in await search(again, asked("slack"))] == ["new slack"]
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


async def test_a_document_cut_short_before_its_readers_came_is_found_by_nobody_and_goes(backend: Backend) -> None:
    await (created := backend.index()).open()
    await created.replace("a.md", "handbook", "d1", [indexed(passage("a.md", 0, "old slack"))])
    await created.close()
    begun = records.Marker(document="a.md", source="handbook", digest="d2", version=records.next_version([]))
    await backend.write_waiting(begun, [indexed(passage("a.md", at, "new slack")) for at in range(3)])
    await (index := backend.index()).open()
    assert [hit.passage.text for hit in await search(index, asked("slack", reach=2))] == ["old slack"]
    assert [each.text for each in await index.passages("a.md")] == ["old slack"]
    assert await index.documents("handbook") == {"a.md": "d1"}
    await index.replace("a.md", "handbook", "d3", [indexed(passage("a.md", 0, "newest slack"))])
    assert await index.count() == 1
    await index.close()
    await backend.drop()


async def test_passages_that_nobody_will_ever_read_go_when_the_index_opens(backend: Backend) -> None:
    await (created := backend.index()).open()
    await created.close()
    abandoned = records.Marker(document="a.md", source="handbook", digest="d1", version=7)
    await backend.write_waiting(abandoned, [indexed(passage("a.md", at, "slack")) for at in range(3)])
    await (index := backend.index()).open()
    assert await index.count() == 0
    await index.close()
    await backend.drop()


async def test_a_long_document_is_written_bit_by_bit_and_seen_whole(slow: PassageIndex) -> None:
    size, rounds = 9, 6
    for number in range(rounds):
        texts = [passage("a.md", at, f"slack version {number}") for at in range(size)]
        writing = asyncio.create_task(slow.replace("a.md", "handbook", str(number), [indexed(each) for each in texts]))
        while not writing.done():
            seen = [hit.passage.text for hit in await search(slow, asked("slack"))]
            assert len(seen) in ({size} if number else {0, size})
            assert len(set(seen)) <= 1
        await writing
        assert await slow.passages("a.md") == texts
        assert await slow.documents("handbook") == {"a.md": str(number)}
        assert await slow.count() == size


@pytest.mark.parametrize("size", [1, 9])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(former=st.tuples(AUDIENCES, TENANTS), later=st.tuples(AUDIENCES, TENANTS), scope=SCOPES)
async def test_a_document_that_changes_its_readers_is_never_found_by_those_who_lost_it(
    slow: PassageIndex,
    size: int,
    former: tuple[str, str],
    later: tuple[str, str],
    scope: Scope,
) -> None:
    for audience, tenant in (former, later):
        written = [passage("a.md", at, "slack", audience=audience, tenant=tenant) for at in range(size)]
        await slow.replace("a.md", "handbook", audience, [indexed(each) for each in written])
        hits = await search(slow, asked("slack", scope=scope, reach=2))
        assert len(hits) == (size if inside(scope, written[0]) else 0)
        assert {(hit.passage.audience, hit.passage.tenant) for hit in hits} <= {(audience, tenant)}
    await slow.remove(["a.md"])


def test_two_hosts_that_write_in_one_millisecond_write_two_versions() -> None:
    drawn = {records.next_version([], lambda: 200_000_000_000) for _ in range(50)}
    assert len(drawn) > 40
    assert max(drawn) < 2**53, "engines compare numbers as floats"
    marker = records.Marker(document="a.md", source="handbook", digest="d1", version=max(drawn))
    assert records.next_version([marker], lambda: 200_000_000_000) > max(drawn)


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
        texts = [hit.passage.text for hit in await search(index, asked("slack"), first(size))]
        assert len(texts) == size
        assert len(set(texts)) == 1
        seen.add(texts[0])
    await writing
    assert len(seen) > 1
