"""The steps of a sync: read ahead, embedded across documents, written whole; and the same steps through a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from pathlib import Path

import pytest

from rag.errors import KnowledgeError, ModelError, SourceShrank
from rag.knowledge.loaders.sources import Candidate, Unreadable
from rag.knowledge.sync.belt import BoundedQueue, read_in_slices
from rag.knowledge.sync.source import Discover, Synchronizer
from rag.knowledge.sync.survey import Change
from rag.knowledge.sync.writing import GROUP
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.settings import SourceSettings
from tests.rag.fakes import WordEmbeddings
from tests.rag.syncing import NOWHERE, SPARSE, candidate, contents

SOURCE = SourceSettings(name="kb", path=Path("docs"))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[EdgeIndex]:
    opened = EdgeIndex(tmp_path / "index", WordEmbeddings.dimension)
    await opened.open()
    yield opened
    await opened.close()


class Calls(WordEmbeddings):
    """Remembers how many texts it was given at a time; a text with ``poison`` breaks it."""

    def __init__(self, poison: str = "poison") -> None:
        super().__init__()
        self.calls: list[int] = []
        self._poison = poison

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(len(texts))
        if any(self._poison in text for text in texts):
            raise ValueError("a stumble")
        return await super().aembed_documents(texts)


def pages(*says: str, then: Exception | None = None) -> Discover:
    def discover(_: SourceSettings, __: Path) -> Iterator[Candidate | Unreadable]:
        for number, text in enumerate(says):
            yield candidate(f"kb/page{number}.md", says=text)
        if then:
            raise then

    return discover


def long(passages: int) -> str:
    return "\n\n".join(f"# Part {number}\n\n{'word ' * 25}{number}" for number in range(passages))


async def test_documents_are_embedded_together_and_a_large_one_in_several_groups(index: EdgeIndex) -> None:
    embeddings = Calls()
    discover = pages("one", "two", long(3 * GROUP), "three")
    report = await Synchronizer(index, embeddings, SPARSE, discover=discover).sync(SOURCE, NOWHERE)
    assert report.passages == 3 * GROUP + 3
    assert sum(embeddings.calls) == report.passages
    assert max(embeddings.calls) < 1.5 * GROUP
    assert len(embeddings.calls) <= 4
    positions = [each.position for each in await index.passages("kb/page2.md")]
    assert positions == list(range(3 * GROUP))


async def test_a_page_that_breaks_the_embedder_is_skipped_and_its_neighbours_are_not(index: EdgeIndex) -> None:
    synchronizer = Synchronizer(index, Calls(), SPARSE, discover=pages("one", "poison", "two"))
    report = await synchronizer.sync(SOURCE, NOWHERE)
    assert (report.added, [each.document for each in report.skipped]) == (2, ["kb/page1.md"])


async def test_an_embedder_that_fails_at_everything_is_broken(index: EdgeIndex) -> None:
    synchronizer = Synchronizer(index, Calls(poison=""), SPARSE, discover=pages("one", "two"))
    with pytest.raises(ModelError, match="the embedding model words failed: a stumble"):
        await synchronizer.sync(SOURCE, NOWHERE)
    assert await index.count() == 0


async def test_what_was_read_before_a_source_failed_is_kept_and_nothing_is_removed(index: EdgeIndex) -> None:
    await Synchronizer(index, Calls(), SPARSE, discover=pages("a", "b", "c")).sync(SOURCE, NOWHERE)
    failing = pages("a", "changed", then=KnowledgeError("the site is down"))
    with pytest.raises(KnowledgeError, match="the site is down"):
        await Synchronizer(index, Calls(), SPARSE, discover=failing).sync(SOURCE, NOWHERE)
    texts = [(await index.passages(f"kb/page{number}.md"))[0].text for number in range(3)]
    assert texts == ["a", "changed", "c"]


async def test_the_message_of_a_shrunken_source_says_what_was_and_what_was_not_done(index: EdgeIndex) -> None:
    await Synchronizer(index, Calls(), SPARSE, discover=pages(*"abcdefghijkl")).sync(SOURCE, NOWHERE)
    with pytest.raises(SourceShrank) as refused:
        await Synchronizer(index, Calls(), SPARSE, discover=pages("new")).sync(SOURCE, NOWHERE)
    assert str(refused.value) == (
        "source 'kb' lost 11 of its 12 documents at once, which looks like an accident: they stay in the index, while "
        "what is new or changed was written. Check docs; if this is meant: cotorra sync --source kb --allow-shrink"
    )
    assert [each.text for each in await index.passages("kb/page0.md")] == ["new"]
    assert len(await index.documents("kb")) == 12


async def test_through_a_queue_the_index_becomes_the_same(index: EdgeIndex, tmp_path: Path) -> None:
    before, after = pages(*"abcdefgh"), pages("a", "new", "poison", long(5), "e", "f")
    await Synchronizer(index, Calls(), SPARSE, discover=before).sync(SOURCE, NOWHERE)
    surveyor, *workers = (Synchronizer(index, Calls(), SPARSE, discover=after) for _ in range(3))
    survey = await surveyor.survey(SOURCE)
    queued = [change async for change in surveyor.changes(survey, NOWHERE)]
    assert [change.document.id for change in queued] == ["kb/page1.md", "kb/page2.md", "kb/page3.md"]
    for number, change in enumerate(reversed(queued)):
        survey.tally.add(await workers[number % 2].take([change]))
    report = await surveyor.finish(survey)
    assert (report.changed, report.unchanged, report.removed, report.passages) == (2, 3, 2, 6)
    assert [each.reason for each in report.skipped] == ["ValueError: a stumble"]

    alone = EdgeIndex(tmp_path / "alone", WordEmbeddings.dimension)
    await alone.open()
    await Synchronizer(alone, Calls(), SPARSE, discover=before).sync(SOURCE, NOWHERE)
    await Synchronizer(alone, Calls(), SPARSE, discover=after).sync(SOURCE, NOWHERE)
    assert await contents(index) == await contents(alone)
    await alone.close()


async def test_a_change_taken_twice_is_there_once(index: EdgeIndex) -> None:
    document = candidate("kb/page.md").load()
    synchronizer = Synchronizer(index, Calls(), SPARSE)
    for _ in range(2):
        tally = await synchronizer.take([Change(document=document, digest="d")])
        assert tally.written == {"kb/page.md": 1}
    assert await index.count() == 1


async def test_a_belt_holds_so_much_and_lets_a_heavy_item_travel_alone() -> None:
    queue = BoundedQueue[str](10)
    await queue.put("light", 4)
    heavy = asyncio.create_task(queue.put("heavy", 99))
    await asyncio.wait([heavy], timeout=0.01)
    assert not heavy.done()
    assert await queue.get() == "light"
    await heavy
    after = asyncio.create_task(queue.put("after", 1))
    await asyncio.wait([after], timeout=0.01)
    assert not after.done()
    assert await queue.get() == "heavy"
    await after
    await queue.close()
    assert [await queue.get(), await queue.get()] == ["after", None]


async def test_whoever_stops_waiting_at_a_belt_takes_nothing() -> None:
    queue = BoundedQueue[str](10)
    waiting = asyncio.create_task(queue.get())
    await asyncio.wait([waiting], timeout=0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    await queue.put("item", 1)
    assert await queue.get() == "item"


async def test_a_reader_that_is_left_early_is_closed() -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def steps() -> Generator[int | None]:
        try:
            while True:
                yield 1
        finally:
            loop.call_soon_threadsafe(closed.set)

    async def first() -> Sequence[int]:
        found = read_in_slices(steps())
        try:
            return await anext(found)
        finally:
            await found.aclose()  # type: ignore[attr-defined]

    assert await first()
    await asyncio.wait_for(closed.wait(), 10)
