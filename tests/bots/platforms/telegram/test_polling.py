"""Long polling loses nothing and is done by one process at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.asyncio import Redis

from bots.errors import BotsError, SettingsError
from bots.keys import Keys
from rag.errors import StoreUnavailable
from tests.bots.platforms.telegram.scene import QUICK, Scene, open_scene
from tests.loopback.telegram_values import FAULT, RESET, Failure, limited


@pytest.fixture
async def scene(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    async with open_scene(redis, keys) as scene:
        yield scene


async def test_an_update_is_confirmed_only_after_it_was_accepted(scene: Scene) -> None:
    scene.refusals = [StoreUnavailable("Redis is gone")] * 3
    await scene.person().says("First")
    await scene.person().says("Second")
    await scene.platform.start(scene.accept)
    await scene.settled()
    assert [message.text for message in scene.accepted] == ["First", "Second"]


async def test_a_process_that_dies_while_accepting_leaves_the_update_to_the_next(scene: Scene) -> None:
    reached = asyncio.Event()

    async def die(message: object) -> bool:
        reached.set()
        await asyncio.Event().wait()
        return True

    await scene.person().says("Not lost?")
    first = scene.another()
    await first.start(die)
    await reached.wait()
    await first.stop()
    assert scene.telegram.pending()
    await scene.platform.start(scene.accept)
    await scene.settled()
    await first.close()
    assert [message.text for message in scene.accepted] == ["Not lost?"]


async def test_what_was_accepted_but_not_confirmed_is_not_accepted_again(scene: Scene) -> None:
    first = scene.another()
    await scene.person().says("Once?")
    await first.start(scene.accept)
    await scene.until(lambda: scene.accepted)
    await first.stop()
    await scene.platform.start(scene.accept)
    await scene.settled()
    await first.close()
    assert len(scene.accepted) == 1


async def test_of_two_processes_one_polls_and_the_other_takes_over(scene: Scene) -> None:
    second = scene.another()
    await scene.platform.start(scene.accept)
    await scene.until(lambda: scene.telegram.count("getUpdates"))
    await second.start(scene.accept)
    await scene.person().says("To the first")
    await scene.settled()
    assert not any(code == "Conflict" for _, code in scene.reports.errors)
    await scene.platform.stop()
    await scene.person().says("To the second")
    await scene.settled()
    await second.stop()
    await second.close()
    assert [message.text for message in scene.accepted] == ["To the first", "To the second"]


async def test_the_lease_of_a_dead_poller_is_taken_over_when_it_runs_out(scene: Scene) -> None:
    await scene.redis.set(scene.keys.of("telegram", "poller"), "dead", px=300)
    await scene.person().says("Anybody?")
    await scene.platform.start(scene.accept)
    await scene.settled()
    assert len(scene.accepted) == 1


@pytest.mark.parametrize(
    "failure",
    [FAULT, RESET, limited(0.05), Failure(status=409, description="Conflict: terminated"), Failure(status=502)],
)
async def test_polling_goes_on_after_a_failure(scene: Scene, failure: Failure) -> None:
    scene.telegram.fail("getUpdates", failure, failure)
    await scene.platform.start(scene.accept)
    await scene.person().says("Still there?")
    await scene.settled()
    assert len(scene.accepted) == 1


async def test_a_webhook_that_is_set_meanwhile_is_taken_off_again(scene: Scene) -> None:
    await scene.platform.start(scene.accept)
    await scene.until(lambda: scene.telegram.count("getUpdates"))
    await scene.person().says("One")
    await scene.settled()
    scene.telegram.webhook = {"url": "http://127.0.0.1:9/", "secret": ""}
    await scene.person().says("Two")
    await scene.until(lambda: len(scene.accepted) == 2)


async def test_an_update_that_always_fails_does_not_stop_the_others(scene: Scene) -> None:
    scene.refusals = [ValueError("a defect")] * 5
    await scene.person().says("Poison")
    await scene.person().says("Fine")
    await scene.platform.start(scene.accept)
    await scene.settled()
    assert [message.text for message in scene.accepted] == ["Fine"]


async def test_without_a_network_the_start_returns_and_receiving_begins_later(scene: Scene) -> None:
    scene.telegram.fail("getMe", RESET, FAULT, RESET)
    await scene.platform.start(scene.accept)
    await scene.person().says("Now?")
    await scene.settled()
    assert len(scene.accepted) == 1


async def test_a_refused_token_stops_the_start_with_one_line_and_no_token(redis: Redis, keys: Keys) -> None:
    async with open_scene(redis, keys, bot_token=SecretStr("1:wrong")) as scene:
        with pytest.raises(SettingsError, match="TELEGRAM_BOT_TOKEN") as caught:
            await scene.platform.start(scene.accept)
        assert "1:wrong" not in str(caught.value)
        assert "\n" not in str(caught.value)
        with pytest.raises(SettingsError):
            await scene.platform.check()


async def test_check_names_the_bot_and_says_when_telegram_is_away(scene: Scene) -> None:
    assert (await scene.platform.check())["bot"] == "@CotorraBot"
    scene.telegram.fail("getMe", RESET)
    with pytest.raises(BotsError, match="TELEGRAM_API_URL"):
        await scene.platform.check()


async def test_the_age_of_the_last_poll_is_a_figure(scene: Scene) -> None:
    figures = {}
    scene.platform.observe(lambda name, text, read: figures.update({name: read}))
    assert figures["telegram_poll_age_seconds"]() == -1
    await scene.platform.start(scene.accept)
    await scene.person().says("Hello")
    await scene.settled()
    assert 0 <= figures["telegram_poll_age_seconds"]() < 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["message", "edited_message", "callback_query", "my_chat_member", "poll", "message_reaction"])
PARTS = st.sampled_from(
    ["message_id", "date", "chat", "from", "text", "entities", "caption", "photo", "sender_chat", "data", "id", "type"]
)
UPDATES = st.dictionaries(FIELDS, JSON | st.dictionaries(PARTS, JSON, max_size=8), max_size=2)


@given(update=UPDATES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_update_however_strange_stops_what_follows(scene: Scene, update: dict[str, object]) -> None:
    platform = scene.another(QUICK)
    await platform.start(scene.accept)
    before = len(scene.accepted)
    await scene.telegram.push(**update)
    await scene.person().says("After it")
    await scene.settled()
    await platform.stop()
    await platform.close()
    assert scene.accepted[before:][-1].text == "After it"
