"""An Edge index leaves deleted points behind: what is found stays the same, during it and after any death."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from rag.errors import IndexUnavailable
from rag.retrieval.index.edge import folder as edge_folder
from rag.retrieval.index.edge import passages as edge
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import Match
from tests.rag.indexed import DIMENSION, asked, first, indexed, passage, search

DOCUMENTS, PASSAGES = 60, 5


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[EdgeIndex]:
    """Every document was written twice."""
    opened = EdgeIndex(tmp_path, DIMENSION, enough=100)
    await opened.open()
    for text in ("old slack", "new slack"):
        for number in range(DOCUMENTS):
            await write(opened, number, text)
    yield opened
    await opened.close()


async def write(index: EdgeIndex, number: int, text: str) -> None:
    passages = [indexed(passage(f"{number}.md", at, f"{text} {number}")) for at in range(PASSAGES)]
    await index.replace(f"{number}.md", "handbook", text, passages)


def shards(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.glob("shard-*"))


def best_by_words(legs: Sequence[Sequence[Match]]) -> list[str]:
    """Equals, in an order that does not depend on where they are stored."""
    return sorted(match.key for match in legs[1] if match.score > 0.99 * legs[1][0].score)


async def everything(index: EdgeIndex) -> dict[str, list[str]]:
    documents = sorted(await index.documents("handbook"))
    return {each: [passage.text for passage in await index.passages(each)] for each in documents}


async def test_settling_leaves_the_deleted_behind_and_changes_nothing_else(index: EdgeIndex, tmp_path: Path) -> None:
    before = await everything(index)
    found = await search(index, asked("slack 7", reach=1), best_by_words)
    assert len(found) == PASSAGES
    await index.settle()
    assert shards(tmp_path) == ["shard-2"]
    assert await everything(index) == before
    assert await search(index, asked("slack 7", reach=1), best_by_words) == found
    await index.settle()
    assert shards(tmp_path) == ["shard-2"], "there is nothing left to leave behind"
    await index.close()
    await index.open()
    assert await everything(index) == before


async def test_an_index_with_little_deleted_stays_as_it_is(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path, DIMENSION)
    await index.open()
    for text in ("old slack", "new slack"):
        await write(index, 0, text)
    await index.settle()
    assert shards(tmp_path) == ["shard-1"]
    await index.close()


async def test_what_was_deleted_before_a_restart_counts_too(index: EdgeIndex, tmp_path: Path) -> None:
    await index.close()
    await index.open()
    await index.settle()
    assert shards(tmp_path) == ["shard-2"]


async def test_searches_and_changes_go_on_while_it_settles(index: EdgeIndex, tmp_path: Path) -> None:
    settling, chance, expected = asyncio.create_task(index.settle()), random.Random(1), await everything(index)
    turns = 0
    while not settling.done():
        number = chance.randrange(DOCUMENTS)
        if turns % 5 == 4:
            await index.remove([f"{number}.md"])
            expected.pop(f"{number}.md", None)
        else:
            await write(index, number, f"turn {turns}")
            expected[f"{number}.md"] = [f"turn {turns} {number}"] * PASSAGES
        hits = await search(index, asked("slack"), first(5))
        assert len(hits) == 5
        turns += 1
    await settling
    assert turns > 5
    assert shards(tmp_path) == ["shard-2"]
    assert await everything(index) == dict(sorted(expected.items()))


async def test_two_that_settle_at_once_settle_once(index: EdgeIndex, tmp_path: Path) -> None:
    await asyncio.gather(index.settle(), index.settle())
    assert shards(tmp_path) == ["shard-2"]


async def test_settling_that_is_given_up_leaves_the_index_as_it_was(index: EdgeIndex, tmp_path: Path) -> None:
    before = await everything(index)
    settling = asyncio.create_task(index.settle())
    while not (tmp_path / "shard-2").exists():
        await index.count()
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    await write(index, 0, "later")
    assert await everything(index) == before | {"0.md": ["later 0"] * PASSAGES}
    await index.close()
    await index.open()
    assert shards(tmp_path) == ["shard-1"], "what was left over is gone"
    await index.settle()
    assert shards(tmp_path) == ["shard-2"]


async def test_closing_an_index_that_settles_is_reported_to_who_waits_for_it(index: EdgeIndex) -> None:
    settling = asyncio.create_task(index.settle())
    await index.count()
    await index.close()
    with pytest.raises(IndexUnavailable, match="is not open"):
        await settling
    await index.open()
    assert len(await everything(index)) == DOCUMENTS


async def test_a_folder_that_died_before_its_first_shard_counted_starts_anew(tmp_path: Path) -> None:
    folder = edge_folder.EdgeFolder(tmp_path, DIMENSION)
    folder.create(1).close()
    (tmp_path / f"{edge_folder.CURRENT}.new").write_text("{")
    index = EdgeIndex(tmp_path, DIMENSION)
    await index.open()
    await write(index, 0, "slack")
    assert await index.count() == PASSAGES
    await index.close()


@pytest.mark.parametrize("size", [2, 3 * edge.SLICE])
async def test_whoever_loses_a_document_cannot_find_it_even_if_the_last_step_fails(tmp_path: Path, size: int) -> None:
    index = EdgeIndex(tmp_path, DIMENSION)
    await index.open()
    await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", at, "slack")) for at in range(size)])
    narrowed = [indexed(passage("a.md", at, "slack", audience="legal")) for at in range(size)]
    # Only the marker, the last that is written, bears the digest; the engine takes no half of a character.
    with pytest.raises(TypeError, match="surrogates not allowed"):
        await index.replace("a.md", "handbook", "\ud800", narrowed)
    assert await search(index, asked("slack")) == []
    assert await index.documents("handbook") == {}, "the next sync writes it anew"
    await index.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from rag.retrieval.index.edge.passages import EdgeIndex
from tests.rag.indexed import DIMENSION
from tests.rag.retrieval.test_edge_settling import write

async def churn():
    index = EdgeIndex(Path(sys.argv[1]), DIMENSION, enough=100)
    await index.open()
    turn = int(sys.argv[2])
    while True:
        settling = asyncio.create_task(index.settle())
        for number in range(60):
            await write(index, number, f"turn {turn}")
            print(f"{number}.md turn {turn} {number}", flush=True)
        await settling
        turn += 1

asyncio.run(churn())
"""


@pytest.mark.slow
async def test_sigkill_at_any_moment_of_settling_leaves_every_acknowledged_version_whole(tmp_path: Path) -> None:
    chance, acknowledged, generations = random.Random(7), dict[str, int](), set[str]()
    for life in range(12):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(1000 * life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(50, 400)):
                document, _, turn, _ = writer.stdout.readline().split()
                acknowledged[document] = int(turn)
            writer.kill()
            for line in writer.stdout:
                if line.endswith("\n"):
                    document, _, turn, _ = line.split()
                    acknowledged[document] = int(turn)
        await _check(tmp_path, acknowledged)
        generations.update(shards(tmp_path))
    assert len(generations) > 1


async def _check(folder: Path, acknowledged: dict[str, int]) -> None:
    index = EdgeIndex(folder, DIMENSION)
    await index.open()
    assert len(shards(folder)) == 1
    held = await everything(index)
    for document, turn in acknowledged.items():
        texts = held[document]
        assert len(texts) == PASSAGES
        assert len(set(texts)) == 1
        assert int(texts[0].split()[1]) >= turn
    await index.close()
