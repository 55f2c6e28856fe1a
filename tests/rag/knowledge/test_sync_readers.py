"""Questions that are asked all the time while documents are swapped, on both back ends."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rag.knowledge.sync.source import Synchronizer
from rag.retrieval.index.collections import Collections
from rag.retrieval.index.edge.collections import EdgeCollections
from rag.retrieval.index.server.collections import ServerCollections
from rag.retrieval.serving import Serving
from rag.settings import SourceSettings
from tests.rag import syncing
from tests.rag.collected import qdrant_server
from tests.rag.syncing import NOWHERE, SPARSE, embeddings_of, recipe_of

DOCUMENTS, SECTIONS, ROUNDS = 8, 4, 6


@pytest.fixture(params=["edge", "server"])
async def serving(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Serving]:
    async def opened(collections: Collections) -> Serving:
        pair = Serving(collections, embeddings_of("words"), recipe_of("words"), embeddings_of)
        await pair.open()
        return pair

    if request.param == "edge":
        pair = await opened(EdgeCollections(tmp_path / "home"))
        yield pair
        await pair.close()
        return
    with qdrant_server(tmp_path / "qdrant") as qdrant:
        pair = await opened(ServerCollections(qdrant))
        yield pair
        await pair.close()


def write(folder: Path, round_: int) -> None:
    for number in range(DOCUMENTS):
        sections = (f"## Section {at}\n\n{'filler ' * 30}round{round_}.\n" for at in range(SECTIONS))
        (folder / f"page{number}.md").write_text(f"# Page {number}\n\n" + "\n".join(sections))


async def test_a_reader_sees_the_old_or_the_new_version_of_a_document_never_a_mixture_or_a_gap(
    serving: Serving, tmp_path: Path
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    source = SourceSettings(name="kb", path=folder)
    embeddings, index = await serving.pair()
    synchronizer = Synchronizer(index, embeddings, SPARSE)
    write(folder, 0)
    await synchronizer.sync(source, NOWHERE)
    seen: dict[str, set[str]] = defaultdict(set)

    async def read() -> None:
        versions: dict[str, list[str]] = defaultdict(list)
        for passage in await syncing.found(index, embeddings, "filler", limit=1000):
            versions[passage.document].append(passage.text.rpartition(" ")[2])
        assert len(versions) == DOCUMENTS, "none is missing"
        for document, words in versions.items():
            assert len(words) == SECTIONS, "each is whole"
            assert len(set(words)) == 1, "no two versions at once"
            seen[document].add(words[0])

    for round_ in range(1, ROUNDS):
        write(folder, round_)
        swapping = asyncio.create_task(synchronizer.sync(source, NOWHERE))
        while not swapping.done():
            await read()
        assert (await swapping).changed == DOCUMENTS
        await read()
    assert all(words == {f"round{round_}." for round_ in range(ROUNDS)} for words in seen.values())
