"""A model behind servers: what is sent, what comes back, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from pydantic import SecretStr

from rag.errors import ConfigurationError, ModelError
from rag.models.remote.counting import estimate, tokens
from rag.models.remote.model import RemoteModel
from rag.settings import ModelSettings
from tests.rag.remote_scene import LONG_ANSWER, PROMPT, USER_TEXT, Outcome, named, remote, replies, reply, speaking

LYING_ABOUT = {
    "OPENAI_API_KEY": "sk-lying-about",
    "OPENAI_ADMIN_KEY": "sk-lying-about",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/lying-about",
    "OPENAI_API_BASE": "http://127.0.0.1:9/lying-about",
    "OPENAI_ORG_ID": "lying-about",
    "OPENAI_ORGANIZATION": "lying-about",
    "OPENAI_PROJECT_ID": "lying-about",
    "OPENAI_CUSTOM_HEADERS": "X-Lying: lying-about\nAuthorization: Bearer lying-about",
    "OPENAI_PROXY": "http://127.0.0.1:9",
    "OPENAI_LOG": "debug",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "LANGSMITH_GATEWAY": "http://127.0.0.1:9/lying-about",
    "LANGSMITH_GATEWAY_API_KEY": "lsv2_lying-about",
    "LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S": "0.001",
    "LC_OUTPUT_VERSION": "v1",
}


async def test_a_reply_comes_in_pieces_and_ends_with_its_token_counts() -> None:
    counted = UsageMetadataCallbackHandler()
    with speaking() as server:
        model = remote(server)
        outcome = await reply(model, config=RunnableConfig(callbacks=[counted]))
        await model.close()
    assert outcome.text == LONG_ANSWER
    assert len([chunk for chunk in outcome.chunks if chunk.text]) > 3
    usage = next(chunk.usage_metadata for chunk in outcome.chunks if chunk.usage_metadata)
    assert (usage["input_tokens"], usage["output_tokens"]) == (len(USER_TEXT.split()), 7)
    assert [total["output_tokens"] for total in counted.usage_metadata.values()] == [7], "one run, counted once"


async def test_what_a_model_thinks_aloud_is_not_passed_on() -> None:
    with speaking(f"<think>the user wants words</think>\n\n{LONG_ANSWER}") as server:
        model = remote(server)
        outcome = await reply(model)
        await model.close()
    assert outcome.text == LONG_ANSWER


async def test_invoke_and_ainvoke_give_the_whole_reply() -> None:
    with speaking() as server:
        model = remote(server)
        assert (await model.chat.ainvoke(PROMPT)).text == LONG_ANSWER
        assert (await asyncio.to_thread(model.chat.invoke, PROMPT)).text == LONG_ANSWER
        await model.close()


async def test_nothing_of_the_environment_gets_into_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LYING_ABOUT.items():
        monkeypatch.setenv(name, value)
    with speaking() as server:
        model = remote(server)
        outcome = await reply(model)
        await model.check()
        await model.close()
    assert outcome.text == LONG_ANSWER
    assert len(server.asked) == 3
    assert "lying" not in repr(server.asked)
    names = {"host", "connection", "content-type", "content-length", "authorization", "accept", "accept-encoding"}
    assert {name for asked in server.asked for name in asked.headers} == names | {"user-agent"}
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer none"}


async def test_the_key_of_the_settings_is_sent_and_nowhere_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with speaking(key="sk-right") as server:
        model = remote(server, api_key=SecretStr("sk-right"))
        wrong = remote(server, api_key=SecretStr("sk-wrong"))
        assert (await reply(model)).text == LONG_ANSWER
        refused = await reply(wrong)
        shown = [repr(one) for one in (model, model.chat, model.chat._serialized, wrong)]
        await model.close()
        await wrong.close()
    assert isinstance(refused.error, ModelError)
    assert refused.error.__cause__ is None
    assert refused.error.__context__ is None, "what the server wrote about the key stands in the SDK's error"
    told = "\n".join([*shown, refused.reason, caplog.text])
    assert "sk-" not in told
    assert USER_TEXT not in told


async def test_a_password_in_the_address_is_used_and_not_shown() -> None:
    with speaking() as server:
        model = remote(server.url.replace("://", "://user:pass-word@"))
        assert (await reply(model)).text == LONG_ANSWER
        facts = await model.check()
        server.always = "500"
        outcome = await reply(model)
        await model.close()
    assert server.chats[0].headers["authorization"].startswith("Basic ")
    assert "pass-word" not in outcome.reason + str(facts)


@pytest.mark.parametrize("address", ["http://", "http://[", "https://:80/v1", "http://host:port/v1"])
def test_an_address_that_is_none_is_refused_with_its_key(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"model\.servers"):
        remote(address)


@pytest.mark.parametrize(("told", "window"), [(4096, 4096), (1_000_000, 8192), (None, 8192)])
async def test_the_window_is_the_smaller_one(told: int | None, window: int) -> None:
    with speaking(window=told) as server:
        model = remote(server)
        assert model.window == 8192, "nothing was asked yet"
        facts = await model.check()
        await model.close()
    assert model.window == window
    assert facts["window"] == str(window)


async def test_opening_learns_the_window_and_does_not_mind_a_server_that_is_away(free_port: int) -> None:
    with speaking(window=2048) as server:
        model = remote(f"http://127.0.0.1:{free_port}/v1", server)
        await model.open()
        await model.close()
    assert model.window == 2048
    assert not server.chats


async def test_a_server_without_a_list_of_models_writes_all_the_same() -> None:
    with speaking(lists=False) as server:
        model = remote(server)
        assert (await reply(model)).text == LONG_ANSWER
        await model.close()


@pytest.mark.parametrize(("owner", "sent"), [("vllm", True), ("openai", False)])
async def test_a_template_that_can_is_told_not_to_open_a_thinking_block(owner: str, sent: bool) -> None:
    with speaking(owner=owner) as server:
        model = remote(server)
        await reply(model)
        await model.close()
    assert ("chat_template_kwargs" in server.chats[0].body) is sent


async def test_check_names_each_server_and_fails_only_when_none_can_be_used(free_port: int) -> None:
    dead = f"http://127.0.0.1:{free_port}/v1"
    with speaking() as server, speaking(model="another") as other:
        model = remote(dead, other, server)
        facts = await model.check()
        useless = remote(dead, other)
        with pytest.raises(ModelError) as failed:
            await useless.check()
        await model.close()
        await useless.close()
    assert "start it" in facts[dead]
    assert facts[other.url] == "set model.name to one that it has: another"
    assert facts[server.url] == "test-model, window of 4096 tokens"
    assert dead in str(failed.value)
    assert "another" in str(failed.value)


async def test_many_replies_at_once_stay_apart() -> None:
    with speaking() as server:
        server.answer = lambda asked: f"about {asked.body['max_tokens']}"
        model = remote(server)
        outcomes = await asyncio.gather(*(reply(model, max_tokens=100 + number) for number in range(40)))
        await model.close()
    assert [outcome.text for outcome in outcomes] == [f"about {100 + number}" for number in range(40)]


def test_one_model_serves_several_event_loops() -> None:
    found: list[Outcome] = []

    def run(model: RemoteModel) -> None:
        async def ask() -> None:
            found.extend(await replies(model, 2))
            await model.close()

        asyncio.run(ask())

    with speaking() as server:
        model = remote(server)
        threads = [threading.Thread(target=run, args=(model,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run(model)
    assert [outcome.text for outcome in found] == [LONG_ANSWER] * 8


async def test_the_name_of_the_settings_is_asked_for() -> None:
    with speaking() as server:
        server.answer = named
        model = remote(server)
        assert (await reply(model)).text == "written by test-model"
        assert model.name == "test-model"
        await model.close()


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("How do I reset the password of my account?", 10),
        ("¿Cómo restablezco la contraseña de mi cuenta?", 12),
        ("2026-11-22 15:30", 14),
        ("你好，世界", 8),
        ("🦜🦜", 6),
        ("aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQ=", 18),
        ("\ud800", 3),
        ("", 0),
    ],
)
def test_the_estimate_is_not_too_small(text: str, least: int) -> None:
    assert tokens(text) >= least


def test_the_estimate_counts_what_a_template_adds() -> None:
    system: list[Any] = [SystemMessage("You answer."), HumanMessage("Hello")]
    assert estimate(system) > tokens("You answer.") + tokens("Hello") + 2 * 6
    settings = ModelSettings(kind="openai", servers=("http://127.0.0.1:1/v1",))
    assert RemoteModel(settings).count(system) == estimate(system)
