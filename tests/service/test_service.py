"""One running service: questions become cited answers in Slack, in Telegram and at the terminal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bots.keys import Keys
from bots.operations.private_redis import PrivateRedis
from rag.memory.conversation import ConversationMemory
from rag.settings import MemorySettings
from rag.store.client import connect
from tests.bots.platforms.slack.scene import said
from tests.loopback.slack_delivery import callback, signed
from tests.loopback.slack_state import Json
from tests.service.stage import HOLIDAY, SECRET, Stage, complete, staged
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("service")) as stage:
        await stage.start()
        yield stage


async def post(stage: Stage, body: str, headers: dict[str, str]) -> int:
    return (await stage.delivery.post(body, headers))[0]


def event() -> str:
    return json.dumps(callback(said(HOLIDAY, channel="D9")))


async def test_a_direct_message_in_slack_gets_a_streamed_answer_with_its_source(stage: Stage) -> None:
    message = await stage.answer(await stage.asks(HOLIDAY))
    assert message.streamed
    assert "Every employee has 27 days of paid holiday a year. [1]" in message.body
    sources, buttons = message.furniture
    assert "<https://help.example.com/holidays|Holidays>" in sources["elements"][0]["text"].replace(".md", "")
    assert buttons["type"] == "context_actions"


async def test_a_private_message_in_telegram_gets_an_answer_in_its_language(stage: Stage) -> None:
    await stage.person(language="es").says("¿Cuántos días de vacaciones pagadas tiene un empleado?")
    shown = await stage.told()
    assert "Cada empleado tiene 27 días de vacaciones pagadas al año." in shown.text
    assert "1. Vacaciones" in shown.text
    assert len(shown.data()) == 2


async def test_a_follow_up_is_understood_from_what_was_said_before(stage: Stage) -> None:
    first = await stage.asks(HOLIDAY, "D2")
    await stage.answer(first)
    follow_up = said("And who gets that?", channel="D2", thread_ts=first.ts)
    assert await stage.delivery.event(callback(follow_up)) == 200
    await until(lambda: len(stage.answers(first)) == 2 and complete(stage.answers(first)[1]))
    assert "Every employee has 27 days" in stage.answers(first)[1].body
    alone = await stage.answer(await stage.asks("And who gets that?", "D8"))
    assert "27" not in alone.body, "this question says nothing without the one before"


async def test_what_the_documents_do_not_say_is_not_answered(stage: Stage) -> None:
    message = await stage.answer(await stage.asks("Who won the football match yesterday in Berlin?", "D3"))
    assert message.body.startswith("I could not find this in the documents")


async def test_both_twins_and_every_retry_are_answered_once(stage: Stage) -> None:
    mention = said(f"<@UBOT> {HOLIDAY}", channel="C1", kind="app_mention")
    twin = {**mention, "type": "message", "channel_type": "channel"}
    for payload in (mention, twin, mention):
        assert await stage.delivery.event(callback(payload)) == 200
    await until(lambda: bool(stage.slack.workspace.replies("C1", mention["ts"])))
    later = said(f"<@UBOT> {HOLIDAY}", channel="C1", kind="app_mention", thread_ts=mention["ts"])
    assert await stage.delivery.event(callback(later)) == 200
    await until(lambda: len(stage.slack.workspace.replies("C1", mention["ts"])) == 2)
    assert 'cotorra_messages_duplicate_total{platform="slack"} 2.0' in await stage.text("/metrics")


async def test_a_rating_is_kept_with_its_turn(stage: Stage) -> None:
    sent = await stage.asks("How do I reset my password?", "D4")
    element = (await stage.answer(sent)).furniture[-1]["elements"][0]
    value = element["positive_button"]["value"]
    action = {"type": element["type"], "action_id": element["action_id"], "block_id": "b", "value": value}
    person: Json = {"user": {"id": "U1", "team_id": "T1"}, "team": {"id": "T1"}, "channel": {"id": "D4"}}
    pressed = {"type": "block_actions", **person, "trigger_id": "1.1", "actions": [{**action, "action_ts": "1.1"}]}
    assert (await stage.delivery.interaction(pressed))[0] == 200

    await stage.recorded()
    [turn] = await stage.shown(sent.conversation)
    assert [one["rating"] for one in turn["feedback"]] == ["up"]
    assert turn["turn"]["question"] == "How do I reset my password?"
    assert turn["turn"]["passages"][turn["turn"]["cited"][0]]["title"] == "Passwords"
    assert turn["turn"]["speaker"] != "U1"


async def test_a_second_process_asks_through_the_running_service(stage: Stage) -> None:
    answer = json.loads(await stage.cotorra("ask", HOLIDAY, "--json"))
    assert "27 days" in answer["text"]
    assert (answer["answered"], answer["sources"][0]["title"]) == (True, "Holidays")
    [found, *_] = json.loads(await stage.cotorra("search", "paid holiday", "--json"))
    assert set(found) == {"title", "url", "text", "score", "source"}
    assert "0 added" in await stage.cotorra("sync")


async def test_a_document_that_is_added_is_found_without_a_command(stage: Stage) -> None:
    (stage.folder / "docs" / "parking.md").write_text("# Parking\n\nThe garage opens at 6:40.\n", encoding="utf-8")

    async def found() -> bool:
        return "6:40" in await stage.cotorra("search", "When does the garage open?", "--json", "--limit", "1")

    await until(found)


async def test_health_readiness_and_figures(stage: Stage) -> None:
    await stage.answer(await stage.asks(HOLIDAY, "D5"))
    assert await stage.status("/healthz") == 200
    assert json.loads(await stage.text("/readyz")) == {"ready": True, "waiting_for": {}}
    text = await stage.text("/metrics")
    assert figure(text, 'cotorra_messages_accepted_total{platform="slack"}') >= 1
    assert figure(text, 'cotorra_messages_answered_total{outcome="answered",platform="slack"}') >= 1
    for name in ("condense", "retrieve", "answer", "ground"):
        assert figure(text, f'cotorra_stage_seconds_count{{stage="{name}"}}') >= 1
    assert figure(text, "cotorra_set_aside_length") == 0


def figure(text: str, name: str) -> float:
    found = re.search(re.escape(name) + r" ([\d.]+)$", text, re.MULTILINE)
    assert found, f"no {name} in /metrics"
    return float(found[1])


async def test_a_forged_or_stale_request_is_refused(stage: Stage) -> None:
    before = figure(await stage.text("/metrics"), 'cotorra_messages_accepted_total{platform="slack"}')
    body = event()
    assert await post(stage, body, signed(body, "another secret")) == 401
    assert await post(stage, body, signed(body, SECRET, at=time.time() - 360)) == 401
    assert await post(stage, body, signed(body, SECRET, at=time.time() + 360)) == 401
    assert await post(stage, body + " ", signed(body, SECRET)) == 401
    assert await post(stage, body, {}) == 401
    assert figure(await stage.text("/metrics"), 'cotorra_messages_accepted_total{platform="slack"}') == before


@pytest.mark.parametrize("body", ["{", "[]", "null", "[" * 5000])
async def test_what_cannot_be_read_is_a_clients_error(stage: Stage, body: str) -> None:
    assert await post(stage, body, signed(body, SECRET)) == 400


async def test_a_large_body_is_refused(stage: Stage) -> None:
    body = "x" * 5_000_000
    assert await post(stage, body, signed(body, SECRET)) == 413


async def test_the_webhook_is_closed_while_telegram_is_polled(stage: Stage) -> None:
    async with stage.session.post(f"{stage.url}/telegram/webhook", json={"update_id": 1}) as answer:
        assert answer.status == 404


async def test_a_conversation_is_forgotten_in_memory_and_log(stage: Stage) -> None:
    sent = await stage.asks(HOLIDAY, "D6")
    await stage.answer(sent)

    await stage.recorded()
    assert len(await stage.shown(sent.conversation)) == 1
    await stage.cotorra("conversations", "forget", sent.conversation, "--yes")
    await stage.recorded()
    assert await stage.shown(sent.conversation) == []
    async with connect(PrivateRedis(stage.home).url) as redis:
        memory = ConversationMemory(redis, MemorySettings(), Keys().memory)
        assert await memory.load(sent.conversation) == []
        left = [name async for name in redis.scan_iter(match=f"*{sent.conversation}*")]
    assert left == []


async def test_the_log_lines_hold_no_text_and_no_secret(stage: Stage) -> None:
    await stage.answer(await stage.asks("Where does Zebulon keep the paid holiday?", "D7"))
    lines = (stage.folder / "service.log").read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    for hidden in ("Zebulon", "xoxb-loopback", "loopback-token", SECRET, "Traceback"):
        assert not [line for line in lines if hidden in line]
