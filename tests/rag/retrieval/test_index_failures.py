"""What a reader of the log sees when an index cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from qdrant_client import AsyncQdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from rag.errors import ConfigurationError, IndexLocked, IndexUnavailable
from rag.retrieval.index import records
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.server import writing as server_writing
from rag.retrieval.index.server.passages import ServerIndex
from rag.settings import QdrantSettings
from tests.loopback.qdrant import LoopbackQdrant
from tests.rag.indexed import DIMENSION, asked, first, indexed, passage, search

OWNER = """
import asyncio, sys
from pathlib import Path
from rag.retrieval.index.edge.passages import EdgeIndex

async def own():
    index = EdgeIndex(Path(sys.argv[1]), int(sys.argv[2]))
    await index.open()
    print("owned", flush=True)
    sys.stdin.read()

asyncio.run(own())
"""


async def test_a_folder_that_another_process_owns_is_refused_with_the_way_out(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path / "index"), str(DIMENSION)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "owned\n"
        index = EdgeIndex(tmp_path / "index", DIMENSION)
        with pytest.raises(IndexLocked) as refused:
            await index.open()
        owner.kill()
    assert str(tmp_path / "index") in str(refused.value)
    assert "another Cotorra process owns" in str(refused.value)
    assert "QDRANT_URL" in str(refused.value)
    await index.open()
    await index.close()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexUnavailable, match="file/index failed"):
        await EdgeIndex(tmp_path / "file" / "index", DIMENSION).open()


async def test_an_index_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable, match="is not open"):
        await EdgeIndex(tmp_path, DIMENSION).count()


async def test_edge_refuses_vectors_of_another_model(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path, DIMENSION)
    await index.open()
    await index.close()
    with pytest.raises(ConfigurationError, match=r"embedding\.model does not fit"):
        await EdgeIndex(tmp_path, DIMENSION + 1).open()


async def test_a_server_refuses_vectors_of_another_model(tmp_path: Path) -> None:
    with LoopbackQdrant(tmp_path) as running:
        qdrant = QdrantSettings(url=running.url)
        await ServerIndex(qdrant, DIMENSION).open()
        with pytest.raises(ConfigurationError, match=r"embedding\.model gives vectors of 5 dimensions"):
            await ServerIndex(qdrant, DIMENSION + 1).open()


async def test_a_server_that_is_not_there_is_named_in_one_line_without_credentials(free_port: int) -> None:
    index = ServerIndex(QdrantSettings(url=f"http://user:hush@127.0.0.1:{free_port}"), DIMENSION)
    with pytest.raises(IndexUnavailable) as refused:
        await index.open()
    assert f"http://127.0.0.1:{free_port} does not answer" in str(refused.value)
    assert "hush" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
async def test_a_wrong_key_is_reported_without_the_key(tmp_path: Path) -> None:
    with LoopbackQdrant(tmp_path, api_key="right") as running:
        wrong = QdrantSettings(url=running.url, api_key=SecretStr("hush-hush"))
        with pytest.raises(IndexUnavailable, match="answers 401") as refused:
            await ServerIndex(wrong, DIMENSION).open()
        assert "hush-hush" not in str(refused.value)
        await ServerIndex(QdrantSettings(url=running.url, api_key=SecretStr("right")), DIMENSION).open()


async def test_a_collection_that_vanished_is_reported(tmp_path: Path) -> None:
    with LoopbackQdrant(tmp_path) as running:
        index = ServerIndex(QdrantSettings(url=running.url), DIMENSION)
        with pytest.raises(IndexUnavailable, match="answers 404 Not found: Collection `cotorra`"):
            await search(index, asked("slack"))


@pytest.mark.parametrize("url", [None, "qdrant.example.com", "ftp://qdrant.example.com"])
def test_an_address_that_is_none_is_a_wrong_setting(url: str | None) -> None:
    with pytest.raises(ConfigurationError, match="QDRANT_URL"):
        ServerIndex(QdrantSettings(url=url), DIMENSION)


async def test_a_search_between_the_two_steps_of_another_process_sees_the_new_version_only(tmp_path: Path) -> None:
    with LoopbackQdrant(tmp_path) as running:
        index = ServerIndex(QdrantSettings(url=running.url), DIMENSION)
        await index.open()
        old = [indexed(passage("a.md", at, "old slack")) for at in range(3)]
        await index.replace("a.md", "handbook", "d1", old)
        marker = records.Marker(document="a.md", source="handbook", digest="d2", version=records.next_version([]))
        new = [indexed(passage("a.md", at, "new slack")) for at in range(3)]
        client = AsyncQdrantClient(url=running.url, check_compatibility=False)
        await client.upsert("cotorra", server_writing.version_points(marker, new), wait=True)
        await client.close()
        assert [hit.passage.text for hit in await search(index, asked("slack"), first(3))] == ["new slack"] * 3
        assert [each.text for each in await index.passages("a.md")] == ["new slack"] * 3
        assert await index.documents("handbook") == {"a.md": "d2"}
        assert await index.count() == 3, "listing the documents finished the replacement"
        await index.close()


async def test_the_slower_of_two_processes_leaves_nothing_of_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackQdrant(tmp_path) as running:
        slow, fast = (ServerIndex(QdrantSettings(url=running.url), DIMENSION) for _ in range(2))
        await slow.open()
        upsert = slow._client.upsert

        async def overtaken(*args: Any, **options: Any) -> object:
            await fast.replace("a.md", "handbook", "d2", [indexed(passage("a.md", 0, "fast slack"))])
            return await upsert(*args, **options)

        monkeypatch.setattr(slow._client, "upsert", overtaken)
        await slow.replace("a.md", "handbook", "d1", [indexed(passage("a.md", at, "slow slack")) for at in range(3)])
        assert [each.text for each in await fast.passages("a.md")] == ["fast slack"]
        assert await fast.count() == 1
        await slow.close()
        await fast.close()


async def test_what_edge_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    write = 'await index.replace("a.md", "handbook", "d1", [])'
    script = OWNER.replace("await index.open()", f"await index.open(); {write}")
    command = [sys.executable, "-c", script, str(tmp_path), str(DIMENSION)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "owned\n"
        owner.kill()
    index = EdgeIndex(tmp_path, DIMENSION)
    await index.open()
    assert await index.documents("handbook") == {"a.md": "d1"}
    await index.close()


async def test_a_document_larger_than_a_request_may_be_is_written(tmp_path: Path) -> None:
    with LoopbackQdrant(tmp_path) as running:
        index = ServerIndex(QdrantSettings(url=running.url), DIMENSION)
        await index.open()
        written = [passage("a.md", at, f"{at} " + "x" * 2**20) for at in range(40)]
        await index.replace("a.md", "handbook", "d1", [indexed(each) for each in written])
        assert [each.position for each in await index.passages("a.md")] == list(range(40))
        assert await index.documents("handbook") == {"a.md": "d1"}
        await index.close()


@pytest.mark.parametrize("size", [2, 9])
async def test_whoever_loses_a_document_on_a_server_cannot_find_it_even_if_its_writer_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    with LoopbackQdrant(tmp_path) as running:
        index = ServerIndex(QdrantSettings(url=running.url), DIMENSION, request_bytes=3000)
        await index.open()
        await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", at, "slack")) for at in range(size)])
        await _die_before_the_marker(index, monkeypatch, size)
        assert await search(index, asked("slack")) == []
        assert await index.documents("handbook") == {}, "the next sync writes it anew"
        await index.close()


async def _die_before_the_marker(index: ServerIndex, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The connection breaks with the request that would make the new version count."""
    upsert = index._client.upsert

    async def broken(collection: str, points: list[Any], **options: Any) -> object:
        if any(point.payload["kind"] == records.MARKER for point in points):
            raise ResponseHandlingException(ConnectionError("broken"))
        return await upsert(collection, points, **options)

    narrowed = [indexed(passage("a.md", at, "slack", audience="legal")) for at in range(size)]
    with monkeypatch.context() as patch:
        patch.setattr(index._client, "upsert", broken)
        with pytest.raises(IndexUnavailable, match="does not answer"):
            await index.replace("a.md", "handbook", "d2", narrowed)


async def test_a_server_that_never_holds_still_is_reported_rather_than_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackQdrant(tmp_path) as running:
        index = ServerIndex(QdrantSettings(url=running.url), DIMENSION)
        await index.open()
        await index.replace("a.md", "handbook", "d1", [indexed(passage("a.md", 0, "slack"))])
        retrieve, writes = index._client.retrieve, 0

        async def overtaken(*args: Any, **options: Any) -> object:
            nonlocal writes
            writes += 1
            if writes <= limit:
                await index.replace("a.md", "handbook", str(writes), [indexed(passage("a.md", 0, "newer slack"))])
            return await retrieve(*args, **options)

        monkeypatch.setattr(index._client, "retrieve", overtaken)
        limit = 1
        assert [hit.passage.text for hit in await search(index, asked("slack"))] == ["newer slack"]
        limit = 1000
        with pytest.raises(IndexUnavailable, match="changed in each of 8 searches"):
            await search(index, asked("slack"))
        await index.close()
