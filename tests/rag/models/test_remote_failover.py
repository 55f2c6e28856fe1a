"""Whatever a server does, a reply comes, or an error in time that says what to do; never two replies in one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest
from langchain_core.messages import AIMessageChunk

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.models.remote.breaker import FAILURES, FIRST_PAUSE_SECONDS
from tests.loopback.openai_faults import FAULTS, SECRET_OF_THE_SERVER, Fault
from tests.rag.remote_scene import LONG_ANSWER, PROMPT, USER_TEXT, Clock, Outcome, remote, replies, reply, speaking
from tests.waiting import until

BEFORE: list[Fault] = [
    "500",
    "429",
    "429 for an hour",
    "400 overlong",
    "401",
    "403",
    "404",
    "307",
    "refuse connection",
    "hang before headers",
    "hang before the first word",
    "garbage",
    "malformed JSON",
    "deep JSON",
    "another shape",
    "empty choices",
    "only thinking",
    "html",
    "no line break",
]
AFTER: list[Fault] = [
    "hang mid-stream",
    "close mid-stream",
    "end mid-stream",
    "error mid-stream",
    "garbage mid-stream",
    "no end",
]
HARMLESS: list[Fault] = ["429 for 1 s", "400 temperature", "400 max_tokens", "slow", "no words"]


def says_nothing_of_others(outcome: Outcome) -> bool:
    return SECRET_OF_THE_SERVER not in outcome.reason and USER_TEXT not in outcome.reason and len(outcome.reason) < 300


def test_every_fault_is_tried_here() -> None:
    assert sorted(BEFORE + AFTER + HARMLESS) == sorted(FAULTS)


@pytest.mark.parametrize("fault", BEFORE)
async def test_before_the_first_word_it_ends_in_time_with_an_error(fault: Fault) -> None:
    with speaking(always=fault) as server:
        model = remote(server)
        outcome = await reply(model)
        await model.close()
    assert outcome.text == ""
    assert isinstance(outcome.error, ModelError)
    assert outcome.seconds < 2.5
    assert says_nothing_of_others(outcome)
    assert server.url in outcome.reason


@pytest.mark.parametrize("fault", BEFORE)
async def test_before_the_first_word_the_next_server_answers(fault: Fault) -> None:
    with speaking("from the first", always=fault) as first, speaking() as second:
        model = remote(first, second)
        outcome = await reply(model)
        await model.close()
    assert outcome.error is None
    assert outcome.text == LONG_ANSWER
    assert outcome.seconds < 2.5


@pytest.mark.parametrize("fault", AFTER)
async def test_after_the_first_word_the_reply_ends_and_nobody_goes_on_with_it(fault: Fault) -> None:
    with speaking(always=fault) as first, speaking("from the second") as second:
        model = remote(first, second)
        outcome = await reply(model)
        await model.close()
    assert outcome.text.startswith("One two three")
    assert "second" not in outcome.text
    assert isinstance(outcome.error, ModelUnavailable)
    assert outcome.seconds < 4.5
    assert says_nothing_of_others(outcome)
    assert (len(first.chats), len(second.chats)) == (1, 0)


@pytest.mark.parametrize("fault", ["429 for 1 s", "400 temperature", "400 max_tokens", "500", "close mid-stream"])
async def test_what_passes_is_tried_again_on_the_same_server(fault: Fault) -> None:
    with speaking() as server:
        model = remote(server)
        server.faults.append(fault)
        outcome = await reply(model)
        again = await reply(model)
        await model.close()
    assert again.text == LONG_ANSWER
    assert (outcome.error is None) is (fault != "close mid-stream")


async def test_a_slow_reply_is_not_taken_for_a_hanging_one() -> None:
    with speaking(always="slow") as server:
        model = remote(server)
        assert (await reply(model)).text == LONG_ANSWER
        await model.close()


async def test_a_refused_parameter_is_not_sent_again() -> None:
    with speaking() as server:
        model = remote(server)
        server.faults.extend(["400 max_tokens", "400 temperature"])
        assert (await reply(model)).error is None
        assert (await reply(model)).error is None
        await model.close()
    first, last = server.chats[0].body, server.chats[-1].body
    assert {"max_tokens", "temperature"} < set(first)
    assert last["max_completion_tokens"] == 64
    assert not {"max_tokens", "temperature"} & set(last)
    assert len(server.chats) == 4


async def test_a_server_that_asks_for_a_pause_gets_it() -> None:
    with speaking() as server:
        model = remote(server)
        server.faults.append("429 for 1 s")
        assert (await reply(model)).seconds >= 1
        await model.close()


async def test_a_busy_server_is_told_with_the_seconds_that_it_names() -> None:
    with speaking(always="429 for an hour") as server:
        model = remote(server, server)
        outcome = await reply(model)
        await model.close()
    assert isinstance(outcome.error, ModelBusy)
    assert outcome.error.seconds == 3600
    assert len(server.chats) == 2, "a pause that leaves no time for an answer is not waited for"


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        ("401", "set OPENAI_API_KEY"),
        ("403", "set OPENAI_API_KEY"),
        ("404", "model.servers usually end in /v1"),
        ("400 overlong", "model.window"),
        ("307", "give model.servers the address itself"),
        ("only thinking", "model.answer_tokens"),
    ],
)
async def test_what_does_not_pass_is_asked_once_and_says_what_to_do(fault: Fault, cure: str) -> None:
    with speaking(always=fault) as server:
        model = remote(server, retries=3)
        outcome = await reply(model)
        await model.close()
    assert type(outcome.error) is ModelError
    assert cure in outcome.reason
    assert len(server.chats) == 1


async def test_a_model_that_is_not_there_is_told_with_those_that_are() -> None:
    with speaking(model="another-model") as server:
        model = remote(server)
        outcome = await reply(model)
        await model.close()
    assert "set model.name to one that it has (another-model)" in outcome.reason


async def test_nobody_at_the_address_is_an_error_at_once(free_port: int) -> None:
    model = remote(f"http://127.0.0.1:{free_port}/v1")
    outcome = await reply(model)
    await model.close()
    assert isinstance(outcome.error, ModelUnavailable)
    assert "cannot be reached" in outcome.reason
    assert outcome.seconds < 1


async def test_a_server_that_hangs_leaves_time_for_those_after_it() -> None:
    with speaking(always="hang before headers") as first, speaking() as second:
        model = remote(first, first, second)
        outcome = await reply(model)
        await model.close()
    assert outcome.text == LONG_ANSWER
    assert outcome.seconds < 2


async def test_a_dead_server_is_left_alone_and_taken_back_when_it_lives() -> None:
    with speaking(always="500") as first, speaking("from the second") as second:
        clock = Clock()
        model = remote(first, second, clock=clock, retries=0)
        for _ in range(FAILURES):
            await reply(model)
        assert (await reply(model)).text == "from the second"
        assert len(first.chats) == FAILURES
        first.always = None
        clock.now += FIRST_PAUSE_SECONDS
        assert (await reply(model)).text == LONG_ANSWER
        await model.close()


async def test_with_every_server_left_alone_the_error_costs_no_time() -> None:
    with speaking(always="hang before headers") as server:
        model = remote(server, first_token_seconds=0.2)
        await replies(model, FAILURES)
        outcome = await reply(model)
        await model.close()
    assert isinstance(outcome.error, ModelUnavailable)
    assert "is tried again in 5 s" in outcome.reason
    assert outcome.seconds < 0.1
    assert len(server.chats) == FAILURES


async def test_a_reader_who_leaves_frees_the_server() -> None:
    with speaking("word " * 50, rate=50) as server:
        model = remote(server)
        words: list[str] = []

        async def read() -> None:
            async for chunk in model.chat.astream(PROMPT, max_tokens=64):
                words.append(chunk.text)

        reading = asyncio.create_task(read())
        await until(lambda: words)
        reading.cancel()
        await asyncio.wait((reading,))
        await until(lambda: server.hung_up == 1)
        stream = cast(AsyncGenerator[AIMessageChunk], model.chat.astream(PROMPT, max_tokens=64))
        await anext(stream)
        await stream.aclose()
        await until(lambda: server.hung_up == 2)
        await model.close()
