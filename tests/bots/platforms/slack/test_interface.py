"""What stands around an answer: who may read it, the pane, slash answers, sharing, feedback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.asyncio import Redis

from bots.errors import DeliveryRetry
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.platforms.slack.identity import NEEDED_SCOPES
from bots.platforms.slack.replying.blocks import Press, to_value
from tests.bots.platforms.slack.scene import Scene, answer, scene, source
from tests.loopback.slack_delivery import callback
from tests.loopback.slack_faults import Fault
from tests.loopback.slack_state import Json


@pytest.fixture
async def stage(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    async with scene(redis, keys, group_audiences={"S1": "board"}) as made:
        yield made


async def resolved(stage: Scene, channel: str = "D1", user: str = "U1", **more: Any) -> IncomingMessage:
    text = "how?" if channel.startswith("D") else "<@UBOT> how?"
    return await stage.platform.resolve(await stage.say(text, channel=channel, user=user, **more))


async def test_before_anybody_is_looked_up_a_message_counts_as_a_guests(stage: Scene) -> None:
    message = await stage.say("<@UBOT> how?", channel="C1")
    assert (message.channel, message.sender.guest) == ("shared", True)


async def test_a_colleague_in_a_channel_of_the_house(stage: Scene) -> None:
    message = await resolved(stage, "C1")
    assert (message.channel, message.sender.guest, message.sender.name) == ("public", False, "Name of U1")


@pytest.mark.parametrize("flag", ["is_restricted", "is_ultra_restricted", "is_stranger"])
async def test_guests_are_known_as_guests(stage: Scene, flag: str) -> None:
    stage.slack.workspace.users["U1"] = {flag: True, "is_admin": True}
    sender = (await resolved(stage)).sender
    assert (sender.guest, sender.admin) == (True, False)


async def test_people_of_another_organisation_are_guests(stage: Scene) -> None:
    stage.slack.workspace.users["U1"] = {"team_id": "T2"}
    assert (await resolved(stage)).sender.guest
    assert (await resolved(stage, "C1", "U2", user_team="T2")).sender.guest


@pytest.mark.parametrize("flag", ["is_ext_shared", "is_org_shared", "is_pending_ext_shared"])
async def test_channels_shared_with_others_are_known(stage: Scene, flag: str) -> None:
    stage.slack.workspace.channels["C1"] = {flag: True}
    assert (await resolved(stage, "C1")).channel == "shared"


async def test_private_channels_and_groups_are_private(stage: Scene) -> None:
    stage.slack.workspace.channels["C1"] = {"is_private": True}
    stage.slack.workspace.channels["C2"] = {"is_mpim": True}
    assert [(await resolved(stage, channel)).channel for channel in ("C1", "C2")] == ["private", "private"]


async def test_user_groups_count_where_only_their_member_reads(stage: Scene) -> None:
    stage.slack.workspace.usergroups = [{"id": "S1", "users": ["U1"]}, {"id": "S2", "users": ["U2"]}]
    assert (await resolved(stage)).sender.groups == ("S1",)
    assert (await resolved(stage, "C1")).sender.groups == ()


@pytest.mark.parametrize("method", ["users.info", "conversations.info", "usergroups.list"])
@pytest.mark.parametrize("code", ["missing_scope", "user_not_found", "channel_not_found"])
async def test_what_slack_will_not_tell_opens_nothing(stage: Scene, method: str, code: str) -> None:
    stage.slack.workspace.usergroups = [{"id": "S1", "users": ["U1"]}]
    stage.slack.faults.waiting.append(Fault(method=method, code=code, times=9))
    channel, direct = await resolved(stage, "C1"), await resolved(stage)
    closed = {
        "users.info": channel.sender.guest and direct.sender.guest and not direct.sender.groups,
        "conversations.info": channel.channel == "shared",
        "usergroups.list": direct.sender.groups == (),
    }
    assert closed[method]


@pytest.mark.parametrize("method", ["users.info", "conversations.info", "usergroups.list"])
@pytest.mark.parametrize(
    ("kind", "code"),
    [("limit", ""), ("reset", ""), ("server_error", ""), ("error", "internal_error"), ("error", "invalid_auth")],
)
async def test_what_slack_cannot_tell_now_is_asked_again_later(stage: Scene, method: str, kind: Any, code: str) -> None:
    message = await stage.say("<@UBOT> how?", channel="D1" if method == "usergroups.list" else "C1")
    fault = Fault(method=method, kind=kind, code=code, times=9, retry_after=30.0)
    stage.slack.faults.waiting.append(fault)
    with pytest.raises(DeliveryRetry) as failed:
        await stage.platform.resolve(message)
    assert failed.value.away
    stage.slack.faults.waiting.clear()
    stage.passed = 60.0
    assert not (await stage.platform.resolve(message)).sender.guest


async def test_many_at_once_cost_one_look_up(stage: Scene) -> None:
    message = await stage.say("how?")
    await asyncio.gather(*(stage.platform.resolve(message) for _ in range(9)))
    methods = stage.slack.workspace.methods()
    assert (methods.count("users.info"), methods.count("usergroups.list")) == (1, 1)


async def test_without_audiences_of_groups_nobody_asks_for_groups(redis: Redis, keys: Keys) -> None:
    async with scene(redis, keys) as stage:
        await resolved(stage)
        assert "usergroups.list" not in stage.slack.workspace.methods()


async def test_look_ups_are_kept_and_shared_between_processes(stage: Scene) -> None:
    await resolved(stage, "C1")
    other = stage.build()
    await other.resolve(stage.accepted[0])
    assert stage.slack.workspace.methods().count("users.info") == 1
    assert stage.slack.workspace.methods().count("conversations.info") == 1


async def test_an_opened_pane_suggests_what_to_ask_in_the_readers_language(stage: Scene) -> None:
    stage.slack.workspace.users["U1"] = {"locale": "es-ES"}
    thread = {"user_id": "U1", "channel_id": "D1", "thread_ts": "1.1", "context": {}}
    for kind in ("assistant_thread_started", "assistant_thread_context_changed"):
        assert await stage.http.event(callback({"type": kind, "assistant_thread": thread, "event_ts": "1.1"})) == 200
    await stage.quiet()
    (prompts,) = stage.slack.workspace.prompts
    assert (prompts["channel_id"], prompts["thread_ts"]) == ("D1", "1.1")
    assert "¿Qué sabes hacer?" in [prompt["title"] for prompt in prompts["prompts"]]


async def test_an_opened_messages_tab_suggests_too_and_the_home_tab_does_not(stage: Scene) -> None:
    for tab in ("home", "messages"):
        event = {"type": "app_home_opened", "user": "U1", "channel": "D1", "tab": tab, "event_ts": "1.1"}
        assert await stage.http.event(callback(event)) == 200
    await stage.quiet()
    (prompts,) = stage.slack.workspace.prompts
    assert "thread_ts" not in prompts


async def test_a_thread_is_named_after_its_first_question_only(stage: Scene) -> None:
    first = await stage.say("How many days of holiday?")
    await stage.say("And contractors?", thread_ts=first.address["thread_ts"])
    await stage.quiet()
    (title,) = stage.slack.workspace.titles
    assert (title["title"], title["thread_ts"]) == ("How many days of holiday?", first.address["thread_ts"])


async def test_furniture_under_way_is_finished_when_the_service_stops(stage: Scene) -> None:
    stage.slack.faults.delays["assistant.threads.setTitle"] = 0.05
    await stage.say("How many days?")
    await stage.platform.stop()
    assert [title["title"] for title in stage.slack.workspace.titles] == ["How many days?"]


async def test_furniture_that_fails_is_counted_and_nothing_else(stage: Scene) -> None:
    stage.slack.faults.waiting.append(Fault(method="assistant.threads.setTitle", code="missing_scope", times=9))
    await stage.say("How many days?")
    await stage.quiet()
    assert ("assistant.threads.setTitle", "missing_scope") in stage.errors


async def asked(stage: Scene, channel: str = "C1", trigger: str = "9.9.x") -> IncomingMessage:
    fields = {"command": "/ask", "text": "How many?", "user_id": "U1", "team_id": "T1", "channel_id": channel}
    url = stage.slack.response_url(trigger)
    assert await stage.http.command({**fields, "trigger_id": trigger, "response_url": url}) == 200
    return stage.accepted[-1]


async def test_an_asked_question_is_answered_to_the_asker_with_a_button_to_share(stage: Scene) -> None:
    message = await asked(stage)
    await stage.deliver(message, answer(message, "25 days [1].", [source()]))
    ((_, response),) = stage.slack.workspace.responses
    assert response["response_type"] == "ephemeral"
    assert [block["type"] for block in response["blocks"]] == ["markdown", "context", "context_actions", "actions"]
    await stage.deliver(message, answer(message, "25 days [1].", [source()]))
    assert len(stage.slack.workspace.responses) == 1


async def test_when_the_response_url_is_spent_the_answer_goes_by_an_ephemeral_post(stage: Scene) -> None:
    message = await asked(stage)
    stage.slack.faults.waiting.append(Fault(method="response_url", kind="limit", times=9))
    await stage.deliver(message, answer(message, "25 days."))
    (ephemeral,) = stage.slack.workspace.ephemerals
    assert (ephemeral["user"], ephemeral["channel"]) == ("U1", "C1")


async def test_an_asked_question_survives_a_broken_connection(stage: Scene) -> None:
    message = await asked(stage)
    stage.slack.faults.waiting.append(Fault(method="response_url", kind="reset"))
    reply, _ = await stage.open(message)
    with pytest.raises(DeliveryRetry):
        await reply.finish(answer(message, "25 days."))
    await stage.deliver(message, answer(message, "25 days."))
    assert len(stage.slack.workspace.responses) == 1


async def press_share(stage: Scene, message: IncomingMessage, channel: str = "C1") -> None:
    value = to_value(Press(turn=message.turn_id, conversation=message.conversation))
    payload = interaction("block_actions", channel, stage, actions=[button("cotorra_share", value)])
    assert (await stage.http.interaction(payload))[0] == 200
    await stage.quiet()


def interaction(kind: str, channel: str, stage: Scene, **more: Any) -> Json:
    return {
        "type": kind,
        "user": {"id": "U1", "team_id": "T1"},
        "team": {"id": "T1"},
        "channel": {"id": channel},
        "trigger_id": "5.5.x",
        "response_url": stage.slack.response_url("press"),
        **more,
    }


def button(action: str, value: str) -> Json:
    return {"type": "button", "action_id": action, "block_id": "b", "value": value, "action_ts": "1.1"}


async def answered(stage: Scene, audience: str, channel: str = "C1") -> IncomingMessage:
    message = await asked(stage, channel)
    outgoing = answer(message, "25 days [1].", [source(audience=audience)])
    reply, entry = await stage.open(message)
    await entry.save(replace(entry.record, final=outgoing))
    await reply.finish(outgoing)
    return message


async def test_a_shared_answer_stands_in_the_channel_once(stage: Scene) -> None:
    message = await answered(stage, "employees")
    await press_share(stage, message)
    await press_share(stage, message)
    (shown,) = stage.slack.workspace.messages.values()
    assert (shown.channel, shown.body) == ("C1", "25 days [1].")


@pytest.mark.parametrize(
    ("audience", "flags", "shared"),
    [("employees", {"is_ext_shared": True}, 0), ("public", {"is_ext_shared": True}, 1), ("board", {}, 0)],
)
async def test_only_what_everyone_in_the_channel_may_read_is_shared(
    stage: Scene, audience: str, flags: Json, shared: int
) -> None:
    stage.slack.workspace.channels["C1"] = flags
    message = await answered(stage, audience)
    await press_share(stage, message)
    assert len(stage.slack.workspace.messages) == shared
    refusals = [r for name, r in stage.slack.workspace.responses if name == "press"]
    assert len(refusals) == 1 - shared


async def test_where_the_bot_cannot_post_the_presser_is_told(stage: Scene) -> None:
    message = await answered(stage, "public")
    stage.slack.workspace.channels["C1"] = {"closed_to_bot": True}
    await press_share(stage, message)
    assert "Invite me" in stage.slack.workspace.responses[-1][1]["text"]
    assert not stage.slack.workspace.messages
    stage.slack.workspace.channels["C1"] = {}
    await press_share(stage, message)
    assert [shown.body for shown in stage.slack.workspace.messages.values()] == ["25 days [1]."]


async def test_i_do_not_know_is_not_shared_because_it_may_name_a_page_of_the_house(stage: Scene) -> None:
    message = await asked(stage)
    unsure = answer(message, "I don't know. Closest is *Layoffs 2027*.")
    reply, entry = await stage.open(message)
    await entry.save(replace(entry.record, final=unsure))
    await reply.finish(unsure)
    ((_, response),) = stage.slack.workspace.responses
    assert [block["type"] for block in response["blocks"]] == ["markdown", "context_actions"]
    await press_share(stage, message)
    assert not stage.slack.workspace.messages


async def rate(stage: Scene, rating: Any) -> tuple[int, str]:
    value = to_value(Press(turn="a" * 16, conversation="slack:T1:D1:1.1", rating=rating))
    action = {**button("cotorra_feedback", value), "type": "feedback_buttons"}
    return await stage.http.interaction(interaction("block_actions", "D1", stage, actions=[action]))


async def test_a_thumb_up_is_stored(stage: Scene) -> None:
    assert (await rate(stage, "up"))[0] == 200
    await stage.quiet()
    (entry,) = stage.feedback
    assert (entry.feedback.turn_id, entry.feedback.rating, entry.feedback.speaker) == ("a" * 16, "up", "U1")
    assert stage.slack.workspace.views == []


async def test_a_thumb_down_is_stored_and_a_modal_asks_for_more(stage: Scene) -> None:
    assert (await rate(stage, "down"))[0] == 200
    await stage.quiet()
    assert [entry.feedback.rating for entry in stage.feedback] == ["down"]
    (view,) = stage.slack.workspace.views
    values = {
        "reason": {"value": {"type": "static_select", "selected_option": {"value": "outdated"}}},
        "better_answer": {"value": {"type": "plain_text_input", "value": "It is 27 now."}},
    }
    submitted = {**view, "id": "V1", "state": {"values": values}}
    status, text = await stage.http.interaction(interaction("view_submission", "D1", stage, view=submitted))
    assert (status, text) == (200, "")
    said = stage.feedback[-1].feedback
    assert (said.reason, said.better_answer, said.turn_id) == ("outdated", "It is 27 now.", "a" * 16)


async def test_a_rating_that_cannot_be_stored_is_not_acknowledged(stage: Scene) -> None:
    stage.stores_down = True
    assert (await rate(stage, "up"))[0] == 503
    assert stage.slack.workspace.views == []


async def test_feedback_buttons_of_the_answer_are_what_the_receiver_understands(stage: Scene) -> None:
    message = await stage.say("How many?")
    await stage.deliver(message, answer(message, "25 days.", [source()]))
    element = stage.screen(message)[0].furniture[-1]["elements"][0]
    pressed = {**button(element["action_id"], element["negative_button"]["value"]), "type": element["type"]}
    assert (await stage.http.interaction(interaction("block_actions", "D1", stage, actions=[pressed])))[0] == 200
    assert stage.feedback[0].feedback.turn_id == message.turn_id


async def test_a_notice_has_no_furniture(stage: Scene) -> None:
    message = await stage.say("help")
    await stage.deliver(message, replace(answer(message, "Ask me."), kind="notice"))
    assert stage.screen(message)[0].furniture == []


async def test_socket_mode_hears_acknowledges_and_reconnects(redis: Redis, keys: Keys) -> None:
    async with scene(redis, keys, socket_mode=True) as stage:
        assert stage.platform.routes() == []
        socket = stage.slack.socket
        assert await socket.connection(1)
        first = await socket.send(event("one", "1700000000.000001"))
        assert await socket.acknowledgement(first)
        await socket.disconnect()
        assert await socket.connection(2)
        assert await socket.acknowledgement(await socket.send(event("two", "1700000000.000002")))
        await socket.break_off()
        assert await socket.connection(3)
        assert await socket.acknowledgement(await socket.send(event("three", "1700000000.000003")))
        assert [message.text for message in stage.accepted] == ["one", "two", "three"]
        assert stage.platform.seconds_since_last_event() < 5


async def test_socket_mode_asks_for_another_address_when_the_first_is_refused(redis: Redis, keys: Keys) -> None:
    async with scene(redis, keys, socket_mode=True) as stage:
        socket = stage.slack.socket
        assert await socket.connection(1)
        socket.refusals = 1
        await socket.disconnect()
        assert await socket.connection(2)
        assert await socket.acknowledgement(await socket.send(event("one", "1700000000.000001")))


async def test_in_socket_mode_what_was_not_stored_is_not_acknowledged_and_taken_when_it_comes_again(
    redis: Redis, keys: Keys
) -> None:
    async with scene(redis, keys, socket_mode=True) as stage:
        socket = stage.slack.socket
        assert await socket.connection(1)
        stage.stores_down = True
        envelope = await socket.send(event("one", "1700000000.000001"))
        assert not await socket.acknowledgement(envelope, timeout=0.3)
        stage.stores_down = False
        assert await socket.acknowledgement(await socket.send(event("one", "1700000000.000001"), retry=1))
        assert len(stage.accepted) == 1


async def test_socket_mode_carries_commands_and_presses(redis: Redis, keys: Keys) -> None:
    async with scene(redis, keys, socket_mode=True) as stage:
        socket = stage.slack.socket
        assert await socket.connection(1)
        fields = {
            "command": "/ask",
            "text": "How?",
            "user_id": "U1",
            "team_id": "T1",
            "channel_id": "C1",
            "trigger_id": "1",
        }
        assert await socket.acknowledgement(await socket.send(fields, kind="slash_commands"))
        assert stage.accepted[0].channel == "ephemeral"


def event(text: str, ts: str) -> Json:
    words = {"type": "message", "channel": "D1", "channel_type": "im", "user": "U1", "text": text, "ts": ts}
    return callback(words)


def test_the_manifest_asks_for_every_scope_and_event_that_the_code_uses() -> None:
    file = Path(__file__).parents[4] / "deploy" / "slack-manifest.yaml"
    manifest = yaml.safe_load(file.read_text(encoding="utf-8"))
    scopes = set(manifest["oauth_config"]["scopes"]["bot"])
    assert scopes >= NEEDED_SCOPES
    events = set(manifest["settings"]["event_subscriptions"]["bot_events"])
    assert events >= {
        "app_mention", "app_home_opened", "message.channels", "message.groups", "message.im", "message.mpim",
    }  # fmt: skip
    commands = {command["command"] for command in manifest["features"]["slash_commands"]}
    assert commands == {"/ask", "/cotorra"}
    assert manifest["settings"]["interactivity"]["is_enabled"]
    assert manifest["features"]["app_home"]["messages_tab_enabled"]
    assert not manifest["features"]["app_home"]["messages_tab_read_only_enabled"]
