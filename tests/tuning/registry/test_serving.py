"""Which adapter answers the next message, and what a promotion does to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.types import AdapterRef
from tests.rag.scripted_model import ScriptedModel
from tests.tuning.adapters import put
from tests.waiting import until
from tuning.errors import AdapterMissing
from tuning.registry.adapters import TASKS, Task
from tuning.registry.folders import FORMER_POINTER, FolderRegistry
from tuning.registry.serving import AdapterHost, ServingAdapter, following

QUICK = 0.01


async def test_the_base_model_answers_where_nothing_was_promoted(tmp_path: Path) -> None:
    serving = ServingAdapter("chat", ScriptedModel(), FolderRegistry(tmp_path))
    await serving.open()
    assert serving.current is None


async def test_a_promotion_is_loaded_before_it_serves_and_the_one_before_goes_after(tmp_path: Path) -> None:
    put(tmp_path, "one")
    put(tmp_path, "two", b"two")
    model, registry = ScriptedModel(), FolderRegistry(tmp_path)
    registry.promote("chat", "one")
    serving = ServingAdapter("chat", model, registry)
    await serving.open()
    registry.promote("chat", "two")
    await serving.look()
    assert serving.current == registry.named("two")
    assert model.events == [("prepare", "one"), ("prepare", "two"), ("retire", "one")]


async def test_the_base_model_may_be_promoted_again(tmp_path: Path) -> None:
    put(tmp_path, "one")
    model, registry = ScriptedModel(), FolderRegistry(tmp_path)
    registry.promote("chat", "one")
    serving = ServingAdapter("chat", model, registry)
    await serving.open()
    registry.promote("chat", "")
    await serving.look()
    assert serving.current is None
    assert model.events[-1] == ("retire", "one")


async def test_a_name_whose_files_changed_is_another_adapter(tmp_path: Path) -> None:
    put(tmp_path, "one")
    model, registry = ScriptedModel(), FolderRegistry(tmp_path)
    registry.promote("chat", "one")
    serving = ServingAdapter("chat", model, registry)
    await serving.open()
    before = serving.current
    put(tmp_path, "one", b"trained again")
    await serving.look()
    assert serving.current is not None
    assert before is not None
    assert serving.current.digest != before.digest


async def test_one_that_cannot_be_loaded_never_serves_and_is_not_tried_for_ever(tmp_path: Path) -> None:
    put(tmp_path, "one")
    put(tmp_path, "bad", b"bad")
    model, registry = ScriptedModel(refuse=["bad"]), FolderRegistry(tmp_path)
    registry.promote("chat", "one")
    serving = ServingAdapter("chat", model, registry)
    await serving.open()
    registry.promote("chat", "bad")
    await serving.look()
    await serving.look()
    assert serving.current == registry.named("one")
    registry.promote("chat", "one")
    await serving.look()
    assert model.events == [("prepare", "one")]


async def test_one_that_a_server_cannot_load_yet_is_tried_again(tmp_path: Path) -> None:
    class Starting(ScriptedModel):
        async def prepare(self, adapter: AdapterRef) -> None:
            await super().prepare(adapter)
            if len(self.events) == 1:
                raise ModelUnavailable("the server starts")

    put(tmp_path, "one")
    registry = FolderRegistry(tmp_path)
    registry.promote("chat", "one")
    serving = ServingAdapter("chat", Starting(), registry)
    await serving.open()
    assert serving.current is None
    await serving.look()
    assert serving.current == registry.named("one")


async def test_an_adapter_of_the_configuration_must_be_there_and_fit(tmp_path: Path) -> None:
    put(tmp_path, "bad")
    with pytest.raises(AdapterMissing, match="there: bad"):
        await ServingAdapter("chat", ScriptedModel(), FolderRegistry(tmp_path), "away").open()
    with pytest.raises(ModelError, match="does not fit"):
        await ServingAdapter("chat", ScriptedModel(refuse=["bad"]), FolderRegistry(tmp_path), "bad").open()


async def test_promotions_are_followed_while_it_serves(tmp_path: Path) -> None:
    put(tmp_path, "one")
    registry = FolderRegistry(tmp_path)
    serving = ServingAdapter("chat", ScriptedModel(), registry, look_seconds=QUICK)
    await serving.open()
    watching = asyncio.create_task(serving.watch())
    registry.promote("chat", "one")
    await until(lambda: serving.current)
    watching.cancel()
    assert serving.current == registry.named("one")


async def test_a_pointer_that_is_no_text_leaves_what_serves_and_is_looked_at_again(tmp_path: Path) -> None:
    put(tmp_path, "one")
    put(tmp_path, "two", b"two")
    registry = FolderRegistry(tmp_path)
    registry.promote("chat", "one")
    serving = ServingAdapter("chat", ScriptedModel(), registry)
    await serving.open()
    (tmp_path / "serving.chat").write_bytes(b"\xff\xfe")
    await serving.look()
    assert serving.current == registry.named("one")
    registry.promote("chat", "two")
    await serving.look()
    assert serving.current == registry.named("two")


async def test_a_pointer_that_cannot_be_read_leaves_what_serves(tmp_path: Path) -> None:
    put(tmp_path, "one")
    registry = FolderRegistry(tmp_path)
    registry.promote("chat", "one")
    serving = ServingAdapter("chat", ScriptedModel(), registry)
    await serving.open()
    (tmp_path / "serving.chat").unlink()
    (tmp_path / "serving.chat").mkdir()
    await serving.look()
    assert serving.current == registry.named("one")


async def test_one_that_a_busy_server_did_not_take_is_tried_again(tmp_path: Path) -> None:
    class Busy(ScriptedModel):
        async def prepare(self, adapter: AdapterRef) -> None:
            await super().prepare(adapter)
            if len(self.events) == 1:
                raise ModelBusy("too many requests", seconds=1.0)

    put(tmp_path, "one")
    registry = FolderRegistry(tmp_path)
    registry.promote("chat", "one")
    serving = ServingAdapter("chat", Busy(), registry)
    await serving.open()
    assert serving.current is None
    await serving.look()
    assert serving.current == registry.named("one")


async def test_a_look_that_fails_in_a_way_of_its_own_is_not_the_last(tmp_path: Path) -> None:
    class Odd(ScriptedModel):
        async def prepare(self, adapter: AdapterRef) -> None:
            await super().prepare(adapter)
            if len(self.events) == 1:
                raise RuntimeError("nobody thought of it")

    put(tmp_path, "one")
    registry = FolderRegistry(tmp_path)
    serving = ServingAdapter("chat", Odd(), registry, look_seconds=QUICK)
    await serving.open()
    registry.promote("chat", "one")
    watching = asyncio.create_task(serving.watch())
    await until(lambda: serving.current)
    watching.cancel()
    assert serving.current == registry.named("one")


class Encoder(AdapterHost):
    """What works without being told an adapter with each piece of work, as an encoder of questions does."""

    def __init__(self) -> None:
        self.works_with: AdapterRef | None = None

    async def prepare(self, adapter: AdapterRef) -> None:
        self.works_with = adapter

    async def retire(self, adapter: AdapterRef) -> None:
        if self.works_with == adapter:
            self.works_with = None


async def test_quotes_follow_promotions_without_any_language_model(tmp_path: Path) -> None:
    put(tmp_path, "one")
    registry, encoder = FolderRegistry(tmp_path), Encoder()
    async with following(registry, {"retrieve": encoder}, look_seconds=QUICK) as serving:
        assert serving.current("retrieve") is None
        registry.promote("retrieve", "one")
        await until(lambda: serving.current("retrieve"))
        assert encoder.works_with == registry.named("one")
        registry.promote("retrieve", "")
        await until(lambda: serving.current("retrieve") is None)
    assert encoder.works_with is None


async def test_each_task_follows_its_own_pointer_and_one_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    put(tmp_path, "house")
    put(tmp_path, "bad", b"bad")
    registry, encoder = FolderRegistry(tmp_path), Encoder()
    registry.promote("chat", "bad")
    registry.promote("retrieve", "house")
    async with following(registry, {"chat": ScriptedModel(refuse=["bad"]), "retrieve": encoder}) as serving:
        assert serving.current("chat") is None
        assert serving.current("retrieve") == encoder.works_with == registry.named("house")


async def test_a_task_without_a_host_has_no_adapter_whatever_was_promoted(tmp_path: Path) -> None:
    put(tmp_path, "house")
    registry = FolderRegistry(tmp_path)
    registry.promote("read", "house")
    async with following(registry, {}, {"chat": "away"}) as serving:
        assert [serving.current(task) for task in TASKS] == [None] * 4


async def test_a_pinned_task_stays_with_its_adapter_while_the_others_follow(tmp_path: Path) -> None:
    put(tmp_path, "house")
    put(tmp_path, "other", b"other")
    registry = FolderRegistry(tmp_path)
    registry.promote("chat", "other")
    registry.promote("retrieve", "other")
    hosts: dict[Task, AdapterHost] = {"chat": ScriptedModel(), "retrieve": Encoder()}
    async with following(registry, hosts, {"chat": "house"}) as serving:
        assert serving.current("chat") == registry.named("house")
        assert serving.current("retrieve") == registry.named("other")


async def test_the_adapter_that_serves_in_a_home_of_version_0_1_goes_on(tmp_path: Path) -> None:
    put(tmp_path, "house")
    (tmp_path / FORMER_POINTER).write_text("house\n", encoding="utf-8")
    registry = FolderRegistry(tmp_path)
    async with following(registry, {"chat": ScriptedModel()}) as serving:
        assert serving.current("chat") == registry.named("house")
