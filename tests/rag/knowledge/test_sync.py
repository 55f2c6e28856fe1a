"""Bringing a real Qdrant Edge index up to date with a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.errors import KnowledgeError, ModelError, SourceShrank
from rag.knowledge.loaders.sources import Candidate, Unreadable
from rag.knowledge.sync.source import Synchronizer, SyncReport
from rag.knowledge.sync.survey import SyncProgress
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import Scope
from rag.retrieval.retriever import HybridRetriever, Pair
from rag.retrieval.sparse import SparseEncoder
from rag.settings import RetrievalSettings, SourceSettings
from rag.types import Query
from tests.rag.fakes import WordEmbeddings
from tests.rag.syncing import candidate


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[EdgeIndex]:
    opened = EdgeIndex(tmp_path / "index", WordEmbeddings.dimension)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def embeddings() -> WordEmbeddings:
    return WordEmbeddings()


class Syncing(Synchronizer):
    """Over an index, with a cache folder that no loader of these tests uses."""

    async def sync(self, source: SourceSettings, cache: Path = Path("/nonexistent"), **how: Any) -> SyncReport:
        return await super().sync(source, cache, **how)


@pytest.fixture
def synchronizer(index: EdgeIndex, embeddings: WordEmbeddings) -> Syncing:
    return Syncing(index, embeddings, SparseEncoder())


@pytest.fixture
def source(tmp_path: Path) -> SourceSettings:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(12):
        write(folder, number)
    return SourceSettings(name="kb", path=folder)


def folder_of(source: SourceSettings) -> Path:
    assert source.path
    return source.path


def write(folder: Path, number: int, text: str = "") -> None:
    (folder / f"page{number:02}.md").write_text(f"# Page {number}\n\nThis page is about subject{number}. {text}\n")


async def test_only_what_changed_is_embedded_and_written(
    synchronizer: Syncing, source: SourceSettings, embeddings: WordEmbeddings, index: EdgeIndex
) -> None:
    first = await synchronizer.sync(source)
    assert (first.added, first.passages, await index.count()) == (12, 12, 12)
    embeddings.embedded.clear()
    write(folder_of(source), 3, "It changed.")
    write(folder_of(source), 99)
    (folder_of(source) / "page05.md").unlink()
    second = await synchronizer.sync(source)
    assert (second.added, second.changed, second.removed, second.unchanged) == (1, 1, 1, 10)
    assert sorted(text.split("\n")[0] for text in embeddings.embedded) == ["Page 3", "Page 99"]
    assert [each.text for each in await index.passages("kb/page03.md")] == ["This page is about subject3. It changed."]
    assert await index.passages("kb/page05.md") == []


async def test_a_touched_file_costs_nothing_and_a_new_setting_everything(
    synchronizer: Syncing, source: SourceSettings
) -> None:
    await synchronizer.sync(source)
    (folder_of(source) / "page01.md").touch()
    assert (await synchronizer.sync(source)).unchanged == 12
    restricted = source.model_copy(update={"audience": "employees"})
    assert (await synchronizer.sync(restricted)).changed == 12


async def test_a_source_that_lost_most_of_its_pages_loses_none_in_the_index(
    synchronizer: Syncing, source: SourceSettings, index: EdgeIndex
) -> None:
    await synchronizer.sync(source)
    for number in range(7):
        (folder_of(source) / f"page{number:02}.md").unlink()
    with pytest.raises(SourceShrank, match="'kb' lost 7 of its 12 documents"):
        await synchronizer.sync(source)
    assert await index.count() == 12
    assert (await synchronizer.sync(source, allow_shrink=True)).removed == 7
    assert await index.count() == 5


async def test_a_source_that_is_gone_loses_nothing(
    synchronizer: Syncing, source: SourceSettings, index: EdgeIndex
) -> None:
    await synchronizer.sync(source)
    with pytest.raises(KnowledgeError, match="does not exist"):
        await synchronizer.sync(source.model_copy(update={"path": folder_of(source) / "gone"}))
    assert await index.count() == 12


async def test_a_page_that_became_unreadable_is_reported_and_keeps_its_indexed_version(
    synchronizer: Syncing, source: SourceSettings, index: EdgeIndex
) -> None:
    await synchronizer.sync(source)
    (folder_of(source) / "page04.md").write_bytes(b"\xff\xfe\x00")
    report = await synchronizer.sync(source)
    assert (report.unchanged, report.removed) == (11, 0)
    assert [each.document for each in report.skipped] == ["kb/page04.md"]
    assert len(await index.passages("kb/page04.md")) == 1


async def audiences(index: EdgeIndex) -> set[str]:
    return {passage.audience for document in await index.documents("kb") for passage in await index.passages(document)}


async def test_what_cannot_be_read_again_does_not_stay_open_to_a_former_audience(
    synchronizer: Syncing, source: SourceSettings, index: EdgeIndex
) -> None:
    await synchronizer.sync(source)
    (folder_of(source) / "page04.md").write_bytes(b"\xff\xfe\x00")
    await synchronizer.sync(source.model_copy(update={"audience": "employees"}))
    assert (await audiences(index), await index.count()) == ({"employees"}, 11)
    write(folder_of(source), 4)
    await synchronizer.sync(source)
    assert (await audiences(index), await index.count()) == ({"public"}, 12)


@pytest.mark.parametrize("trouble", ["gone", "shrank", "no model"])
async def test_a_sync_that_fails_leaves_nothing_open_to_a_former_audience(
    synchronizer: Syncing,
    source: SourceSettings,
    index: EdgeIndex,
    trouble: str,
) -> None:
    class NoWeights(WordEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise ModelError("no weights")

    await synchronizer.sync(source)
    restricted = source.model_copy(update={"audience": "employees"})
    if trouble == "gone":
        restricted = restricted.model_copy(update={"path": folder_of(source) / "gone"})
    elif trouble == "shrank":
        for number in range(7):
            (folder_of(source) / f"page{number:02}.md").unlink()
    else:
        synchronizer = Syncing(index, NoWeights(), SparseEncoder())
    with pytest.raises((KnowledgeError, ModelError)):
        await synchronizer.sync(restricted)
    assert await audiences(index) == ({"employees"} if trouble == "shrank" else set())


async def test_a_page_that_breaks_a_parser_takes_no_other_down(index: EdgeIndex, source: SourceSettings) -> None:
    class Stumbling(WordEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            if any("subject6." in text for text in texts):
                raise ValueError("a stumble")
            return super().embed_documents(texts)

    report = await Syncing(index, Stumbling(), SparseEncoder()).sync(source)
    assert report.added == 11
    assert [(each.document, each.reason) for each in report.skipped] == [("kb/page06.md", "ValueError: a stumble")]


async def test_a_model_that_does_not_work_is_raised_not_reported_page_by_page(
    index: EdgeIndex, source: SourceSettings
) -> None:
    class Broken(WordEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise ModelError("no weights")

    with pytest.raises(ModelError):
        await Syncing(index, Broken(), SparseEncoder()).sync(source)


async def test_progress_tells_how_far_it_is_and_ends_with_everything(
    synchronizer: Syncing, source: SourceSettings
) -> None:
    heard: list[SyncProgress] = []
    await synchronizer.sync(source, progress=heard.append)
    (folder_of(source) / "page04.md").write_bytes(b"\xff\xfe\x00")
    write(folder_of(source), 3, "It changed.")
    await synchronizer.sync(source, progress=heard.append)
    first, second = (each for each in heard if each.done == 12)
    assert (first.seen, first.total, first.written, first.embedded) == (12, 12, 12, 12)
    assert (second.total, second.unchanged, second.written, second.skipped, second.embedded) == (12, 10, 1, 1, 1)
    assert second.document == "kb/page11.md"


async def test_a_folder_that_cannot_be_read_keeps_all_that_is_below_it(
    index: EdgeIndex, embeddings: WordEmbeddings, source: SourceSettings
) -> None:
    def all_there(_: SourceSettings, __: Path) -> Iterator[Candidate | Unreadable]:
        return (candidate(f"kb/{folder}/page{number}.md") for folder in ("a", "b") for number in range(3))

    def one_folder_closed(_: SourceSettings, __: Path) -> Iterator[Candidate | Unreadable]:
        yield Unreadable(path="/docs/a", reason="Permission denied", document="kb/a/")
        yield candidate("kb/b/page0.md")

    await Syncing(index, embeddings, SparseEncoder(), discover=all_there).sync(source)
    report = await Syncing(index, embeddings, SparseEncoder(), discover=one_folder_closed).sync(source)
    assert (report.removed, [each.document for each in report.skipped]) == (2, ["kb/a/"])
    assert sorted(await index.documents("kb")) == ["kb/a/page0.md", "kb/a/page1.md", "kb/a/page2.md", "kb/b/page0.md"]


async def test_what_did_not_change_is_not_loaded(
    index: EdgeIndex, embeddings: WordEmbeddings, source: SourceSettings
) -> None:
    def there(_: SourceSettings, __: Path) -> Iterator[Candidate | Unreadable]:
        return (candidate(f"kb/page{number}.md", loaded) for number in range(3))

    loaded: list[str] = []
    synchronizer = Syncing(index, embeddings, SparseEncoder(), discover=there)
    await synchronizer.sync(source)
    assert (await synchronizer.sync(source)).unchanged == 3
    assert loaded == ["kb/page0.md", "kb/page1.md", "kb/page2.md"]


async def test_a_page_under_two_addresses_is_one_document(
    index: EdgeIndex, embeddings: WordEmbeddings, source: SourceSettings
) -> None:
    def twice(_: SourceSettings, __: Path) -> Iterator[Candidate | Unreadable]:
        return (candidate("kb/page.md", says=says) for says in ("first", "second"))

    synchronizer = Syncing(index, embeddings, SparseEncoder(), discover=twice)
    assert (await synchronizer.sync(source)).added == 1
    assert (await synchronizer.sync(source)).unchanged == 1
    assert [each.text for each in await index.passages("kb/page.md")] == ["first"]


async def test_sources_do_not_remove_each_others_pages(
    synchronizer: Syncing, source: SourceSettings, index: EdgeIndex, tmp_path: Path
) -> None:
    await synchronizer.sync(source)
    (tmp_path / "other").mkdir()
    await synchronizer.sync(SourceSettings(name="other", path=tmp_path / "other"))
    assert await index.count() == 12


async def test_a_tenants_source_is_found_by_that_tenant_alone(
    index: EdgeIndex, embeddings: WordEmbeddings, synchronizer: Syncing, source: SourceSettings
) -> None:
    await synchronizer.sync(source.model_copy(update={"tenant": "acme"}))
    retriever = HybridRetriever(
        serving=Pair(embeddings=embeddings, index=index), sparse=SparseEncoder(), settings=RetrievalSettings()
    )

    async def found(*tenants: str) -> int:
        scope = Scope(audiences=frozenset({"public"}), tenants=frozenset({"", *tenants}))
        return len((await retriever.find(Query(text="page number"), scope)).hits)

    assert await found("acme") > 0
    assert (await found(), await found("other")) == (0, 0)


async def test_a_source_whose_tenant_is_kept_is_not_withdrawn(
    index: EdgeIndex, synchronizer: Syncing, source: SourceSettings
) -> None:
    theirs = source.model_copy(update={"tenant": "acme"})
    await synchronizer.sync(theirs)
    before = await index.documents("kb")
    assert (await synchronizer.sync(theirs)).unchanged == len(before)
    assert await index.documents("kb") == before


async def test_a_file_of_several_documents_that_breaks_keeps_them_all(
    index: EdgeIndex, synchronizer: Syncing, tmp_path: Path
) -> None:
    file = tmp_path / "faq.jsonl"
    lines = [
        '{"question": "Late?", "answer": "Yes.", "language": "en"}',
        '{"question": "¿Tarde?", "answer": "Sí.", "language": "es"}',
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    source = SourceSettings(name="kb", path=file)
    await synchronizer.sync(source)
    known = await index.documents("kb")
    file.write_text("\n".join([*lines, "BROKEN LINE"]), encoding="utf-8")
    report = await synchronizer.sync(source)
    assert (len(known), len(report.skipped), report.removed) == (2, 1, 0)
    assert await index.documents("kb") == known
