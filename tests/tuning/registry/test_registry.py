"""What every registry of adapters does, whatever keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.models.adapters import adapter_digest
from tests.tuning.adapters import PLACES, RegistryPlace
from tuning.errors import AdapterMissing
from tuning.registry.adapters import TASKS, Task


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> RegistryPlace:
    return PLACES[request.param](tmp_path)


def test_an_empty_registry_serves_the_base_model_for_every_task(place: RegistryPlace) -> None:
    registry = place.open()
    assert registry.names() == []
    assert [registry.serving(task) for task in TASKS] == [None] * 4


def test_an_adapter_is_known_by_its_name_and_its_files(place: RegistryPlace) -> None:
    place.put("house")
    place.put("desk", b"others")
    registry = place.open()
    house = registry.named("house")
    assert registry.names() == ["desk", "house"]
    assert house.name == "house"
    assert house.digest == adapter_digest(Path(house.path)), "the files that it names are the ones that it digested"
    assert registry.by_digest(house.digest) == house


def test_one_that_is_replaced_has_another_digest_and_the_old_one_is_gone(place: RegistryPlace) -> None:
    place.put("house")
    registry = place.open()
    before = registry.named("house")
    place.put("house", b"other weights")
    assert registry.named("house").digest != before.digest
    with pytest.raises(AdapterMissing, match=before.digest[:12]):
        registry.by_digest(before.digest)


@pytest.mark.parametrize("name", ["away", "../house", "", ".", "a/b", "house\n"])
def test_one_that_is_not_there_is_refused_with_those_that_are(name: str, place: RegistryPlace) -> None:
    place.put("house")
    with pytest.raises(AdapterMissing, match="there: house"):
        place.open().named(name)


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_a_digest_of_nothing_is_refused(digest: str, place: RegistryPlace) -> None:
    place.put("house")
    with pytest.raises(AdapterMissing):
        place.open().by_digest(digest)


@pytest.mark.parametrize("task", TASKS)
def test_the_promoted_adapter_serves_its_task_alone_in_every_process(task: Task, place: RegistryPlace) -> None:
    place.put("house")
    registry, other = place.open(), place.open()
    registry.promote(task, "house")
    assert other.serving(task) == registry.named("house")
    assert [each for each in TASKS if other.serving(each)] == [task]
    registry.promote(task, "")
    assert other.serving(task) is None


def test_tasks_have_adapters_of_their_own(place: RegistryPlace) -> None:
    registry = place.open()
    for task in TASKS:
        place.put(f"{task}-1", task.encode())
        registry.promote(task, f"{task}-1")
    served = [place.open().serving(task) for task in TASKS]
    assert [each.name for each in served if each] == [f"{task}-1" for task in TASKS]
    registry.promote("chat", "")
    assert [task for task in TASKS if registry.serving(task)] == ["retrieve", "read", "classify"]


def test_what_is_not_there_cannot_be_promoted_and_the_one_before_stays(place: RegistryPlace) -> None:
    place.put("house")
    registry = place.open()
    registry.promote("chat", "house")
    with pytest.raises(AdapterMissing, match="there: house"):
        registry.promote("chat", "away")
    assert place.open().serving("chat") == registry.named("house")
