"""Which adapter answers the next message, and what a promotion does to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.types import AdapterRef
from tests.rag.scripted_model import ScriptedModel
from tests.tuning.registry.test_folders import put
from tuning.errors import AdapterMissing
from tuning.registry import serving as serving_adapter
from tuning.registry.folders import Registry
from tuning.registry.serving import ServingAdapter


async def test_the_base_model_answers_where_nothing_was_promoted(tmp_path: Path) -> None:
    serving = ServingAdapter(ScriptedModel(), Registry(tmp_path))
    await serving.open()
    assert serving.current is None


async def test_a_promotion_is_loaded_before_it_serves_and_the_one_before_goes_after(tmp_path: Path) -> None:
    put(tmp_path, "one")
    put(tmp_path, "two", b"two")
    model, registry = ScriptedModel(), Registry(tmp_path)
    registry.promote("one")
    serving = ServingAdapter(model, registry)
    await serving.open()
    registry.promote("two")
    await serving.look()
    assert serving.current == registry.named("two")
    assert model.events == [("prepare", "one"), ("prepare", "two"), ("retire", "one")]


async def test_the_base_model_may_be_promoted_again(tmp_path: Path) -> None:
    put(tmp_path, "one")
    model, registry = ScriptedModel(), Registry(tmp_path)
    registry.promote("one")
    serving = ServingAdapter(model, registry)
    await serving.open()
    registry.promote("")
    await serving.look()
    assert serving.current is None
    assert model.events[-1] == ("retire", "one")


async def test_a_name_whose_files_changed_is_another_adapter(tmp_path: Path) -> None:
    put(tmp_path, "one")
    model, registry = ScriptedModel(), Registry(tmp_path)
    registry.promote("one")
    serving = ServingAdapter(model, registry)
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
    model, registry = ScriptedModel(refuse=["bad"]), Registry(tmp_path)
    registry.promote("one")
    serving = ServingAdapter(model, registry)
    await serving.open()
    registry.promote("bad")
    await serving.look()
    await serving.look()
    assert serving.current == registry.named("one")
    registry.promote("one")
    await serving.look()
    assert model.events == [("prepare", "one")]


async def test_one_that_a_server_cannot_load_yet_is_tried_again(tmp_path: Path) -> None:
    class Starting(ScriptedModel):
        async def prepare(self, adapter: AdapterRef) -> None:
            await super().prepare(adapter)
            if len(self.events) == 1:
                raise ModelUnavailable("the server starts")

    put(tmp_path, "one")
    registry = Registry(tmp_path)
    registry.promote("one")
    serving = ServingAdapter(Starting(), registry)
    await serving.open()
    assert serving.current is None
    await serving.look()
    assert serving.current == registry.named("one")


async def test_an_adapter_of_the_configuration_must_be_there_and_fit(tmp_path: Path) -> None:
    put(tmp_path, "bad")
    with pytest.raises(AdapterMissing, match="there: bad"):
        await ServingAdapter(ScriptedModel(), Registry(tmp_path), "away").open()
    with pytest.raises(ModelError, match="does not fit"):
        await ServingAdapter(ScriptedModel(refuse=["bad"]), Registry(tmp_path), "bad").open()


async def test_promotions_are_followed_while_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_adapter, "LOOK_SECONDS", 0.01)
    put(tmp_path, "one")
    registry = Registry(tmp_path)
    serving = ServingAdapter(ScriptedModel(), registry)
    await serving.open()
    watching = asyncio.create_task(serving.watch())
    registry.promote("one")
    async with asyncio.timeout(10):
        while serving.current is None:
            await asyncio.sleep(0.01)
    watching.cancel()
    assert serving.current.name == "one"


async def test_a_pointer_that_is_no_text_leaves_what_serves_and_is_looked_at_again(tmp_path: Path) -> None:
    put(tmp_path, "one")
    put(tmp_path, "two", b"two")
    registry = Registry(tmp_path)
    registry.promote("one")
    serving = ServingAdapter(ScriptedModel(), registry)
    await serving.open()
    (tmp_path / "serving").write_bytes(b"\xff\xfe")
    await serving.look()
    assert serving.current == registry.named("one")
    registry.promote("two")
    await serving.look()
    assert serving.current == registry.named("two")


async def test_a_pointer_that_cannot_be_read_leaves_what_serves(tmp_path: Path) -> None:
    put(tmp_path, "one")
    registry = Registry(tmp_path)
    registry.promote("one")
    serving = ServingAdapter(ScriptedModel(), registry)
    await serving.open()
    (tmp_path / "serving").unlink()
    (tmp_path / "serving").mkdir()
    await serving.look()
    assert serving.current == registry.named("one")


async def test_one_that_a_busy_server_did_not_take_is_tried_again(tmp_path: Path) -> None:
    class Busy(ScriptedModel):
        async def prepare(self, adapter: AdapterRef) -> None:
            await super().prepare(adapter)
            if len(self.events) == 1:
                raise ModelBusy("too many requests", seconds=1.0)

    put(tmp_path, "one")
    registry = Registry(tmp_path)
    registry.promote("one")
    serving = ServingAdapter(Busy(), registry)
    await serving.open()
    assert serving.current is None
    await serving.look()
    assert serving.current == registry.named("one")


async def test_a_look_that_fails_in_a_way_of_its_own_is_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(ScriptedModel):
        async def prepare(self, adapter: AdapterRef) -> None:
            await super().prepare(adapter)
            if len(self.events) == 1:
                raise RuntimeError("nobody thought of it")

    monkeypatch.setattr(serving_adapter, "LOOK_SECONDS", 0.01)
    put(tmp_path, "one")
    registry = Registry(tmp_path)
    serving = ServingAdapter(Odd(), registry)
    await serving.open()
    registry.promote("one")
    watching = asyncio.create_task(serving.watch())
    async with asyncio.timeout(10):
        while serving.current is None:
            await asyncio.sleep(0.01)
    watching.cancel()
    assert serving.current.name == "one"
