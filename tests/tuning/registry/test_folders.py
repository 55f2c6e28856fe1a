"""The adapters of an installation: found by name, followed by a pointer that a crash cannot tear."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.models.adapters import CONFIG, WEIGHTS, adapter_digest
from tuning.errors import AdapterMissing
from tuning.registry.folders import POINTER, Registry


def put(root: Path, name: str, weights: bytes = b"weights") -> Path:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text("{}", encoding="utf-8")
    (folder / WEIGHTS).write_bytes(weights)
    return folder


def test_an_adapter_is_known_by_its_name_and_its_files(tmp_path: Path) -> None:
    folder = put(tmp_path, "house")
    found = Registry(tmp_path).named("house")
    assert (found.name, found.path, found.digest) == ("house", str(folder), adapter_digest(folder))


def test_one_that_is_replaced_has_another_digest(tmp_path: Path) -> None:
    put(tmp_path, "house")
    registry = Registry(tmp_path)
    before = registry.named("house")
    put(tmp_path, "house", b"other weights")
    assert registry.named("house").digest != before.digest


@pytest.mark.parametrize("name", ["away", "../house", "", ".", "a/b"])
def test_one_that_is_not_there_is_refused_with_those_that_are(name: str, tmp_path: Path) -> None:
    put(tmp_path / "adapters", "house")
    put(tmp_path, "house")
    with pytest.raises(AdapterMissing, match="there: house"):
        Registry(tmp_path / "adapters").named(name)


def test_a_half_written_adapter_is_none(tmp_path: Path) -> None:
    (put(tmp_path, "house") / WEIGHTS).unlink()
    with pytest.raises(AdapterMissing, match=rf"no complete adapter 'house' .*there: none.*{WEIGHTS}"):
        Registry(tmp_path).named("house")


def test_the_promoted_adapter_serves_until_the_base_model_is_promoted(tmp_path: Path) -> None:
    put(tmp_path, "house")
    registry = Registry(tmp_path)
    assert registry.serving() is None
    registry.promote("house")
    assert Registry(tmp_path).serving() == registry.named("house")
    registry.promote("")
    assert registry.serving() is None


def test_what_is_not_there_cannot_be_promoted_and_the_one_before_stays(tmp_path: Path) -> None:
    put(tmp_path, "house")
    registry = Registry(tmp_path)
    registry.promote("house")
    with pytest.raises(AdapterMissing):
        registry.promote("away")
    assert (tmp_path / POINTER).read_text(encoding="utf-8") == "house"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["house", POINTER]


def test_a_pointer_to_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / POINTER).write_text("gone\n", encoding="utf-8")
    with pytest.raises(AdapterMissing, match="gone"):
        Registry(tmp_path).serving()
