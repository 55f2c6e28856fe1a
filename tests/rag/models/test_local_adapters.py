"""Adapters by name: a reply is written from its first token to its last by the one that was asked for."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from rag.errors import ModelBusy, ModelError
from rag.models.adapters import CONFIG, WEIGHTS, adapter_digest
from rag.models.local.loading import load
from rag.models.local.model import LocalModel
from rag.types import AdapterRef
from tests.rag.tiny_models import adapter_of, byte_tokenizer, quiet, reply_of, save_adapter, save_model, settings_of

TOKENS = 24


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in ``model`` and three adapters in ``one``, ``two`` and ``three``."""
    home = tmp_path_factory.mktemp("home")
    save_model(home / "model")
    for seed, name in enumerate(("one", "two", "three"), 1):
        save_adapter(home / name, home / "model", seed)
    return home


Made = Callable[..., LocalModel]


@pytest.fixture
async def made(home: Path) -> AsyncIterator[Made]:
    models = []

    def make(**options: Any) -> LocalModel:
        settings = settings_of(home / "model", **options)
        models.append(LocalModel(settings, load(settings, quiet)))
        return models[-1]

    yield make
    for model in models:
        await model.close()


def asked(text: str) -> list[BaseMessage]:
    return [SystemMessage("Answer briefly, in the words of the passages."), HumanMessage(text)]


async def said(model: LocalModel, text: str, adapter: AdapterRef | None, tokens: int = TOKENS) -> str:
    stream = model.chat.astream(asked(text), adapter=adapter, max_tokens=tokens)
    return "".join([chunk.text async for chunk in stream]).rstrip("\ufffd")


def alone(model: LocalModel, home: Path, text: str, adapter: AdapterRef | None, tokens: int = TOKENS) -> str:
    folder = Path(adapter.path) if adapter else None
    reply = reply_of(home / "model", model.template.tokens(asked(text)), tokens, folder)
    return str(byte_tokenizer().decode(reply, skip_special_tokens=True)).rstrip("\ufffd")


async def test_three_adapters_and_none_write_at_once_what_each_writes_alone(made: Made, home: Path) -> None:
    model = made(batch=8)
    adapters = [adapter_of(home / name) for name in ("one", "two", "three")]
    mixed = [*adapters, None, *adapters, None]
    found = await asyncio.gather(*(said(model, f"question {n}", one) for n, one in enumerate(mixed)))
    assert found == [alone(model, home, f"question {n}", one) for n, one in enumerate(mixed)]
    assert len(set(found)) == len(found)


async def test_an_adapter_that_comes_and_one_that_goes_change_no_reply_under_way(made: Made, home: Path) -> None:
    model = made(adapters=2)
    one, two, three = (adapter_of(home / name) for name in ("one", "two", "three"))
    stream = model.chat.astream(asked("hola"), adapter=one, max_tokens=80)
    text, count = "", 0
    async for chunk in stream:
        text += chunk.text
        count += 1
        if count == 5:
            await model.prepare(two)
        if count == 10:
            await model.retire(two)
        if count == 15:
            await model.prepare(three)
        if count == 20:
            await model.retire(one)
    assert text.rstrip("\ufffd") == alone(model, home, "hola", one, 80)
    await model.prepare(two)  # the retired one went when its last reply had ended
    assert one.digest[:12] not in (await model.check())["adapters"]


async def test_a_promotion_under_the_same_name_is_another_adapter(made: Made, home: Path) -> None:
    model = made()
    before = adapter_of(home / "one", "production")
    after = adapter_of(home / "two", "production")
    stream = model.chat.astream(asked("hola"), adapter=before, max_tokens=60)
    text = str((await anext(stream)).text)
    late = asyncio.create_task(said(model, "hola", after, 60))
    async for chunk in stream:
        text += chunk.text
    assert text.rstrip("\ufffd") == alone(model, home, "hola", before, 60)
    assert await late == alone(model, home, "hola", after, 60)


async def test_keys_and_values_of_shared_instructions_are_an_adapters_own(made: Made, home: Path) -> None:
    model = made()
    adapters = [adapter_of(home / name) for name in ("one", "two")]
    for text in ("primera", "segunda", "tercera"):
        for adapter in adapters:
            assert await said(model, text, adapter) == alone(model, home, text, adapter)
    prompt = model.template.tokens(asked("tercera"))
    assert all(model.engine.prefixes.find(adapter.digest, prompt) for adapter in adapters)
    assert model.engine.prefixes.find("__base__", prompt) is None


async def test_the_adapter_that_was_used_longest_ago_makes_room(made: Made, home: Path) -> None:
    model = made(adapters=2)
    one, two, three = (adapter_of(home / name) for name in ("one", "two", "three"))
    for adapter in (one, two, one, three):
        await said(model, "hola", adapter, 2)
    assert (await model.check())["adapters"] == ", ".join(sorted((one.digest[:12], three.digest[:12])))


async def test_an_adapter_in_use_makes_no_room_and_who_waits_is_told(made: Made, home: Path) -> None:
    model = made(adapters=1, first_token_seconds=0.3)
    adapters = model.engine.adapters
    assert adapters is not None
    async with adapters.use(adapter_of(home / "one")):
        with pytest.raises(ModelBusy, match=r"no room for the adapter two .* raise model\.adapters"):
            await said(model, "hola", adapter_of(home / "two"))
    two = adapter_of(home / "two")
    assert await said(model, "hola", two) == alone(model, home, "hola", two)


async def test_waiting_for_an_adapter_can_be_given_up(made: Made, home: Path) -> None:
    model = made(adapters=1)
    stream = model.chat.astream(asked("hola"), adapter=adapter_of(home / "one"), max_tokens=100)
    await anext(stream)
    waiting = asyncio.create_task(model.prepare(adapter_of(home / "two")))
    await anext(stream)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async for _ in stream:
        pass
    three = adapter_of(home / "three")
    assert await said(model, "hola", three) == alone(model, home, "hola", three)


async def test_a_loaded_adapter_serves_although_its_folder_is_gone(made: Made, home: Path, tmp_path: Path) -> None:
    model = made()
    folder = shutil.copytree(home / "one", tmp_path / "one")
    adapter = adapter_of(folder)
    await model.prepare(adapter)
    shutil.rmtree(folder)
    assert await said(model, "hola", adapter) == alone(model, home, "hola", adapter_of(home / "one"))


def test_the_digest_is_of_both_files(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home / "one", tmp_path / "one")
    digests = {adapter_digest(folder)}
    for file in (CONFIG, WEIGHTS):
        (folder / file).write_bytes((folder / file).read_bytes() + b" ")
        digests.add(adapter_digest(folder))
    assert len(digests) == 3


def _config(folder: Path, **changes: object) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), r"adapter broken has no adapter_model.safetensors"),
    "no configuration": (lambda folder: (folder / CONFIG).unlink(), r"adapter broken has no adapter_config.json"),
    "half a file": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:500]),
        r"adapter_model.safetensors of the adapter broken is damaged",
    ),
    "no JSON": (lambda folder: (folder / CONFIG).write_text("{"), r"of the adapter broken is not an adapter's"),
    "a list": (lambda folder: (folder / CONFIG).write_text("[]"), r"of the adapter broken is not an adapter's"),
    "another kind": (lambda folder: _config(folder, peft_type="IA3"), r"adapter broken is of the kind IA3"),
    "weight decomposition": (lambda folder: _config(folder, use_dora=True), r"adapter broken uses use_dora"),
    "the model's biases": (lambda folder: _config(folder, bias="all"), r"adapter broken changes the model's own"),
    "another rank": (lambda folder: _config(folder, r=8), r"adapter broken does not fit .*size mismatch"),
    "other modules": (lambda folder: _config(folder, target_modules=["c_attn"]), r"adapter broken does not fit"),
    "fewer modules": (lambda folder: _config(folder, target_modules=["q_proj"]), r"adapter broken does not fit"),
    "more modules": (
        lambda folder: _config(folder, target_modules=["q_proj", "k_proj", "v_proj", "down_proj"]),
        r"adapter broken does not fit .*missing",
    ),
    "no pattern": (lambda folder: _config(folder, target_modules="["), r"adapter broken does not fit"),
    "a key of the future": (lambda folder: _config(folder, r="many"), r"adapter broken does not fit"),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_broken_adapter_is_named_and_others_go_on(made: Made, home: Path, tmp_path: Path, damage: str) -> None:
    change, told = DAMAGE[damage]
    folder = shutil.copytree(home / "one", tmp_path / "one")
    change(folder)
    files = [folder / CONFIG, folder / WEIGHTS]
    digest = adapter_digest(folder) if all(file.exists() for file in files) else "0" * 64
    model = made()
    good = adapter_of(home / "two")
    await model.prepare(good)
    with pytest.raises(ModelError, match=told):
        await said(model, "hola", AdapterRef(name="broken", path=str(folder), digest=digest))
    assert await said(model, "hola", good) == alone(model, home, "hola", good)
    assert await said(model, "hola", None) == alone(model, home, "hola", None)


async def test_the_first_adapter_may_be_a_broken_one(made: Made, home: Path, tmp_path: Path) -> None:
    model = made()
    folder = shutil.copytree(home / "one", tmp_path / "one")
    _config(folder, r=8)
    with pytest.raises(ModelError, match="does not fit"):
        await model.prepare(adapter_of(folder, "broken"))
    assert await said(model, "hola", None) == alone(model, home, "hola", None)
    good = adapter_of(home / "one")
    assert await said(model, "hola", good) == alone(model, home, "hola", good)


async def test_files_that_are_not_those_registered_are_refused(made: Made, home: Path) -> None:
    swapped = replace(adapter_of(home / "one"), digest=adapter_digest(home / "two"))
    with pytest.raises(ModelError, match=r"adapter one .* is not the one that was registered"):
        await made().prepare(swapped)


async def test_an_adapter_of_another_model_of_the_hub_is_refused(home: Path, tmp_path: Path) -> None:
    from rag.models.local.adapters.files import read_adapter

    folder = shutil.copytree(home / "one", tmp_path / "one")
    _config(folder, base_model_name_or_path="Qwen/Qwen3-1.7B-Base")
    with pytest.raises(ModelError, match=r"trained on Qwen/Qwen3-1.7B-Base, but model.name is Qwen/Qwen3-1.7B"):
        read_adapter(adapter_of(folder), "Qwen/Qwen3-1.7B")
    assert read_adapter(adapter_of(folder), str(home / "model")).name == "one"


async def test_nobody_waits_for_an_adapter_of_a_model_that_was_closed(made: Made, home: Path) -> None:
    model = made()
    await model.close()
    with pytest.raises(ModelError, match="shut down"):
        await asyncio.wait_for(model.prepare(adapter_of(home / "one")), 10)
