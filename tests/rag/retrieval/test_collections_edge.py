"""Collections in folders that one process owns."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import IndexLocked, IndexUnavailable
from rag.retrieval.index.edge.collections import EdgeCollections
from tests.rag.collected import FIRST, SECOND, THIRD, documents, write


async def edge(home: Path) -> EdgeCollections:
    collections = EdgeCollections(home)
    await collections.open()
    return collections


def folders(home: Path) -> set[str]:
    return {each.name for each in (home / "passages").iterdir() if each.is_dir()}


async def test_one_process_owns_the_folders_whatever_recipe_it_has(tmp_path: Path) -> None:
    owner = await edge(tmp_path)
    await owner.index(FIRST)
    second = EdgeCollections(tmp_path)
    with pytest.raises(IndexLocked, match="another Cotorra process owns the passages"):
        await second.open()
    with pytest.raises(IndexUnavailable, match="are not open"):
        await second.index(SECOND)
    await owner.close()
    await second.open()
    await second.close()


async def test_a_switch_leaves_one_folder_and_nothing_of_former_releases(tmp_path: Path) -> None:
    (tmp_path / "index" / "segments").mkdir(parents=True)
    (tmp_path / "index" / "edge_config.json").write_text("{}")  # as version 0.1 left it
    collections = await edge(tmp_path)
    await collections.index(FIRST)
    await collections.index(THIRD)
    assert (tmp_path / "index").exists()
    await collections.switch(SECOND)
    assert folders(tmp_path) == {SECOND.fingerprint}
    assert not (tmp_path / "index").exists()
    await collections.close()


async def test_a_home_of_version_0_1_is_told_once_what_is_read_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "edge_config.json").write_text("{}")
    collections = await edge(tmp_path)
    [told] = [record.getMessage() for record in caplog.records]
    assert "index of version 0.1" in told
    assert "all documents are read anew" in told
    await collections.switch(FIRST)
    await collections.close()
    caplog.clear()
    await (await edge(tmp_path)).close()
    assert not caplog.records


async def test_a_folder_called_index_that_is_no_index_stays(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "notes.txt").write_text("mine")
    collections = await edge(tmp_path)
    await collections.switch(FIRST)
    assert (tmp_path / "index" / "notes.txt").exists()
    await collections.close()


async def test_a_collection_whose_making_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    torn = tmp_path / "passages" / FIRST.fingerprint
    torn.mkdir(parents=True)
    (torn / "edge_config.json").write_text('{"half')
    collections = await edge(tmp_path)
    await write(collections, FIRST, "a.md")
    assert await documents(collections, FIRST) == {"a.md"}
    await collections.close()


async def test_a_deletion_that_was_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "passages" / f"{FIRST.fingerprint}-0123.dropped"
    (left / "segments").mkdir(parents=True)
    await (await edge(tmp_path)).close()
    assert not left.exists()


async def test_a_damaged_pointer_counts_as_none(tmp_path: Path) -> None:
    collections = await edge(tmp_path)
    await write(collections, FIRST, "a.md")
    await collections.switch(FIRST)
    (tmp_path / "passages" / "current.json").write_text('{"embedd')
    assert await collections.serving() is None
    await collections.switch(FIRST)
    assert await collections.serving() == FIRST
    assert await documents(collections, FIRST) == {"a.md"}
    await collections.close()


async def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexUnavailable, match="file/passages failed: Not a directory"):
        await EdgeCollections(tmp_path / "file").open()
