"""A search that meets an old version of a document asks once more, and of the same readers as before."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from rag.retrieval.index import records
from rag.retrieval.index.edge import writing as edge_writing
from rag.retrieval.index.edge.folder import EdgeFolder
from rag.retrieval.index.edge.search import EdgeSearch
from rag.retrieval.index.passages import IndexedPassage, Match, RetrievedPassage
from rag.retrieval.index.server import writing as server_writing
from rag.retrieval.index.server.passages import ServerIndex
from rag.settings import QdrantSettings
from tests.loopback.qdrant import LoopbackQdrant
from tests.rag.indexed import DIMENSION, EAST, all_of, asked, indexed, passage

HIDDEN = [indexed(passage("legal.md", at, "slack slack", audience="legal")) for at in range(60)]
"""More than the candidates of a search, and all of them nearer."""
OLD, NEW = ([indexed(passage("a.md", 0, f"slack, {age}"), EAST)] for age in ("old", "new"))


def versions() -> Sequence[tuple[records.Marker, Sequence[IndexedPassage]]]:
    """A document as a replacement leaves it that is cut short, among one for others."""
    written = (("legal.md", 7, HIDDEN), ("a.md", 7, OLD), ("a.md", 8, NEW))
    return [
        (records.Marker(document=document, source="handbook", digest=f"d{version}", version=version), passages)
        for document, version, passages in written
    ]


class Choice:
    """Takes all; remembers of which documents it was shown matches."""

    def __init__(self) -> None:
        self.shown: list[set[str]] = []

    def __call__(self, legs: Sequence[Sequence[Match]]) -> list[str]:
        self.shown.append({match.document for leg in legs for match in leg})
        return all_of(legs)


def assert_only_the_new_one(found: Sequence[RetrievedPassage], choice: Choice) -> None:
    assert [each.passage.text for each in found] == ["slack, new"]
    assert choice.shown == [{"a.md"}]


def test_in_the_embedded_index(tmp_path: Path) -> None:
    shard, _ = EdgeFolder(tmp_path, DIMENSION).open()
    for marker, passages in versions():
        edge_writing.write(shard, edge_writing.version_points(marker, passages))
    choice = Choice()

    found = EdgeSearch().search(shard, asked("slack"), choice)

    assert_only_the_new_one(found, choice)
    shard.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with LoopbackQdrant(tmp_path) as running:
        yield running.url


async def test_on_a_server(server: str) -> None:
    settings = QdrantSettings(url=server, collection=f"test-{secrets.token_hex(4)}")
    index = ServerIndex(settings, DIMENSION)
    await index.open()
    client = AsyncQdrantClient(url=server, check_compatibility=False)
    for marker, passages in versions():
        points = list(server_writing.version_points(marker, passages))
        await client.upsert(settings.collection, points, wait=True)
    choice = Choice()

    found = await index.search(asked("slack"), choice)

    assert_only_the_new_one(found, choice)
    await client.close()
    await index.close()
