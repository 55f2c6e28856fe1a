"""A conversation is handed over to people in a Slack channel, whoever asked on whichever platform, and taken back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from bots.bootstrap import handover_channel
from bots.conversation.handover.state import Handover
from bots.errors import DeliveryRetry, SettingsError
from bots.keys import Keys
from bots.messages import IncomingMessage
from bots.platforms.slack.handover.channel import METADATA
from bots.queue.replies import Lease, ReplyLedger
from rag.answering.answerer import Quoted, Writer
from rag.store.client import text
from tests.bots.engine import emptied
from tests.bots.platforms.handover_scene import (
    ANSWER,
    CHANNEL,
    CONTACT,
    QUESTION,
    WISH,
    Stage,
    buttons,
    stage,
    telegram_message,
    text_of,
)
from tests.loopback.slack import LoopbackSlack
from tests.loopback.slack_faults import Fault
from tests.loopback.slack_state import BOT_USER, Message
from tests.loopback.telegram_values import BLOCKED
from tests.waiting import until

ASKED = "I have asked a person to take over"


class Processes:
    """Worker processes that are killed."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._alive: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Processes:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._alive:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def add(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "tests.bots.platforms.handover_worker", *self._arguments]
        self._alive.append(await asyncio.create_subprocess_exec(*command))
        return self._alive[-1]

    async def killed_after(self, slack: LoopbackSlack, method: str) -> bool:
        """A process that dies when Slack has done ``method``, before it hears so; False if it never called that."""
        process = await self.add()

        def strike(called: str) -> None:
            if called == method:
                process.kill()

        slack.faults.after = strike
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()
            return False
        finally:
            slack.faults.after = None
        return True


@pytest.fixture
async def here(redis: Redis, keys: Keys) -> AsyncIterator[Stage]:
    async with stage(redis, keys) as made:
        yield made


async def test_people_are_asked_to_come_and_the_asker_is_told(here: Stage) -> None:
    asked = await here.says(QUESTION)
    wish = await here.says(WISH)
    [post] = here.posts()
    shown = text_of(post)
    assert "<@U1> wants to talk to a person" in shown
    assert WISH in shown
    assert QUESTION in shown
    assert "Everybody has 27 days." in shown
    assert f"<https://loopback.slack.com/archives/D1/p{wish.address['ts']}|open the conversation>" in shown
    assert here.shown(asked)[0] == ANSWER
    assert here.shown(wish)[-1].startswith("You would like to talk to a person.\n\n" + ASKED)
    assert here.count("asked") == 1


async def test_the_bot_is_silent_there_and_nowhere_else(here: Stage) -> None:
    wish = await here.says(f"<@{BOT_USER}> {WISH}", channel="C1")
    told = here.shown(wish)
    later = await here.says(QUESTION, channel="C1", thread_ts=wish.address["thread_ts"])
    assert here.shown(later) == told
    elsewhere = await here.says(f"<@{BOT_USER}> {QUESTION}", channel="C1")
    direct = await here.says(QUESTION)
    assert here.shown(elsewhere) == here.shown(direct) == [ANSWER]
    assert await here.memory.load(later.conversation) != []
    assert QUESTION not in [each.question for each in await here.memory.load(later.conversation)]


async def test_whoever_sees_the_channel_lets_the_bot_resume(here: Stage) -> None:
    wish = await here.says(WISH)
    [post] = here.posts()
    assert await here.presses(post, "UANNA") == 200
    await here.work()
    assert here.shown(wish)[-1] == "I am back and answer here again."
    assert "resumed by <@UANNA>" in text_of(post)
    assert WISH not in text_of(post)
    assert not buttons(post)
    again = await here.says(QUESTION)
    assert here.shown(again)[-1] == ANSWER
    assert here.count("resumed") == 1


async def test_the_button_pressed_twice_tells_the_asker_once(here: Stage) -> None:
    wish = await here.says(WISH)
    [post] = here.posts()
    copy = Message(channel=post.channel, ts=post.ts, thread=post.thread, user=post.user, furniture=list(post.furniture))
    await asyncio.gather(here.presses(copy, "UANNA"), here.presses(copy, "UBEN"))
    await here.work()
    assert await here.presses(copy, "UCHRIS") == 200
    await here.work()
    assert here.shown(wish).count("I am back and answer here again.") == 1
    assert here.count("resumed") == 1


async def test_a_button_pressed_elsewhere_or_made_up_does_nothing(here: Stage) -> None:
    wish = await here.says(WISH)
    [post] = here.posts()
    assert await here.presses(post, channel="C1") == 200
    real = buttons(post)[0]["value"]
    for value in ("", "{}", "[]", "\u0000", '{"conversation": 1, "turn": null}', real.replace(wish.turn_id, "0" * 16)):
        assert await here.presses(post, value=value) == 200
    assert await emptied(here.inbox)
    assert "I am back" not in here.shown(wish)[-1]


async def test_after_the_time_the_bot_answers_again(here: Stage) -> None:
    await here.says(WISH)
    here.late = timedelta(hours=11)
    quiet = await here.says(QUESTION)
    assert ANSWER not in here.shown(quiet)
    here.late = timedelta(hours=13)
    assert here.shown(await here.says(QUESTION))[-1] == ANSWER
    assert "the time was over" in text_of(here.posts()[0])
    assert here.count("time") == 1


async def test_the_asker_goes_on_with_the_bot(here: Stage) -> None:
    wish = await here.says(f"<@{BOT_USER}> {WISH}", channel="C1")
    thread = wish.address["thread_ts"]
    await here.says(f"<@{BOT_USER}> new", channel="C1", thread_ts=thread)
    assert here.shown(await here.says(QUESTION, channel="C1", thread_ts=thread))[-1] == ANSWER
    assert "the person went on with it" in text_of(here.posts()[0])


async def test_a_command_calls_a_person_too_and_shows_what_was_asked(here: Stage) -> None:
    await here.says(QUESTION)
    message = await here.says("persona")
    assert ASKED in here.shown(message)[-1]
    assert QUESTION in text_of(here.posts()[0])
    again = await here.says("person")
    assert here.shown(again)[-1].startswith("A person was asked to take over here")
    assert len(here.posts()) == 1


async def test_a_slash_command_calls_a_person_and_then_says_why_it_does_not_answer(here: Stage) -> None:
    fields = {"channel_id": "C1", "user_id": "U1", "team_id": "T1", "response_url": here.slack.slack.response_url()}
    for number, words in enumerate((("/cotorra", "person"), ("/ask", QUESTION))):
        given = {**fields, "command": words[0], "text": words[1], "trigger_id": f"t{number}"}
        assert await here.slack.http.command(given) == 200
        await here.work()
    told = [payload["text"] for _, payload in here.slack.slack.workspace.responses]
    assert told[0].startswith(ASKED)
    assert told[1].startswith("A person was asked to take over here")
    assert "<@U1>" in text_of(here.posts()[0])


async def test_who_asks_in_telegram_is_found_by_name_and_link(here: Stage) -> None:
    await here.writes("quiero hablar con una persona", username="ana_garcia")
    shown = text_of(here.posts()[0])
    assert "*Ana* (@ana_garcia) quiere hablar con una persona" in shown
    assert "<https://t.me/ana_garcia|abrir la conversación>" in shown
    assert "He avisado a una persona" in here.telegram.texts()[-1]
    before = here.telegram.texts()
    await here.writes(QUESTION, number=6)
    assert here.telegram.texts() == before
    await here.presses(here.posts()[0])
    await here.work()
    assert here.telegram.texts()[-1] == "Ya estoy de vuelta y vuelvo a responder aquí."


@pytest.mark.parametrize(
    ("who", "found"),
    [
        ({}, "(id 77)"),
        ({"chat": -1009, "username": "helpers"}, "<https://t.me/helpers/5|"),
        ({"chat": -1009}, "<https://t.me/c/9/5|"),
        ({"chat": -1009, "topic": 3}, "<https://t.me/c/9/3/5|"),
        ({"chat": -9}, "*Ana* wants to talk to a person: Telegram"),
    ],
)
async def test_a_conversation_in_telegram_is_linked_to_where_it_can_be(
    here: Stage, who: dict[str, Any], found: str
) -> None:
    await here.writes(WISH, **who)
    assert found in text_of(here.posts()[0])


async def test_a_link_that_slack_does_not_give_is_left_out(here: Stage) -> None:
    here.slack.slack.faults.waiting.append(Fault(method="chat.getPermalink", kind="server_error", times=9))
    await here.says(WISH)
    assert "wants to talk to a person" in text_of(here.posts()[0])
    assert "open the conversation" not in text_of(here.posts()[0])


async def test_who_blocked_the_bot_meanwhile_does_not_keep_the_post_from_being_closed(here: Stage) -> None:
    await here.writes(WISH)
    here.telegram.telegram.fail("sendMessage", BLOCKED)
    await here.presses(here.posts()[0])
    await here.work()
    assert "resumed by <@UHELP>" in text_of(here.posts()[0])


@pytest.mark.parametrize("code", ["channel_not_found", "not_in_channel", "is_archived", "restricted_action"])
async def test_who_cannot_be_handed_over_is_told_so_and_answered_on(here: Stage, code: str) -> None:
    here.slack.slack.faults.waiting.append(Fault(method="chat.postMessage", code=code))
    await here.writes(WISH)
    assert "could not reach anybody" in here.telegram.texts()[-1]
    assert CONTACT in here.telegram.texts()[-1]
    await here.writes(QUESTION, number=6)
    assert "27 days" in here.telegram.texts()[-1]
    assert here.posts() == []
    assert here.count("failed") == 1


async def test_a_slack_that_is_away_is_waited_for_only_so_long(here: Stage) -> None:
    here.slack.slack.faults.waiting.append(Fault(method="chat.postMessage", kind="server_error", times=1000))
    message = telegram_message(WISH)
    lease = await here.lease(message)
    made = here.process()
    for _ in range(2):
        with pytest.raises(DeliveryRetry) as failed:
            await made.handle(message, lease)
        assert failed.value.away
    here.late = timedelta(minutes=2)
    await made.handle(message, lease)
    assert "could not reach anybody" in here.telegram.texts()[-1]


async def test_without_a_channel_the_contact_is_told(redis: Redis, keys: Keys) -> None:
    async with stage(redis, keys, channel="") as here:
        wish = await here.says(WISH)
        assert here.shown(wish)[-1].endswith(f"You can go on asking me.\n\n{CONTACT}")
        assert here.shown(await here.says(QUESTION))[-1] == ANSWER
        assert here.count("nobody") == 1


async def test_a_post_whose_answer_was_lost_is_found_again(here: Stage) -> None:
    here.slack.slack.faults.waiting.append(Fault(method="chat.postMessage", kind="lost_answer"))
    await here.writes(WISH)
    [post] = here.posts()
    assert ASKED in here.telegram.texts()[-1]
    await here.presses(post)
    await here.work()
    assert "resumed" in text_of(post)


async def test_a_process_that_dies_between_post_and_note_posts_once(here: Stage) -> None:
    for number in range(300):  # a busy channel: more than a page of posts since
        await here.slack.platform.handover._calls("chat.postMessage", channel=CHANNEL, text=f"{number}")  # type: ignore[union-attr]
    here.store.dies = True
    await here.writes(WISH)
    assert not here.store.dies
    assert sum(post.metadata is not None for post in here.posts()) == 1
    assert [ASKED in shown for shown in here.telegram.texts()] == [True]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_worker_killed_the_moment_its_post_stands_leaves_one_post(here: Stage, redis_url: str) -> None:
    """SIGKILL when Slack has done a call, before anybody hears so; also when it has told the asker."""
    wish, victims = await here.slack.say(WISH), 0
    async with Processes(redis_url, here.keys.prefix, here.slack.slack.api_url) as processes:
        for method in ("chat.getPermalink", "chat.postMessage", "conversations.history", "chat.update"):
            victims += await processes.killed_after(here.slack.slack, method)
        await processes.add()
        await until(lambda: emptied(here.inbox), 60)
    assert victims == 4
    assert len(here.posts()) == 1
    assert [shown.startswith("You would like") for shown in here.shown(wish)] == [True]
    assert (await here.store.latest(wish.conversation)).stage == "open"  # type: ignore[union-attr]


async def test_where_nobody_can_look_a_second_post_is_possible_and_counted(here: Stage) -> None:
    here.slack.slack.faults.waiting.append(Fault(method="conversations.history", code="missing_scope", times=9))
    here.store.dies = True
    await here.writes(WISH)
    assert len(here.posts()) == 2
    assert here.count("possible_duplicate") == 1
    assert [ASKED in shown for shown in here.telegram.texts()] == [True]


async def test_a_button_pressed_before_the_post_was_noted_counts(here: Stage) -> None:
    message = telegram_message(WISH)
    await here.telegram.accept(message)
    await here.dies_handling(message)
    [post] = here.posts()
    await here.presses(post)
    await here.work()
    assert "resumed by <@UHELP>" in text_of(post)
    assert await here.store.latest(message.conversation) is not None
    await here.writes(QUESTION, number=6)
    assert "27 days" in here.telegram.texts()[-1]


async def test_two_workers_ask_once_and_both_keep_quiet(here: Stage) -> None:
    for number in range(6):
        await here.telegram.accept(telegram_message(WISH if number % 2 == 0 else QUESTION, number=10 + number))
    await here.work(count=2)
    assert len(here.posts()) == 1
    assert len(here.telegram.texts()) == 1


async def test_two_workers_hand_over_many_conversations_at_once(here: Stage) -> None:
    for chat in range(20):
        await here.telegram.accept(telegram_message(WISH, chat=1000 + chat))
        await here.telegram.accept(telegram_message(QUESTION, chat=1000 + chat, number=6))
    await here.work(count=2)
    assert len(here.posts()) == 20
    assert all(len(here.telegram.texts(1000 + chat)) == 1 for chat in range(20))


async def test_a_reply_under_way_stops_where_it_is_when_a_person_takes_over(here: Stage) -> None:
    """A person is asked from elsewhere while the answer is streamed."""
    begun, taken = asyncio.Event(), asyncio.Event()
    other = telegram_message(WISH, number=99)

    class Slow:
        name = "slow"
        closed = False

        async def astream(self, *_: Any) -> AsyncIterator[Any]:
            try:
                yield Writer(model="slow", hits=())
                yield Quoted(text="The first sentence stands here. ")
                begun.set()
                await taken.wait()
                yield Quoted(text="The second one never does.")
                yield Quoted(text="Nor the third.")
            finally:
                self.closed = True

    here.answerer = Slow()  # type: ignore[assignment]
    message = await here.slack.say(QUESTION)
    async with here.working():
        await begun.wait()
        await until(lambda: here.shown(message) != [])
        await hand_over(here, message, other)
        taken.set()
    [shown] = here.slack.screen(message)
    assert shown.body.startswith("The first sentence stands ")
    assert "second" not in shown.body
    assert not shown.streaming
    assert here.answerer.closed  # type: ignore[attr-defined]
    states = len(shown.states)
    await here.slack.accept(message)
    await here.work()
    assert len(here.slack.screen(message)[0].states) == states


async def hand_over(here: Stage, message: IncomingMessage, by: IncomingMessage) -> None:
    """Another turn of the conversation of ``message`` is with a person from now on."""
    now = here.now()
    handover = Handover(
        conversation=message.conversation,
        turn_id=by.turn_id,
        asked=replace(message, text=""),
        since=now,
        until=now + timedelta(hours=1),
        stage="open",
    )
    token = await here.redis.get(here.keys.lease(message.conversation))
    await here.store.begin(handover, Lease(conversation=message.conversation, token=text(token)))


async def test_a_crash_in_a_reply_that_a_person_took_over_ends_what_stands(here: Stage) -> None:
    message = await here.slack.say(QUESTION)
    reply, _ = await here.slack.open(message)
    await reply.show("The first sentence stands here. The second")
    await here.lease(message)
    await hand_over(here, message, telegram_message(WISH))
    await here.redis.delete(here.keys.lease(message.conversation))
    await here.work()
    [shown] = here.slack.screen(message)
    assert not shown.streaming
    assert shown.body.startswith("The first sentence stands here.")
    assert "27 days" not in shown.body


async def test_answers_for_other_readers_stay_out_of_the_channel(redis: Redis, keys: Keys) -> None:
    async with stage(redis, keys, group_audiences={"S1": "board"}) as here:
        here.slack.slack.workspace.usergroups = [{"id": "S1", "users": ["U1"]}]
        await here.says(QUESTION)
        await here.says(WISH)
        shown = text_of(here.posts()[0])
        assert QUESTION in shown
        assert "27 days" not in shown
        assert "not everybody here may read" in shown


@pytest.mark.parametrize(
    ("flags", "public"), [({"is_ext_shared": True}, ()), ({}, (CHANNEL,))], ids=["shared", "read by guests"]
)
async def test_a_channel_that_outsiders_read_gets_public_answers_only(
    redis: Redis, keys: Keys, flags: dict[str, bool], public: tuple[str, ...]
) -> None:
    async with stage(redis, keys, public_channels=public) as here:
        here.slack.slack.workspace.channels[CHANNEL] = dict(flags)
        await here.says(QUESTION)
        await here.says(WISH)
        assert "27 days" not in text_of(here.posts()[0])
        await here.writes(QUESTION)
        await here.writes(WISH, number=6)
        assert "27 days" in text_of(here.posts()[1])


async def test_passwords_stay_out_of_the_channel_and_ways_to_reach_people_do_not(here: Stage) -> None:
    await here.writes("My password: hunter2pass and my card 4111 1111 1111 1111, mail ana@example.com")
    await here.writes(f"{WISH}. <!channel> <@U2> & <https://evil.example|link>", number=6)
    shown = text_of(here.posts()[0])
    assert "4111" not in shown
    assert "hunter2" not in shown
    assert "ana@example.com" in shown
    assert "<!channel>" not in shown
    assert "<https://evil" not in shown


async def test_a_long_conversation_fits_into_a_post(here: Stage) -> None:
    for number in range(8):
        await here.writes("& holiday " * 300, number=10 + number)
    await here.writes(WISH, number=30)
    [post] = here.posts()
    assert WISH in text_of(post)
    assert buttons(post)


async def test_the_asker_forgets_and_the_post_goes(here: Stage) -> None:
    await here.says(WISH)
    message = await here.says("forget")
    await here.work()
    assert here.posts() == []
    assert await here.store.all(message.conversation) == []
    assert here.shown(await here.says(QUESTION))[-1] == ANSWER


async def test_a_question_deleted_takes_its_words_out_of_the_post(here: Stage) -> None:
    asked = await here.says(QUESTION)
    await here.says(WISH)
    await here.forgetting.turn(asked.conversation, asked.turn_id)
    await here.work()
    [post] = here.posts()
    assert QUESTION not in text_of(post)
    assert "has been deleted" in text_of(post)
    assert buttons(post)
    await here.presses(post)
    await here.work()
    assert "resumed" in text_of(post)


async def test_a_closed_post_is_forgotten_with_its_conversation(here: Stage) -> None:
    wish = await here.says(WISH)
    await here.presses(here.posts()[0])
    await here.work()
    await here.forgetting.from_stores(wish.conversation, None, here.now())
    await here.work()
    assert here.posts() == []


async def test_a_post_of_which_nobody_noted_the_id_is_forgotten_too(here: Stage) -> None:
    message = telegram_message(WISH)
    await here.dies_handling(message)
    assert len(here.posts()) == 1
    await here.forgetting.from_stores(message.conversation, None, here.now())
    await here.work()
    assert here.posts() == []


async def test_the_post_is_told_from_others_by_its_turn(here: Stage) -> None:
    wish = await here.says(WISH)
    [post] = here.posts()
    assert post.metadata == {"event_type": METADATA, "event_payload": {"turn_id": wish.turn_id}}
    record = await ReplyLedger(here.redis, here.keys).find(wish.conversation, wish.turn_id)
    assert record is not None
    assert record.logged is not None
    assert record.logged.outcome == "wants_person"


@pytest.mark.parametrize(
    ("flags", "missing", "cure"),
    [
        ({}, True, "channel_not_found; correct the id"),
        ({"is_archived": True}, False, "is_archived; correct the id"),
        ({"is_member": False}, False, "write /invite"),
    ],
)
async def test_a_channel_that_would_not_do_is_told_with_the_cure(
    here: Stage, flags: dict[str, bool], missing: bool, cure: str
) -> None:
    workspace = here.slack.slack.workspace
    workspace.channels[CHANNEL] = dict(flags)
    workspace.missing |= {CHANNEL} if missing else set()
    channel = here.slack.platform.handover
    assert channel is not None
    with pytest.raises(SettingsError, match=cure):
        await channel.check()


async def test_a_channel_that_will_do_is_told_by_its_name(here: Stage) -> None:
    here.slack.slack.workspace.channels[CHANNEL] = {"name": "help", "is_member": True}
    channel = handover_channel({"slack": here.slack.platform})
    assert channel is here.slack.platform.handover
    assert channel is not None
    assert await channel.check() == {"channel": "#help"}
    assert handover_channel({}) is None
