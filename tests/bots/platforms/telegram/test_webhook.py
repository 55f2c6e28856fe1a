"""The webhook: closed without the secret, and a 200 only for what is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.asyncio import Redis

from bots.errors import SettingsError
from bots.keys import Keys
from rag.errors import StoreUnavailable
from tests.bots.platforms.telegram.scene import SECRET, Scene, open_scene, receiving
from tests.bots.platforms.telegram.test_polling import UPDATES

HEADER = "X-Telegram-Bot-Api-Secret-Token"
PATH = "/telegram/webhook"


@pytest.fixture
async def scene(redis: Redis, keys: Keys, free_port: int) -> AsyncIterator[Scene]:
    async with receiving(redis, keys, free_port) as scene:
        yield scene


@pytest.fixture
async def client(scene: Scene, free_port: int) -> AsyncIterator[httpx.AsyncClient]:
    base = f"http://127.0.0.1:{free_port}"
    async with httpx.AsyncClient(base_url=base, headers={HEADER: SECRET}) as client:
        yield client


async def test_the_webhook_is_set_with_its_secret_and_the_updates_wanted(scene: Scene, free_port: int) -> None:
    [call] = [call for call in scene.telegram.calls if call.method == "setWebhook"]
    assert call.params["url"] == f"http://127.0.0.1:{free_port}/telegram/webhook"
    assert call.params["secret_token"] == SECRET
    assert "callback_query" in call.params["allowed_updates"]


@pytest.mark.parametrize("headers", [{HEADER: "wrong"}, {HEADER: ""}, {HEADER: b"se\xf1al"}])
async def test_without_the_secret_nobody_is_heard(scene: Scene, free_port: int, headers: dict[str, Any]) -> None:
    update = {"update_id": 1, "message": scene.person().message("Let me in")}
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{free_port}/telegram/webhook", json=update, headers=headers)
    assert answer.status_code == 401
    assert scene.accepted == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[1]", 400), (b"\xff\xfe", 400), (b"[" * 100_000, 400), (b"x" * 1_000_001, 413)],
)
async def test_what_is_no_update_is_refused(client: httpx.AsyncClient, body: bytes, status: int) -> None:
    assert (await client.post(PATH, content=body)).status_code == status


async def test_telegram_comes_again_until_the_message_is_durable(scene: Scene) -> None:
    scene.refusals = [StoreUnavailable("Redis is gone")] * 2
    await scene.person().says("Keep me")
    await scene.settled()
    assert [status for _, status in scene.telegram.deliveries] == [503, 503, 200]
    assert len(scene.accepted) == 1


async def test_before_the_start_and_after_the_stop_telegram_is_asked_to_come_again(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    await scene.platform.stop()
    update = {"update_id": 1, "message": scene.person().message("Too late")}
    assert (await client.post(PATH, json=update)).status_code == 503


@given(update=UPDATES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_update_however_strange_is_a_fault(client: httpx.AsyncClient, update: dict[str, object]) -> None:
    assert (await client.post(PATH, json={"update_id": 7, **update})).status_code == 200


@given(body=st.binary(max_size=64))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_however_strange_is_a_fault(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await client.post(PATH, content=body)).status_code in (200, 400)


@pytest.mark.parametrize("secret", [None, "", "not allowed!"])
async def test_a_webhook_without_a_proper_secret_refuses_to_start(redis: Redis, keys: Keys, secret: str | None) -> None:
    given = None if secret is None else SecretStr(secret)
    with pytest.raises(SettingsError, match="TELEGRAM_WEBHOOK_SECRET") as caught:
        async with open_scene(redis, keys, webhook_url="https://bot.example.com", webhook_secret=given):
            pass
    assert "\n" not in str(caught.value)
