"""The service's documents: one source failing leaves the others alone, and nothing that happens here ends the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bots import knowledge
from bots.errors import BotsError
from bots.knowledge import Library, sources
from rag.errors import IndexUnavailable
from rag.knowledge.sync import Synchronizer
from rag.retrieval.edge import EdgeIndex
from rag.retrieval.sparse import SparseEncoder
from rag.settings import KnowledgeSettings, SourceSettings
from tests.rag.fakes import WordEmbeddings


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[EdgeIndex]:
    index = EdgeIndex(tmp_path / "index", WordEmbeddings.dimension)
    await index.open()
    yield index
    await index.close()


def source(folder: Path, name: str, *pages: str) -> SourceSettings:
    for number, page in enumerate(pages):
        file = folder / name / f"{number}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
    return SourceSettings(name=name, path=folder / name)


def library(index: EdgeIndex, *chosen: SourceSettings) -> Library:
    synchronizer = Synchronizer(index, WordEmbeddings(), SparseEncoder())
    return Library(synchronizer, KnowledgeSettings(sources=chosen))


async def test_a_sync_reports_every_source(index: EdgeIndex, tmp_path: Path) -> None:
    both = library(index, source(tmp_path, "a", "# A\n\nOne."), source(tmp_path, "b", "# B\n\nTwo.", "# C\n\nThree."))
    assert [(one.source, one.added, one.error) for one in await both.sync()] == [("a", 1, ""), ("b", 2, "")]
    assert [(one.source, one.added, one.unchanged) for one in await both.sync("b")] == [("b", 0, 2)]


async def test_a_source_that_is_gone_is_reported_and_the_others_are_read(index: EdgeIndex, tmp_path: Path) -> None:
    gone = SourceSettings(name="gone", path=tmp_path / "gone")
    synced = await library(index, gone, source(tmp_path, "b", "# B\n\nTwo.")).sync()
    assert synced[0].error
    assert str(tmp_path / "gone") in synced[0].error
    assert (synced[1].added, synced[1].error) == (1, "")


async def test_what_a_source_left_behind_goes_when_it_is_no_longer_configured(index: EdgeIndex, tmp_path: Path) -> None:
    old, kept = source(tmp_path, "old", "# O\n\nOld."), source(tmp_path, "kept", "# K\n\nKept.")
    await library(index, old, kept).sync()
    synced = await library(index, kept).sync()
    assert [(one.source, one.removed) for one in synced] == [("kept", 0), ("old", 1)]
    assert await index.count() == 1


async def test_an_unknown_name_is_one_line_that_names_the_known_ones(index: EdgeIndex, tmp_path: Path) -> None:
    with pytest.raises(BotsError, match="no knowledge source is called x; sources: a"):
        await library(index, source(tmp_path, "a", "# A\n\nOne.")).sync("x")


async def test_without_any_source_the_line_says_what_to_add(
    index: EdgeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge, "CHECKOUT", tmp_path / "elsewhere")
    with pytest.raises(BotsError, match=r"add a \[\[knowledge.sources\]\] section"):
        await library(index).sync()


def test_without_configuration_the_handbook_is_known() -> None:
    assert [one.name for one in sources(KnowledgeSettings())] == ["handbook"]


async def test_an_index_that_goes_away_is_reported_and_ends_nothing(index: EdgeIndex, tmp_path: Path) -> None:
    class Leaving(EdgeIndex):
        async def documents(self, source: str) -> dict[str, str]:
            raise IndexUnavailable("Qdrant does not answer")

        async def sources(self) -> frozenset[str]:
            raise IndexUnavailable("Qdrant does not answer")

    leaving = Leaving(tmp_path / "other", WordEmbeddings.dimension)
    await leaving.open()
    synced = await library(leaving, source(tmp_path, "a", "# A\n\nOne.")).sync()
    assert {one.error for one in synced} == {"Qdrant does not answer"}
    await leaving.close()
