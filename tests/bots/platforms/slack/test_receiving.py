"""What Slack sends becomes one message in the inbox, or nothing, and is acknowledged only when it is safe."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.asyncio import Redis

from bots.errors import SettingsError
from bots.keys import Keys
from bots.platforms.slack.identity import NEEDED_SCOPES
from bots.platforms.slack.platform import SlackPlatform
from bots.platforms.slack.settings import SlackSettings
from bots.queue.replies import ReplyLedger
from tests.bots.platforms.slack.scene import SECRET, Scene, said, scene
from tests.loopback.slack_delivery import callback, signed
from tests.loopback.slack_faults import Fault
from tests.loopback.slack_state import BOT_ID, BOT_USER, Json


@pytest.fixture
async def stage(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    async with scene(redis, keys) as made:
        yield made


async def hear(stage: Scene, event: Json, **more: str) -> int:
    """Delivers an event; how many messages were accepted by it."""
    before = len(stage.accepted)
    assert await stage.http.event(callback(event, **more)) == 200
    return len(stage.accepted) - before


async def test_a_direct_message_is_accepted_with_both_of_its_seen_keys(stage: Scene) -> None:
    event = said("How do I &lt;connect&gt; <https://slack.com|Slack>?", ts="1700000000.000100")
    assert await hear(stage, event, event_id="Ev1") == 1
    (message,) = stage.accepted
    assert message.id == "slack:T1:D1:1700000000.000100"
    assert message.seen == (message.id, "slack:event:Ev1")
    assert message.conversation == "slack:T1:D1:1700000000.000100"
    assert message.text == "How do I <connect> Slack (https://slack.com)?"
    assert (message.kind, message.channel) == ("question", "direct")


async def test_no_slack_call_is_made_before_the_acknowledgement(stage: Scene) -> None:
    await hear(stage, said("<@UBOT> hello", channel="C1", kind="app_mention"))
    assert stage.slack.workspace.methods() == ["auth.test"]


async def test_the_twins_of_a_mention_are_one_message(stage: Scene) -> None:
    event = said("<@UBOT> how?", channel="C1", ts="1700000000.000200")
    assert await hear(stage, event) == 1
    assert await hear(stage, {**event, "type": "app_mention"}) == 0
    assert stage.accepted[0].text == "how?"


async def test_a_retry_of_something_accepted_is_dropped_and_of_something_lost_is_taken(stage: Scene) -> None:
    payload = callback(said("hello"))
    stage.stores_down = True
    assert await stage.http.event(payload, tries=2) == 503
    stage.stores_down = False
    assert await stage.http.event(payload) == 200
    assert await stage.http.event(payload) == 200
    assert len(stage.accepted) == 1


async def test_only_slack_is_heard(stage: Scene) -> None:
    body = json.dumps(callback(said("hello")))
    assert (await stage.http.post(body, signed(body, "another secret")))[0] == 401
    assert (await stage.http.post(body, signed(body, SECRET, at=time.time() - 301)))[0] == 401
    assert (await stage.http.post(body, {}))[0] == 401
    garbled = {**signed(body, SECRET), "X-Slack-Request-Timestamp": "yesterday"}
    assert (await stage.http.post(body, garbled))[0] == 401
    assert stage.accepted == []


async def test_a_replayed_request_within_five_minutes_changes_nothing(stage: Scene) -> None:
    body = json.dumps(callback(said("hello")))
    headers = signed(body, SECRET, at=time.time() - 200)
    assert [(await stage.http.post(body, headers))[0] for _ in range(3)] == [200, 200, 200]
    assert len(stage.accepted) == 1


@pytest.mark.parametrize("body", ["{", "[]", "null", "7", '"text"', "payload=%7B", ""])
async def test_bodies_that_are_no_payload_are_the_senders_mistake(stage: Scene, body: str) -> None:
    status, _ = await stage.http.post(body, signed(body, SECRET))
    assert status < 500


async def test_the_url_is_verified(stage: Scene) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "xyz", "token": "t"})
    status, text = await stage.http.post(body, signed(body, SECRET))
    assert status == 200
    assert "xyz" in text


async def test_before_and_after_listening_slack_is_asked_to_come_again(stage: Scene) -> None:
    await stage.platform.stop()
    assert await stage.http.event(callback(said("hello"))) == 503


@pytest.mark.parametrize(
    "event",
    [
        said("I am a bot", bot_id="B2"),
        said("I am you", user=BOT_USER, bot_id=BOT_ID),
        said("joined", channel="C1", subtype="channel_join"),
        said("nobody asked", channel="C1"),
        said("<@U2> look", channel="C1"),
        said("in a thread of others", channel="C1", thread_ts="1600000000.000001"),
        {"type": "reaction_added", "user": "U1", "item": {}},
        {"type": "member_joined_channel", "user": "U1", "channel": "C1"},
    ],
)
async def test_what_is_not_meant_for_the_bot_is_passed_over(stage: Scene, event: Json) -> None:
    assert await hear(stage, event) == 0


ROOT = "1700000000.000300"


async def joined(stage: Scene, channel: str = "C1") -> None:
    assert await hear(stage, said("<@UBOT> how?", channel=channel, kind="app_mention", ts=ROOT)) == 1


async def test_in_a_thread_that_it_joined_the_bot_follows_without_a_new_mention(stage: Scene) -> None:
    await joined(stage)
    assert await hear(stage, said("and for contractors?", channel="C1", thread_ts=ROOT)) == 1
    first, second = stage.accepted
    assert second.conversation == first.conversation == f"slack:T1:C1:{ROOT}"
    assert second.address["thread_ts"] == ROOT


async def test_what_is_said_to_another_person_in_a_joined_thread_is_none_of_the_bots_business(stage: Scene) -> None:
    await joined(stage)
    assert await hear(stage, said("<@U2> what do you think?", channel="C1", thread_ts=ROOT)) == 0
    assert await hear(stage, said("<@U2> <@UBOT> knows", channel="C1", thread_ts=ROOT)) == 1


async def test_in_a_quiet_channel_only_mentions_are_answered(redis: Redis, keys: Keys) -> None:
    async with scene(redis, keys, quiet_channels=("C1",)) as stage:
        await joined(stage)
        assert await hear(stage, said("and?", channel="C1", thread_ts=ROOT)) == 0
        await joined(stage, "C2")
        assert await hear(stage, said("and?", channel="C2", thread_ts=ROOT)) == 1


async def test_with_following_switched_off_every_question_needs_a_mention(redis: Redis, keys: Keys) -> None:
    async with scene(redis, keys, follow_threads=False) as stage:
        await joined(stage)
        assert await hear(stage, said("and?", channel="C1", thread_ts=ROOT)) == 0


async def test_unthreaded_direct_messages_continue_one_conversation_and_so_do_replies_in_their_threads(
    stage: Scene,
) -> None:
    first = await stage.say("How many days?", ts="1700000001.000001")
    second = await stage.say("And contractors?", ts="1700000002.000001")
    third = await stage.say("Since when?", ts="1700000003.000001", thread_ts="1700000002.000001")
    assert first.conversation == second.conversation == third.conversation
    assert second.address["thread_ts"] == "1700000002.000001"
    assert third.address["thread_ts"] == "1700000002.000001"


async def test_new_begins_another_conversation(stage: Scene) -> None:
    first = await stage.say("How many days?")
    assert await stage.http.command(slash("/cotorra", "new", channel="D1")) == 200
    command = stage.accepted[-1]
    assert (command.kind, command.command, command.conversation) == ("command", "new", first.conversation)
    assert (await stage.say("Hello again")).conversation != first.conversation


@pytest.mark.parametrize(
    ("text", "command", "argument"),
    [
        ("new", "new", ""),
        ("/forget", "forget", ""),
        ("forget all", "forget", "all"),
        ("Ayuda", "help", ""),
        ("", "help", ""),
    ],
)
async def test_single_words_are_commands(stage: Scene, text: str, command: str, argument: str) -> None:
    message = await stage.say(f"<@UBOT> {text}", channel="C1", kind="app_mention")
    assert (message.kind, message.command, message.text) == ("command", command, argument)


async def test_questions_that_begin_with_a_command_word_stay_questions(stage: Scene) -> None:
    assert (await stage.say("new joiners: what do they need?")).kind == "question"
    assert (await stage.say("help me")).kind == "question"


async def test_files_are_named(stage: Scene) -> None:
    message = await stage.say("Read this", subtype="file_share", files=[{"name": "plan.pdf"}, {"title": "Photo"}])
    assert message.attachments == ("plan.pdf", "Photo")


async def test_an_edit_of_a_question_is_heard_and_an_unfurled_link_is_not(stage: Scene) -> None:
    original = await stage.say("How mny days?", ts="1700000009.000001")
    inner = {"user": "U1", "ts": "1700000009.000001", "team": "T1"}
    before = {**inner, "text": "How mny days?"}
    changed = {
        "type": "message",
        "subtype": "message_changed",
        "channel": "D1",
        "channel_type": "im",
        "event_ts": "1.2",
    }
    after = {**inner, "text": "How many days?", "edited": {"user": "U1", "ts": "1700000010.000000"}}
    assert await hear(stage, {**changed, "message": after, "previous_message": before}) == 1
    edit = stage.accepted[-1]
    assert (edit.kind, edit.original, edit.text) == ("edit", original.id, "How many days?")
    assert edit.conversation == original.conversation
    assert await hear(stage, {**changed, "message": before, "previous_message": before}) == 0
    strange = {**after, "ts": "1700000011.000001"}
    assert await hear(stage, {**changed, "message": strange, "previous_message": before}) == 0


async def test_a_deleted_question_is_heard_once(stage: Scene) -> None:
    original = await stage.say("Oops", ts="1700000009.000001")
    previous = {"user": "U1", "ts": "1700000009.000001", "text": "Oops"}
    event = {"type": "message", "subtype": "message_deleted", "channel": "D1", "channel_type": "im"}
    gone = {**event, "deleted_ts": "1700000009.000001", "previous_message": previous, "event_ts": "5.1"}
    assert await hear(stage, gone) == 1
    assert await hear(stage, gone) == 0
    assert (stage.accepted[-1].kind, stage.accepted[-1].original) == ("deletion", original.id)


async def test_a_deleted_question_under_which_answers_stand_is_heard_as_deleted(stage: Scene) -> None:
    original = await stage.say("Oops", ts="1700000009.000001")
    inner = {"ts": "1700000009.000001", "thread_ts": "1700000009.000001"}
    tombstone = {**inner, "subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted."}
    event = {"type": "message", "subtype": "message_changed", "channel": "D1", "channel_type": "im", "event_ts": "5.1"}
    gone = {**event, "message": tombstone, "previous_message": {**inner, "user": "U1", "text": "Oops"}}
    assert await hear(stage, gone) == 1
    assert await hear(stage, gone) == 0
    heard = stage.accepted[-1]
    assert (heard.kind, heard.original, heard.conversation) == ("deletion", original.id, original.conversation)


async def test_the_bots_own_updates_are_no_edits(stage: Scene) -> None:
    message = {"user": BOT_USER, "bot_id": BOT_ID, "ts": "1.1", "text": "a"}
    event = {"type": "message", "subtype": "message_changed", "channel": "D1", "message": message}
    assert await hear(stage, {**event, "previous_message": {**message, "text": "b"}}) == 0


def slash(command: str, text: str, *, channel: str = "C1", trigger: str = "9.9.x", url: str = "") -> Json:
    return {
        "command": command,
        "text": text,
        "user_id": "U1",
        "team_id": "T1",
        "channel_id": channel,
        "trigger_id": trigger,
        "response_url": url,
        "api_app_id": "A1",
    }


async def test_ask_is_a_question_that_only_the_asker_sees(stage: Scene) -> None:
    assert await stage.http.command(slash("/ask", "How many days?", url=stage.slack.response_url())) == 200
    (message,) = stage.accepted
    assert (message.kind, message.channel, message.text) == ("question", "ephemeral", "How many days?")
    assert message.conversation == "slack:T1:C1:U1"
    assert message.address["response_url"] == stage.slack.response_url()


@pytest.mark.parametrize(
    ("text", "command"), [("new", "new"), ("forget", "forget"), ("help", "help"), ("?", "help"), ("", "help")]
)
async def test_slash_commands_are_commands(stage: Scene, text: str, command: str) -> None:
    assert await stage.http.command(slash("/cotorra", text)) == 200
    assert (stage.accepted[0].kind, stage.accepted[0].command) == ("command", command)


async def test_a_slash_command_that_could_not_be_stored_is_not_acknowledged(stage: Scene) -> None:
    stage.stores_down = True
    assert await stage.http.command(slash("/ask", "How?")) == 503


async def test_without_socket_or_secret_slack_cannot_start(redis: Redis, keys: Keys) -> None:
    async def store(_: object) -> None: ...

    platform = SlackPlatform(
        SlackSettings(bot_token=SecretStr("xoxb")),
        redis=redis,
        keys=keys,
        ledger=ReplyLedger(redis, keys),
        feedback=store,
    )
    with pytest.raises(SettingsError, match="SLACK_SIGNING_SECRET"):
        platform.routes()
    with pytest.raises(SettingsError, match="SLACK_APP_TOKEN"):
        await platform.start(store)  # type: ignore[arg-type]


async def test_a_refused_bot_token_is_named(stage: Scene) -> None:
    stage.slack.faults.waiting.append(Fault(method="auth.test", code="invalid_auth"))
    with pytest.raises(SettingsError, match="SLACK_BOT_TOKEN"):
        await stage.build().check()


async def test_check_tells_who_the_bot_is_and_what_it_lacks(stage: Scene) -> None:
    stage.slack.scopes = set(NEEDED_SCOPES)
    facts = {"bot": "cotorra", "workspace": "Loopback", "team": "T1", "receives": "http"}
    assert await stage.platform.check() == facts
    stage.slack.scopes -= {"usergroups:read"}
    assert await stage.platform.check() == {**facts, "missing scopes": "usergroups:read"}


async def test_when_slack_is_away_at_the_start_events_are_refused_until_the_bot_knows_itself(stage: Scene) -> None:
    other = stage.build()
    stage.slack.faults.waiting.append(Fault(method="auth.test", kind="server_error", times=1))
    await other.start(stage.accept)
    assert (await other.check())["bot"] == "cotorra"


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    "type", "subtype", "user", "channel", "ts", "thread_ts", "text", "files", "message", "previous_message", "bot_id",
    "channel_type", "assistant_thread", "tab", "deleted_ts", "edited", "team", "event_ts",
)  # fmt: skip
ACTIONS = st.lists(
    st.fixed_dictionaries(
        {"action_id": st.sampled_from(["cotorra_feedback", "cotorra_share", "x"]), "block_id": st.text(max_size=3)},
        optional={"type": st.sampled_from(["button", "feedback_buttons"]), "value": ODD},
    ),
    max_size=2,
)
EVENTS = st.dictionaries(st.sampled_from(NAMES), ODD, max_size=8)
KNOWN = st.sampled_from(
    ["message", "app_mention", "assistant_thread_started", "app_home_opened", "message_changed", "x"]
)
PAYLOADS = st.one_of(
    st.builds(lambda event, kind: callback({**event, "type": kind}), EVENTS, KNOWN | ODD),
    st.builds(
        lambda more, event: {**callback(event), **more},
        st.dictionaries(
            st.sampled_from(["event", "team_id", "authorizations", "event_id", "type", "team"]), ODD, max_size=3
        ),
        EVENTS,
    ),
    st.builds(
        lambda more, kind: {"type": kind, **more},
        st.dictionaries(
            st.sampled_from(["actions", "view", "user", "team", "trigger_id", "channel", "container", "response_url"]),
            ODD | ACTIONS,
            max_size=5,
        ),
        st.sampled_from(
            ["block_actions", "view_submission", "view_closed", "shortcut", "message_action", "url_verification"]
        ),
    ),
    st.dictionaries(st.text(max_size=8), ODD, max_size=4),
)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=PAYLOADS)
async def test_events_of_random_shape_are_never_an_error_of_ours(stage: Scene, payload: Json) -> None:
    body = json.dumps(payload)
    status, _ = await stage.http.post(body, signed(body, SECRET))
    assert status < 500


async def test_the_age_of_the_last_event_is_known(stage: Scene) -> None:
    before = stage.platform.seconds_since_last_event()
    await stage.say("hello")
    assert stage.platform.seconds_since_last_event() < before + 1
    assert stage.platform.seconds_since_last_event() < 1
