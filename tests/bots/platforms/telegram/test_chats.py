"""What the state of a chat does to a reply: limits, blocks, moves, drafts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from bots.errors import DeliveryRefused
from bots.keys import Keys
from tests.bots.platforms.telegram.scene import QUICK, WHOLE, Scene, answer, deliver, open_scene, question
from tests.loopback.telegram_values import BLOCKED, FAULT, RESET, Failure, bad_request, limited

GROUP = -100500


@pytest.fixture
async def scene(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    async with open_scene(redis, keys) as scene:
        yield scene


async def test_a_limit_holds_for_its_chat_only(scene: Scene) -> None:
    slow, quick = question(), question(6, chat=88)
    scene.telegram.fail("sendMessage", limited(0.4))
    late = asyncio.create_task(deliver(scene, slow, answer(slow)))
    await scene.until(lambda: scene.telegram.calls)
    await deliver(scene, quick, answer(quick))
    assert not late.done()
    await late
    assert scene.texts(77) == scene.texts(88) == [WHOLE]
    times = [call.at for call in scene.telegram.calls if call.params.get("chat_id") == "77"]
    assert times[1] - times[0] >= 0.4


async def test_a_blocked_bot_is_told_so_once_and_asks_no_more(scene: Scene) -> None:
    scene.telegram.blocked.add(77)
    message = question()
    with pytest.raises(DeliveryRefused):
        await (await scene.reply(message)).finish(answer(message))
    assert scene.telegram.count("sendMessage") == 1
    other = scene.another()
    reply = await scene.reply(question(6), other)
    await reply.status("retrieve")
    await reply.show("The")
    with pytest.raises(DeliveryRefused):
        await reply.finish(answer(question(6)))
    await other.close()
    assert [call.method for call in scene.telegram.calls] == ["sendMessage"]


@pytest.mark.parametrize("back", ["unblocked", "writes"])
async def test_a_user_who_comes_back_is_answered_again(scene: Scene, back: str) -> None:
    person = scene.person()
    await scene.platform.start(scene.accept)
    await person.changes_membership("kicked")
    await scene.settled()
    message = question()
    with pytest.raises(DeliveryRefused):
        await (await scene.reply(message)).finish(answer(message))
    assert scene.telegram.count("sendMessage") == 0
    await (person.changes_membership("member") if back == "unblocked" else person.says("I am back"))
    await scene.settled()
    await deliver(scene, message, answer(message))
    assert scene.texts() == [WHOLE]


async def test_a_group_that_let_the_bot_in_again_unseen_is_answered_when_it_speaks(scene: Scene) -> None:
    scene.telegram.blocked.add(GROUP)
    before = question(chat=GROUP)
    with pytest.raises(DeliveryRefused):
        await (await scene.reply(before)).finish(answer(before))
    scene.telegram.blocked.clear()
    await scene.platform.start(scene.accept)
    await scene.person(chat=GROUP).says("/help@CotorraBot")
    await scene.settled()
    [message] = scene.accepted
    await deliver(scene, message, answer(message))
    assert scene.texts(GROUP) == [WHOLE]


@pytest.mark.parametrize(
    "description", ["chat not found", "message thread not found", "not enough rights to send text messages to the chat"]
)
async def test_what_will_never_arrive_is_refused_not_retried(scene: Scene, description: str) -> None:
    scene.telegram.fail("sendMessage", *[bad_request(f"Bad Request: {description}")] * 2)
    message = question()
    with pytest.raises(DeliveryRefused):
        await (await scene.reply(message)).finish(answer(message))
    assert scene.telegram.count("sendMessage") == 1


async def test_the_text_arrives_though_what_surrounds_it_is_rejected(scene: Scene) -> None:
    scene.telegram.fail("sendMessage", bad_request("Bad Request: REPLY_MESSAGE_ID_INVALID"))
    message = question(chat=GROUP)
    await deliver(scene, message, answer(message))
    [shown] = scene.telegram.visible(GROUP)
    assert (shown.text, shown.reply_to) == (WHOLE, 0)


async def test_a_refused_markup_arrives_as_plain_text_and_nothing_else_does(scene: Scene) -> None:
    scene.telegram.fail("sendMessage", bad_request("Bad Request: can't parse entities: Unsupported start tag"))
    message = question()
    await deliver(scene, message, answer(message))
    [shown] = scene.telegram.visible(77)
    assert (shown.text, shown.entities) == (WHOLE, ())
    assert shown.data()
    scene.telegram.fail("sendMessage", FAULT)
    other = question(6)
    await deliver(scene, other, answer(other))
    assert all(call.params.get("parse_mode") == "HTML" for call in scene.telegram.calls[-2:])


async def test_a_reply_follows_its_group_into_the_supergroup(scene: Scene) -> None:
    message = question(chat=-5)
    reply = await scene.reply(message)
    await reply.show("The")
    scene.telegram.migrated[-5] = GROUP
    await reply.finish(answer(message))
    assert scene.texts(GROUP) == [WHOLE]
    later = question(6, chat=-5)
    before = len(scene.telegram.calls)
    await deliver(scene, later, answer(later))
    assert {call.params["chat_id"] for call in scene.telegram.calls[before:]} == {str(GROUP)}
    assert scene.texts(GROUP) == [WHOLE, WHOLE]


async def test_the_bots_own_contact_stays_a_mention_and_others_do_not(redis: Redis, keys: Keys) -> None:
    async with open_scene(redis, keys, contact="Write to @people") as scene:
        message = question()
        await deliver(scene, message, answer(message, "Ask @people, not @everyone #now, /forget or **@all**."))
        [shown] = scene.telegram.visible(77)
        found = [entity.text for entity in shown.entities if entity.kind in ("mention", "hashtag", "bot_command")]
        assert found == ["@people"]


async def test_drafts_stream_in_private_chats_and_the_final_text_is_a_message(redis: Redis, keys: Keys) -> None:
    async with open_scene(redis, keys, drafts=True) as scene:
        message = question()
        reply = await scene.reply(message)
        await reply.show("The")
        assert (scene.telegram.drafts, scene.texts()) == (["The"], [])
        await reply.finish(answer(message))
        assert scene.texts() == [WHOLE]
        group = question(chat=GROUP)
        await deliver(scene, group, answer(group), "The")
        assert scene.telegram.drafts == ["The"]
        assert scene.telegram.visible(GROUP)[0].states == ["The", WHOLE]


@pytest.mark.parametrize("failure", [bad_request(), FAULT, RESET, BLOCKED, limited(0.01), Failure(status=404)])
async def test_without_drafts_the_reply_goes_on_by_edits(redis: Redis, keys: Keys, failure: Failure) -> None:
    async with open_scene(redis, keys, drafts=True) as scene:
        scene.telegram.fail("sendMessageDraft", failure)
        message = question()
        reply = await scene.reply(message)
        await reply.show("The")
        scene.passed += QUICK.private
        await reply.show("The whole")
        if failure is BLOCKED:
            with pytest.raises(DeliveryRefused):
                await reply.finish(answer(message))
            return
        await reply.finish(answer(message))
        assert scene.texts() == [WHOLE]
