"""Whatever Slack answers, the whole answer stands on the screen once, with its sources and buttons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from bots.errors import DeliveryRefused, DeliveryRetry, LeaseLost
from bots.keys import Keys
from bots.messages import IncomingMessage, OutgoingReply
from tests.bots.platforms.slack.scene import Scene, answer, scene, source
from tests.loopback.slack_faults import Fault, Kind

QUOTES = (
    "Employees have **25 days** of holiday [1].\n\n",
    "Contractors agree theirs in the contract [2].\n\n",
    "| who | days |\n| --- | --- |\n| all | 25 |\n\n",
    "```python\nprint('ask your manager')\n```",
)
TEXT = "".join(QUOTES)
KINDS: tuple[Kind, ...] = ("error", "limit", "server_error", "reset", "lost_answer")


@pytest.fixture
async def stage(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    async with scene(redis, keys) as made:
        yield made


def whole(stage: Scene, message: IncomingMessage) -> str:
    """What a reader sees, all messages after each other."""
    return "".join(shown.body for shown in stage.screen(message))


def complete(stage: Scene, message: IncomingMessage, text: str = TEXT) -> None:
    assert whole(stage, message) == text
    furniture = [block["type"] for shown in stage.screen(message) for block in shown.furniture]
    assert furniture == ["context", "context_actions"]
    assert stage.screen(message)[-1].furniture, "the furniture stands below the last message"


async def speak(stage: Scene, message: IncomingMessage, outgoing: OutgoingReply) -> None:
    """Shows and finishes as a worker does; a failed delivery is tried again as the inbox does."""
    reply, _ = await stage.open(message)
    text = ""
    for quote in QUOTES:
        text += quote
        await reply.show(text)
        stage.passed += 0.2  # as a model writes; what comes within milliseconds is shown in one step
    try:
        await reply.finish(outgoing)
    except DeliveryRetry:
        await stage.deliver(message, outgoing)


async def test_an_answer_grows_in_a_stream_and_ends_with_sources_and_buttons(stage: Scene) -> None:
    message = await stage.say("How many days?")
    await speak(stage, message, answer(message, TEXT, [source(1), source(2, title="A & <B>", url="file:///x")]))
    complete(stage, message)
    (shown,) = stage.screen(message)
    growing = [body for _, body, kinds in shown.states if not kinds]
    assert len(set(growing)) >= 3
    assert all(TEXT.startswith(body) for body in growing)
    sources = shown.furniture[0]["elements"][0]["text"]
    assert "1. <https://help.example.com/h|Holidays>" in sources
    assert "2. A &amp; &lt;B&gt;" in sources
    start = next(call for call in stage.slack.workspace.calls if call.method == "chat.startStream")
    assert start.arguments["thread_ts"] == message.address["thread_ts"]


async def test_outside_direct_messages_a_stream_names_its_recipient(stage: Scene) -> None:
    message = await stage.say("<@UBOT> how many?", channel="C1", kind="app_mention")
    await speak(stage, message, answer(message, TEXT, [source()]))
    complete(stage, message)
    assert stage.screen(message)[0].streamed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", range(1, 8))
async def test_each_call_may_fail_and_nothing_of_the_answer_is_lost_or_shown_twice(
    stage: Scene, kind: Kind, first: int
) -> None:
    message = await stage.say("How many days?")
    await stage.quiet()
    stage.slack.workspace.calls.clear()
    stage.slack.faults.waiting.append(Fault(method="*", kind=kind, code="some_trouble", first=first))
    await speak(stage, message, answer(message, TEXT, [source()]))
    complete(stage, message)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update"])
async def test_a_method_that_never_works_costs_nothing_of_the_answer(stage: Scene, method: str, kind: Kind) -> None:
    message = await stage.say("How many days?")
    stage.slack.faults.waiting.append(Fault(method=method, kind=kind, code="not_here", times=1000, retry_after=60))
    await speak(stage, message, answer(message, TEXT, [source()]))
    complete(stage, message)


@pytest.mark.parametrize(
    "code", ["message_not_in_streaming_state", "channel_type_not_supported", "method_not_supported"]
)
async def test_where_streams_end_early_the_rest_follows_in_another_message(stage: Scene, code: str) -> None:
    message = await stage.say("How many days?")
    stage.slack.faults.waiting.append(Fault(method="chat.appendStream", code=code, times=9))
    await speak(stage, message, answer(message, TEXT, [source()]))
    complete(stage, message)
    assert len(stage.screen(message)) == 2


async def test_after_the_first_steps_appends_keep_slacks_pace_and_the_tail_comes_with_the_end(stage: Scene) -> None:
    message = await stage.say("How many days?")
    words = [f"word{number} " for number in range(10)]
    reply, _ = await stage.open(message)
    for count in range(1, 10):
        await reply.show("".join(words[:count]))
        stage.passed += 0.2 if count < 3 else 0.0
    assert whole(stage, message) == "".join(words[:3])
    stage.passed += 0.7
    await reply.show("".join(words[:9]))
    assert whole(stage, message) == "".join(words[:9])
    await reply.finish(answer(message, "".join(words), [source()]))
    complete(stage, message, "".join(words))
    assert stage.slack.workspace.methods().count("chat.appendStream") == 3


async def test_an_answer_that_is_ready_at_once_takes_two_calls(stage: Scene) -> None:
    message = await stage.say("How many days?")
    reply, _ = await stage.open(message)
    text = ""
    for quote in QUOTES:
        text += quote
        await reply.show(text)
    await reply.finish(answer(message, TEXT, [source()]))
    complete(stage, message)
    assert [name for name in stage.slack.workspace.methods() if "Stream" in name] == [
        "chat.startStream",
        "chat.stopStream",
    ]


async def test_a_stream_of_four_minutes_is_ended_and_another_one_begun(stage: Scene) -> None:
    message = await stage.say("How many days?")
    reply, _ = await stage.open(message)
    await reply.show(QUOTES[0])
    stage.passed += 241
    await reply.show(QUOTES[0] + QUOTES[1])
    await reply.finish(answer(message, TEXT, [source()]))
    complete(stage, message)
    assert [shown.streamed for shown in stage.screen(message)] == [True, True]


async def test_posts_are_updated_at_their_own_pace(stage: Scene) -> None:
    message = await stage.say("How many days?")
    stage.slack.faults.waiting.append(Fault(method="chat.startStream", code="not_here", times=9))
    reply, _ = await stage.open(message)
    for count in range(1, 9):
        await reply.show("word " * count)
        stage.passed += 0.2 if count < 3 else 0.0
    assert stage.slack.workspace.methods().count("chat.update") == 2
    await reply.finish(answer(message, "word " * 8, [source()]))
    complete(stage, message, "word " * 8)


async def test_a_limited_start_falls_back_to_a_post_rather_than_wait(stage: Scene) -> None:
    message = await stage.say("How many days?")
    stage.slack.faults.waiting.append(Fault(method="chat.startStream", kind="limit", retry_after=30))
    await speak(stage, message, answer(message, TEXT, [source()]))
    complete(stage, message)
    other = await stage.say("And contractors?", channel="D2")
    await speak(stage, other, answer(other, TEXT, [source()]))
    complete(stage, other)
    assert stage.slack.workspace.methods().count("chat.startStream") == 1, "the limit holds for the whole workspace"


async def test_a_long_limit_of_posts_is_left_to_the_inbox_and_holds_for_its_channel_only(stage: Scene) -> None:
    stage.busy = True
    message, other = await stage.say("One?"), await stage.say("Two?", channel="D2")
    stage.slack.faults.waiting.append(Fault(method="chat.postMessage", kind="limit", retry_after=90))
    reply, _ = await stage.open(message)
    with pytest.raises(DeliveryRetry) as raised:
        await reply.finish(answer(message, "One."))
    assert raised.value.after == 90
    await stage.deliver(other, answer(other, "Two."))
    assert whole(stage, other) == "Two."
    with pytest.raises(DeliveryRetry):
        await (await stage.open(message))[0].finish(answer(message, "One."))
    assert stage.slack.workspace.methods().count("chat.postMessage") == 2


async def test_under_a_backlog_an_answer_is_one_post(stage: Scene) -> None:
    stage.busy = True
    message = await stage.say("How many days?")
    await speak(stage, message, answer(message, TEXT, [source()]))
    complete(stage, message)
    assert [m for m in stage.slack.workspace.methods() if m.startswith(("chat", "assistant"))] == ["chat.postMessage"]


async def test_a_post_unfurls_nothing_and_says_which_turn_it_belongs_to(stage: Scene) -> None:
    stage.busy = True
    message = await stage.say("How many days?")
    await stage.deliver(message, answer(message, TEXT))
    post = next(call.arguments for call in stage.slack.workspace.calls if call.method == "chat.postMessage")
    assert (post["unfurl_links"], post["unfurl_media"]) == (False, False)
    assert post["metadata"] == {"event_type": "cotorra_reply", "event_payload": {"turn_id": message.turn_id}}


@pytest.mark.parametrize("refused", [{"context_actions"}, {"context_actions", "actions"}])
async def test_where_blocks_are_refused_plainer_ones_or_none_are_sent(stage: Scene, refused: set[str]) -> None:
    stage.slack.methods.refused = refused
    message = await stage.say("How many days?")
    await speak(stage, message, answer(message, TEXT, [source()]))
    assert whole(stage, message) == TEXT
    kinds = {block["type"] for shown in stage.screen(message) for block in shown.furniture}
    assert kinds == ({"context", "actions"} if len(refused) == 1 else set())


@pytest.mark.parametrize("busy", [True, False])
async def test_a_long_answer_goes_on_in_a_second_message_with_its_code_block_reopened(stage: Scene, busy: bool) -> None:
    stage.busy = busy
    code = "\n".join(f"line_{number} = {number}" for number in range(900))
    text = f"{'word ' * 900}\n\n```python\n{code}\n```\n\nThe end."
    message = await stage.say("Everything, please")
    reply, _ = await stage.open(message)
    await reply.show(text[: len(text) // 2])
    await reply.show(text)
    await reply.finish(answer(message, text, [source()]))
    shown = stage.screen(message)
    assert len(shown) >= 2
    assert all(len(part.body) <= 11_100 for part in shown)
    assert all(part.body.count("```") % 2 == 0 for part in shown)
    assert _words("".join(part.body for part in shown)) == _words(text)
    assert [bool(part.furniture) for part in shown] == [False] * (len(shown) - 1) + [True]


@pytest.mark.parametrize("refused", ["nothing", "chat.startStream", "chat.appendStream"])
@pytest.mark.parametrize("busy", [True, False])
async def test_after_a_crash_at_any_call_the_reply_is_completed_and_shown_once(
    stage: Scene, busy: bool, refused: str
) -> None:
    stage.busy = busy
    stage.slack.faults.waiting.append(Fault(method=refused, code="not_here", times=1000))
    for crash_after in range(1, 7):
        message = await stage.say("How many days?", channel=f"D{crash_after}")
        await stage.quiet()
        outgoing = answer(message, TEXT, [source()])
        with suppress(_CrashError), _crash(stage, crash_after):
            await speak(stage, message, outgoing)
        stage.platform = stage.build()
        await stage.deliver(message, outgoing)
        complete(stage, message)


async def test_the_reply_to_an_earlier_question_in_the_thread_is_never_mistaken_for_a_lost_one(stage: Scene) -> None:
    first = await stage.say("How many days?")
    await speak(stage, first, answer(first, TEXT, [source()]))
    second = await stage.say("And contractors?", thread_ts=first.address["thread_ts"])
    await stage.open(second)
    await stage.deliver(second, answer(second, "None.", [source()]))
    assert [shown.body for shown in stage.screen(first)] == [TEXT, "None."]


async def test_a_second_computation_that_differs_replaces_what_was_shown(stage: Scene) -> None:
    message = await stage.say("How many days?")
    reply, _ = await stage.open(message)
    await reply.show(QUOTES[0])
    stage.platform = stage.build()
    other = "Something else altogether."
    await stage.deliver(message, answer(message, other, [source()]))
    complete(stage, message, other)


async def test_a_finished_reply_is_not_sent_again(stage: Scene) -> None:
    message = await stage.say("How many days?")
    await speak(stage, message, answer(message, TEXT, [source()]))
    calls = len(stage.slack.workspace.calls)
    await stage.deliver(message, answer(message, TEXT, [source()]))
    assert len(stage.slack.workspace.calls) == calls


async def test_a_worker_that_lost_the_conversation_sends_nothing_more(stage: Scene) -> None:
    message = await stage.say("How many days?")
    reply, _ = await stage.open(message)
    await reply.show(QUOTES[0])
    await stage.redis.set(stage.keys.lease(message.conversation), "somebody else")
    stage.passed += 0.2
    with pytest.raises(LeaseLost):
        await reply.show(QUOTES[0] + QUOTES[1])
    assert stage.slack.workspace.methods().count("chat.appendStream") == 1


@pytest.mark.parametrize("code", ["is_archived", "channel_not_found"])
async def test_what_slack_will_never_take_is_refused(stage: Scene, code: str) -> None:
    message = await stage.say("How many days?")
    stage.slack.faults.waiting.append(Fault(method="*", code=code, times=99))
    reply, _ = await stage.open(message)
    await reply.show(TEXT)
    with pytest.raises(DeliveryRefused):
        await reply.finish(answer(message, TEXT))


@pytest.mark.parametrize(
    ("fault", "away"),
    [
        (Fault(method="*", code="token_revoked", times=99), True),
        (Fault(method="*", kind="limit", retry_after=90, times=99), True),
        (Fault(method="*", kind="reset", times=99), True),
        (Fault(method="*", code="msg_too_long", times=99), False),
    ],
)
async def test_a_slack_that_is_away_is_told_from_one_that_dislikes_the_message(
    stage: Scene, fault: Fault, away: bool
) -> None:
    message = await stage.say("How many days?")
    stage.busy = True
    reply, _ = await stage.open(message)
    stage.slack.faults.waiting.append(fault)
    with pytest.raises(DeliveryRetry) as raised:
        await reply.finish(answer(message, TEXT))
    assert raised.value.away == away


async def test_an_edited_question_is_answered_again_in_the_place_of_the_old_answer(stage: Scene) -> None:
    message = await stage.say("How many days?")
    await speak(stage, message, answer(message, TEXT, [source()]))
    before = await stage.ledger.find(message.conversation, message.turn_id)
    assert before is not None
    edit = replace(message, id="slack:edit:1", kind="edit", original=message.id)
    reply, entry = await stage.open(edit)
    await entry.save(replace(entry.record, posts=before.posts, text=before.text))
    reply = await stage.platform.reply(edit, entry)
    await reply.show("Contractors: none.")
    await reply.finish(answer(message, "Contractors: none.", [source()]))
    complete(stage, message, "Contractors: none.")


async def test_an_edit_that_needs_fewer_messages_removes_the_others(stage: Scene) -> None:
    message = await stage.say("Everything")
    long = "A sentence of some length. " * 900
    await stage.deliver(message, answer(message, long, [source()]))
    assert len(stage.screen(message)) == 3
    before = await stage.ledger.find(message.conversation, message.turn_id)
    assert before is not None
    _, entry = await stage.open(replace(message, id="slack:edit:2", kind="edit", original=message.id))
    await entry.save(replace(entry.record, posts=before.posts, text=before.text))
    await (await stage.platform.reply(message, entry)).finish(answer(message, "Short.", [source()]))
    complete(stage, message, "Short.")
    assert len(stage.screen(message)) == 1


async def test_a_message_that_can_no_longer_be_changed_is_followed_by_the_rest(stage: Scene) -> None:
    message = await stage.say("How many days?")
    reply, _ = await stage.open(message)
    await reply.show(QUOTES[0])
    stage.platform = stage.build()
    stage.slack.faults.waiting.append(Fault(method="chat.update", code="edit_window_closed", times=9))
    await stage.deliver(message, answer(message, TEXT, [source()]))
    complete(stage, message)


async def test_a_message_that_somebody_deleted_is_written_again(stage: Scene) -> None:
    message = await stage.say("How many days?")
    reply, _ = await stage.open(message)
    await reply.show(QUOTES[0])
    stage.slack.workspace.messages.clear()
    await reply.finish(answer(message, TEXT, [source()]))
    complete(stage, message)


async def test_a_status_shows_while_work_goes_on_and_never_after_the_answer(stage: Scene) -> None:
    message = await stage.say("How many days?")
    await stage.quiet()
    reply, _ = await stage.open(message)
    stage.slack.faults.delays["assistant.threads.setStatus"] = 0.05
    await reply.status("retrieve")
    await reply.show(QUOTES[0])
    methods = [m for m in stage.slack.workspace.methods() if m != "auth.test"]
    assert methods[-2:] == ["assistant.threads.setStatus", "chat.startStream"]
    assert "searching" in stage.slack.workspace.statuses[0]["status"]


@pytest.mark.parametrize(
    "call",
    ["<!channel>", "<!here|here>", "<@U999>", "<!subteam^S1>", "@channel", "@here", "&lt;!here&gt;", "<\\!everyone>"],
)
@pytest.mark.parametrize("busy", [True, False])
async def test_no_document_can_make_the_bot_call_people(stage: Scene, call: str, busy: bool) -> None:
    stage.busy = busy
    message = await stage.say("Who?")
    text = f"Ask {call} for it, {call} knows."
    reply, _ = await stage.open(message)
    await reply.show(text)
    url = "https://x.example/" + call.replace("@", "")
    await reply.finish(answer(message, text, [source(title=f"Page {call}", url=url)]))
    for made in stage.slack.workspace.calls:
        assert call not in str({k: v for k, v in made.arguments.items() if not k.startswith("recipient")})


def _words(text: str) -> list[str]:
    return text.replace("```python", " ").replace("```", " ").split()


class _CrashError(BaseException):
    """The process is gone."""


class _crash:  # noqa: N801
    """Ends everything right after the n-th call was answered by Slack, before anybody learns of it."""

    def __init__(self, stage: Scene, after: int) -> None:
        self._stage = stage
        self._left = after

    def __enter__(self) -> None:
        calls = self._stage.platform._calls
        once = calls._once

        async def dying(method: str, given: dict[str, object]) -> object:
            answered = await once(method, given)
            if method.startswith("chat."):
                self._left -= 1
                if self._left == 0:
                    raise _CrashError
            return answered

        calls._once = dying  # type: ignore[method-assign, assignment]

    def __exit__(self, *_: object) -> None:
        return None
