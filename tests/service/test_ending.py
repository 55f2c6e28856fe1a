"""However the service or its Redis ends, what was accepted is answered once; and who is not known is refused."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.bots.platforms.slack.scene import said
from tests.loopback.slack_delivery import callback
from tests.loopback.slack_state import BOT_USER
from tests.service.stage import HOLIDAY, WEBHOOK_SECRET, Sent, Stage, complete, staged
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("ending"), TELEGRAM_WEBHOOK_SECRET=WEBHOOK_SECRET) as stage:
        stage.environ["TELEGRAM_WEBHOOK_URL"] = stage.url
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def running(stage: Stage) -> Stage:
    """The stage with its service running and ready."""
    stage.slack.faults.delays.clear()
    if stage.process is None or stage.process.returncode is not None:
        await stage.start()
    return stage


async def flood(stage: Stage, batch: str, count: int) -> list[Sent]:
    """Questions in four conversations at once, each acknowledged, all with the same slow Slack before them."""
    return list(await asyncio.gather(*(stage.asks(HOLIDAY, f"D{batch}{number % 4}") for number in range(count))))


async def each_answered_once(stage: Stage, sent: list[Sent]) -> None:
    await until(lambda: all(any(map(complete, stage.answers(each))) for each in sent))
    await stage.handled()
    assert [len(stage.answers(each)) for each in sent] == [1] * len(sent)
    assert all("27 days of paid holiday" in stage.answers(each)[0].body for each in sent)


async def test_what_is_accepted_while_the_models_load_is_answered_when_they_are_there(stage: Stage) -> None:
    async def slack_is_served() -> bool:
        return "slack" not in await stage.text("/readyz")

    await stage.start(ready="/healthz")
    await until(slack_is_served)
    sent = await stage.asks(HOLIDAY, "D1")
    await stage.person().says(HOLIDAY)
    await each_answered_once(stage, [sent])
    assert "27 days" in (await stage.told()).text


async def test_an_update_needs_the_secret_token(running: Stage) -> None:
    url, update = f"{running.url}/telegram/webhook", {"update_id": 1, "message": running.person(user=5).message("hi")}
    for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "another"}):
        async with running.session.post(url, json=update, headers=headers) as answer:
            assert answer.status == 401
    known = {"X-Telegram-Bot-Api-Secret-Token": WEBHOOK_SECRET}
    for body, status in ((b"{", 400), (b"[]", 400), (b"x" * 5_000_000, 413)):
        async with running.session.post(url, data=body, headers=known) as answer:
            assert answer.status == status


async def test_killed_with_messages_in_hand_each_is_answered_once(running: Stage) -> None:
    stage = running
    stage.slack.faults.delays = {"chat.stopStream": 0.3}
    before = stage.slack.workspace.methods().count("chat.startStream")
    sent = await flood(stage, "K", 8)
    await stage.person(chat=78, user=78).says(HOLIDAY)
    await until(lambda: stage.slack.workspace.methods().count("chat.startStream") > before + 2)
    stage.kill()
    await stage.stop()
    assert not all(any(map(complete, stage.answers(each))) for each in sent), "it was killed too late"
    await stage.start()
    await each_answered_once(stage, sent)
    assert "27 days" in (await stage.told(78)).text


async def test_told_to_stop_it_finishes_what_it_shows_and_leaves_the_rest_for_the_next_start(running: Stage) -> None:
    stage = running
    stage.slack.faults.delays = {"chat.stopStream": 0.3}
    sent = await flood(stage, "S", 8)
    await until(lambda: any(stage.answers(each) for each in sent))
    assert await stage.stop() == 0
    assert not any(message.streaming for message in stage.slack.workspace.messages.values())
    assert not (stage.home / "control.sock").exists()
    assert not (stage.home / "redis" / "redis.sock").exists()
    await stage.start()
    await each_answered_once(stage, sent)


async def test_without_redis_nothing_is_acknowledged_and_nothing_accepted_is_lost(running: Stage) -> None:
    stage = running
    stage.slack.faults.delays = {"chat.startStream": 0.5}
    sent = await flood(stage, "R", 4)
    os.kill(int((stage.home / "redis" / "redis.pid").read_text()), signal.SIGKILL)
    refused = said(HOLIDAY, channel="DR9")

    async def accepted() -> bool:
        return await stage.delivery.event(callback(refused)) == 200

    assert await stage.delivery.event(callback(refused)) == 503
    await stage.person(chat=79, user=79).says(HOLIDAY)
    # Nobody helps: the service starts its Redis again, and the platforms retry.
    await until(accepted)
    await each_answered_once(stage, [*sent, Sent(channel="DR9", ts=refused["ts"])])
    assert "27 days" in (await stage.told(79)).text
    await until(lambda: not stage.telegram.pending())
    assert not [m for m in stage.slack.workspace.messages.values() if m.user == BOT_USER and "Sorry" in m.body]
