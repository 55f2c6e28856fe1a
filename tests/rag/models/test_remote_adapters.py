"""An adapter is a model of its own at the server: a reply comes from the one that was asked for, or not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rag.errors import ModelError
from rag.models.remote.adapters import served_name
from rag.models.remote.model import RemoteModel
from tests.loopback.openai import LoopbackOpenAI
from tests.rag.remote_scene import adapter, named, remote, reply
from tests.waiting import until

OLD = adapter(digest="1" * 64)
NEW = adapter(digest="2" * 64)


async def loaded(server: LoopbackOpenAI, *names: str) -> bool:
    """Waits until the server has these adapters and no others."""
    await until(lambda: set(server.adapters) == set(names))
    return True


async def test_prepare_loads_the_adapter_on_every_server() -> None:
    with LoopbackOpenAI() as one, LoopbackOpenAI() as other:
        model = remote(one, other, load_adapters=True)
        await model.prepare(OLD)
        await model.prepare(OLD)
        await model.close()
    assert one.adapters == other.adapters == {served_name(OLD): OLD.path}


async def test_a_relative_folder_is_named_in_full_to_the_server() -> None:
    with LoopbackOpenAI() as server:
        model = remote(server, load_adapters=True)
        await model.prepare(adapter(path=".cotorra/adapters/support"))
        await model.close()
    assert list(server.adapters.values()) == [str(Path.cwd() / ".cotorra/adapters/support")]


async def test_a_reply_comes_from_the_adapter_and_another_from_the_base() -> None:
    with LoopbackOpenAI(answer=named) as server:
        model = remote(server, load_adapters=True)
        assert (await reply(model, adapter=OLD)).text == f"written by {served_name(OLD)}"
        assert (await reply(model)).text == "written by test-model"
        await model.close()


async def test_two_digests_of_one_name_are_two_models() -> None:
    with LoopbackOpenAI(answer=named) as server:
        model = remote(server, load_adapters=True)
        await model.prepare(OLD)
        await model.prepare(NEW)
        both = await asyncio.gather(*(reply(model, adapter=each) for each in (OLD, NEW) * 10))
        await model.close()
    assert [outcome.text for outcome in both] == [f"written by {served_name(each)}" for each in (OLD, NEW) * 10]
    assert served_name(OLD) != served_name(NEW)


async def test_a_server_that_was_started_again_gets_the_adapter_again() -> None:
    with LoopbackOpenAI(answer=named) as server:
        model = remote(server, load_adapters=True, retries=0)
        await model.prepare(OLD)
        server.restart()
        assert (await reply(model, adapter=OLD)).text == f"written by {served_name(OLD)}"
        await model.close()


@pytest.mark.parametrize("owner", ["vllm", "another"])
async def test_without_the_adapter_there_is_an_error_and_not_the_base_model(owner: str) -> None:
    with LoopbackOpenAI(answer=named, owner=owner, adapters={served_name(OLD): "anywhere"}) as server:
        model = remote(server)
        assert (await reply(model, adapter=OLD)).text == f"written by {served_name(OLD)}"
        server.restart()
        outcome = await reply(model, adapter=OLD)
        await model.close()
    assert outcome.text == ""
    assert type(outcome.error) is ModelError
    assert f"--lora-modules {served_name(OLD)}=" in outcome.reason


async def test_prepare_says_what_to_do_where_the_adapter_is_not_served() -> None:
    with LoopbackOpenAI() as server:
        model = remote(server)
        with pytest.raises(ModelError, match=r"model\.load_adapters"):
            await model.prepare(OLD)
        await model.close()


@pytest.mark.parametrize(("loads", "path"), [(False, "/models/support"), (True, "/nowhere/support")])
async def test_prepare_says_what_to_do_where_the_server_cannot_load(loads: bool, path: str) -> None:
    with LoopbackOpenAI(loads=loads) as server:
        model = remote(server, load_adapters=True)
        with pytest.raises(ModelError, match=r"--enable-lora.*VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
            await model.prepare(adapter(path=path))
        await model.close()


async def test_a_server_that_is_away_does_not_keep_an_adapter_from_being_prepared(free_port: int) -> None:
    dead = f"http://127.0.0.1:{free_port}/v1"
    with LoopbackOpenAI() as server:
        model = remote(dead, server, load_adapters=True)
        await model.prepare(OLD)
        alone = remote(dead, load_adapters=True)
        with pytest.raises(ModelError, match="cannot be reached"):
            await alone.prepare(OLD)
        await model.close()
    assert list(server.adapters) == [served_name(OLD)]


async def test_an_adapter_that_retires_goes_when_its_last_reply_has_ended() -> None:
    with LoopbackOpenAI(answer=lambda asked: f"{named(asked)} to its end", rate=20) as server:
        model = remote(server, load_adapters=True)
        await model.prepare(OLD)
        running = asyncio.create_task(reply(model, adapter=OLD))
        await until(lambda: server.chats)
        await model.prepare(NEW)
        await model.retire(OLD)
        assert set(server.adapters) == {served_name(OLD), served_name(NEW)}
        assert (await running).text == f"written by {served_name(OLD)} to its end"
        assert await loaded(server, served_name(NEW))
        await model.retire(NEW)
        assert await loaded(server)
        await model.close()


async def test_an_adapter_that_is_promoted_again_while_it_retires_stays() -> None:
    with LoopbackOpenAI(answer=named, rate=20) as server:
        model = remote(server, load_adapters=True)
        await model.prepare(OLD)
        running = asyncio.create_task(reply(model, adapter=OLD))
        await until(lambda: server.chats)
        await model.retire(OLD)
        await model.prepare(OLD)
        await running
        await model.close()
    assert list(server.adapters) == [served_name(OLD)]


async def test_adapters_that_the_server_was_started_with_are_not_unloaded() -> None:
    with LoopbackOpenAI(adapters={served_name(OLD): "anywhere"}) as server:
        model: RemoteModel = remote(server)
        await model.prepare(OLD)
        await model.retire(OLD)
        await model.close()
    assert list(server.adapters) == [served_name(OLD)]


async def test_promotions_under_load_never_mix_adapters() -> None:
    adapters = [adapter(digest=f"{number:x}" * 64) for number in range(3)]
    with LoopbackOpenAI(answer=named) as server:
        model = remote(server, load_adapters=True, first_token_seconds=20, deadline_seconds=30)
        wrong = 0
        for number in range(6):
            now, before = adapters[number % 3], adapters[(number - 1) % 3]
            await model.prepare(now)
            asked = [now, before] * 10
            running = asyncio.gather(*(reply(model, adapter=each) for each in asked))
            await model.retire(before)
            outcomes = await running
            wrong += sum(
                outcome.text != f"written by {served_name(each)}" for outcome, each in zip(outcomes, asked, strict=True)
            )
        await model.close()
    assert wrong == 0
