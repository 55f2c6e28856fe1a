"""What is special of adapters in folders: half-written ones, pointers as files, and a home of version 0.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.models.adapters import WEIGHTS
from tests.tuning.adapters import put
from tuning.errors import AdapterMissing
from tuning.registry.folders import FORMER_POINTER, FolderRegistry


def test_a_half_written_adapter_is_none(tmp_path: Path) -> None:
    (put(tmp_path, "house") / WEIGHTS).unlink()
    registry = FolderRegistry(tmp_path)
    assert registry.names() == []
    with pytest.raises(AdapterMissing, match=rf"no complete adapter 'house' .*there: none.*{WEIGHTS}"):
        registry.named("house")


def test_a_folder_beside_the_adapters_is_out_of_reach(tmp_path: Path) -> None:
    put(tmp_path / "adapters", "house")
    put(tmp_path, "outside")
    with pytest.raises(AdapterMissing, match=r"'\.\./outside' .*there: house"):
        FolderRegistry(tmp_path / "adapters").named("../outside")


def test_each_task_has_a_pointer_that_a_person_can_read_and_no_draft_stays(tmp_path: Path) -> None:
    put(tmp_path, "house")
    registry = FolderRegistry(tmp_path)
    registry.promote("chat", "house")
    registry.promote("read", "house")
    assert (tmp_path / "serving.chat").read_text(encoding="utf-8") == "house"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["house", "serving.chat", "serving.read"]


def test_the_pointer_of_version_0_1_is_that_of_chat_until_one_is_promoted(tmp_path: Path) -> None:
    put(tmp_path, "old")
    put(tmp_path, "new", b"new")
    (tmp_path / FORMER_POINTER).write_text("old\n", encoding="utf-8")
    registry = FolderRegistry(tmp_path)
    assert registry.serving("chat") == registry.named("old")
    assert registry.serving("read") is None
    registry.promote("read", "new")
    assert registry.serving("chat") == registry.named("old"), "another task's promotion leaves it"
    registry.promote("chat", "")
    assert registry.serving("chat") is None, "the base model was promoted, and the old file is not read again"
    assert not (tmp_path / FORMER_POINTER).exists()


def test_a_promotion_that_was_killed_before_the_old_pointer_went_counts(tmp_path: Path) -> None:
    put(tmp_path, "old")
    put(tmp_path, "new", b"new")
    registry = FolderRegistry(tmp_path)
    registry.promote("chat", "new")
    (tmp_path / FORMER_POINTER).write_text("old", encoding="utf-8")
    assert registry.serving("chat") == registry.named("new")


@pytest.mark.parametrize("file", [FORMER_POINTER, "serving.chat"])
def test_a_pointer_to_nothing_names_the_adapter_and_the_file_to_correct(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("gone\n", encoding="utf-8")
    with pytest.raises(AdapterMissing, match=rf"'gone'.*correct {file} there"):
        FolderRegistry(tmp_path).serving("chat")
