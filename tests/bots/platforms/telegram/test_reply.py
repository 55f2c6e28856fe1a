"""A reply always ends up whole on the screen, once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from bots.errors import DeliveryRetry, LeaseLost
from bots.keys import Keys
from bots.messages import OutgoingReply
from bots.queue.replies import Lease, Post
from tests.bots.platforms.telegram.scene import QUICK, WHOLE, Scene, answer, deliver, open_scene, question, source
from tests.loopback.telegram_values import FAULT, LOST, RESET, Failure, bad_request, limited
from tests.waiting import until

GROUP = -100500
LONG = "\n\n".join(f"Paragraph {number}. " + "word " * 150 for number in range(9))


@pytest.fixture
async def scene(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    async with open_scene(redis, keys) as scene:
        yield scene


async def test_an_answer_stands_with_its_sources_as_links_and_its_buttons(scene: Scene) -> None:
    message = question()
    await deliver(scene, message, answer(message))
    [shown] = scene.telegram.visible(77)
    assert shown.text == WHOLE
    assert [(entity.text, entity.url) for entity in shown.entities if entity.kind == "a"] == [
        ("Page", "https://help.example.com/page#a")
    ]
    assert shown.data() == [f"f:u:{message.turn_id}", f"f:d:{message.turn_id}"]
    assert shown.reply_to == 0
    [call] = [call for call in scene.telegram.calls if call.method == "sendMessage"]
    assert call.params["link_preview_options"] == {"is_disabled": True}


async def test_a_notice_has_neither_sources_nor_buttons(scene: Scene) -> None:
    message = question()
    await deliver(scene, message, OutgoingReply(turn_id=message.turn_id, kind="notice", text="Use /new or @support."))
    [shown] = scene.telegram.visible(77)
    assert (shown.text, shown.keyboard) == ("Use /new or @support.", [])


async def test_a_source_without_a_web_address_is_named_only(scene: Scene) -> None:
    message = question()
    places = (source(1, "Local", "file:///etc/passwd"), source(2, "Bad <b>", "javascript:alert(1)"))
    await deliver(scene, message, answer(message, "Yes.", places))
    [shown] = scene.telegram.visible(77)
    assert shown.text.endswith("1. Local\n2. Bad <b>")
    assert [entity for entity in shown.entities if entity.kind == "a"] == []


async def test_states_are_edits_of_one_message(scene: Scene) -> None:
    message = question()
    reply = await scene.reply(message)
    await reply.show("The")
    [shown] = scene.telegram.visible(77)
    assert shown.text == "The"
    scene.passed += QUICK.private
    await reply.show("The whole")
    await reply.finish(answer(message))
    assert shown.states == ["The", "The whole", WHOLE]


async def test_states_in_between_are_left_out_when_they_come_too_fast(redis: Redis, keys: Keys) -> None:
    async with open_scene(redis, keys) as scene:
        message = question()
        slow = scene.another(replace(QUICK, private=30.0))
        reply = await scene.reply(message, slow)
        for length in range(1, 40):
            await reply.show("word " * length)
        await reply.finish(answer(message))
        await slow.close()
        [shown] = scene.telegram.visible(77)
        assert shown.states == ["word", WHOLE]


async def test_under_backlog_only_the_first_state_is_shown(scene: Scene) -> None:
    scene.busy = True
    message = question()
    reply = await scene.reply(message)
    await reply.show("The")
    scene.passed += QUICK.private
    await reply.show("The whole")
    await reply.finish(answer(message))
    assert scene.telegram.visible(77)[0].states == ["The", WHOLE]


async def test_a_reply_in_a_topic_answers_its_question_there(scene: Scene) -> None:
    message = question(8, chat=GROUP, topic=33)
    reply = await scene.reply(message)
    await reply.status("retrieve")
    await scene.until(lambda: scene.telegram.count("sendChatAction"))
    await reply.show("The")
    await reply.finish(answer(message))
    [shown] = scene.telegram.visible(GROUP)
    assert (shown.topic, shown.reply_to) == (33, 8)
    assert {call.params["message_thread_id"] for call in scene.telegram.calls if call.method == "sendChatAction"} == {
        "33"
    }


async def test_typing_is_repeated_while_working_and_ends_with_the_reply(scene: Scene) -> None:
    message = question()
    reply = await scene.reply(message)
    await reply.status("retrieve")
    await scene.until(lambda: scene.telegram.count("sendChatAction") >= 3)
    await reply.finish(answer(message))
    await until(lambda: not scene.typing())


async def test_an_abandoned_reply_stops_typing_by_itself(redis: Redis, keys: Keys) -> None:
    async with open_scene(redis, keys) as scene:
        short = scene.another(replace(QUICK, typing=0.01, typing_limit=30.0))
        await (await scene.reply(question(), short)).status("retrieve")
        await scene.until(lambda: scene.telegram.count("sendChatAction") >= 2)
        assert scene.typing()
        scene.passed += 30.0
        await until(lambda: not scene.typing())
        await short.close()


FAILURES = {
    "400": bad_request(),
    "429": limited(0.05),
    "500": FAULT,
    "502": Failure(status=502, description="Bad Gateway"),
    "reset": RESET,
    "markup": bad_request("Bad Request: can't parse entities: no"),
    "not modified": bad_request("Bad Request: message is not modified"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("method", ["sendMessage", "editMessageText", "sendChatAction"])
async def test_the_answer_stands_once_and_whole_though_a_call_fails(
    scene: Scene, method: str, after: int, failure: Failure
) -> None:
    scene.telegram.fail(method, failure, after=after)
    message = question()
    final = answer(message, LONG)
    for _ in range(5):
        reply = await scene.reply(message)
        await reply.status("answer")
        for end in (500, 2500, 5000):
            await reply.show(LONG[:end])
            scene.passed += QUICK.private
        try:
            await reply.finish(final)
            break
        except DeliveryRetry:
            continue
    shown = scene.telegram.visible(77)
    if failure.description.endswith("not modified") and method == "editMessageText":
        return  # Telegram says that it stands there; only the loopback knows better
    assert "".join("".join(message.text.split()) for message in shown) == "".join((LONG + "Sources1.Page").split())
    assert [bool(message.keyboard) for message in shown] == [False] * (len(shown) - 1) + [True]


@pytest.mark.parametrize("after", [0, 1])
async def test_a_lost_answer_to_a_send_makes_one_duplicate_at_most_and_it_is_counted(scene: Scene, after: int) -> None:
    scene.telegram.fail("sendMessage", LOST, after=after)
    message = question()
    assert await deliver(scene, message, answer(message, LONG)) == 2
    texts = scene.texts()
    assert len(texts) == 3
    assert scene.reports.errors.count(("sendMessage", "possible_duplicate")) == 1


async def test_a_lost_answer_to_an_edit_is_just_edited_again(scene: Scene) -> None:
    scene.telegram.fail("editMessageText", LOST)
    message = question()
    assert await deliver(scene, message, answer(message), "The") == 1
    assert scene.texts() == [WHOLE]


async def test_a_message_that_cannot_be_edited_is_replaced_in_order(scene: Scene) -> None:
    message = question()
    final = answer(message, LONG)
    await deliver(scene, message, final)
    first = scene.telegram.visible(77)[0]
    edited = question(6)
    entry = await scene.entry(edited)
    before = await scene.ledger.find(message.conversation, message.turn_id)
    assert before is not None
    await entry.save(replace(entry.record, posts=before.posts))
    scene.telegram.fail("editMessageText", bad_request("Bad Request: message can't be edited"))
    reply = await scene.platform.reply(edited, entry)
    await reply.finish(answer(edited, LONG.replace("word", "term")))
    shown = scene.telegram.visible(77)
    assert first.deleted
    assert shown[0].text.startswith("Paragraph 0.")
    assert not any("word" in text.text for text in shown)


async def test_an_edited_question_is_answered_in_place_and_what_is_left_over_goes(scene: Scene) -> None:
    message = question()
    await deliver(scene, message, answer(message, LONG))
    before = await scene.ledger.find(message.conversation, message.turn_id)
    assert before is not None
    assert len(before.posts) == 2
    edit = replace(question(), id=f"{message.id}:edit:9", kind="edit", original=message.id)
    entry = await scene.entry(edit)
    await entry.save(replace(entry.record, posts=before.posts))
    reply = await scene.platform.reply(edit, entry)
    await reply.finish(answer(message))
    [shown] = scene.telegram.visible(77)
    assert shown.text == WHOLE
    assert f"77:{shown.id}" == before.posts[0].id
    assert [post.id for post in entry.record.posts] == [before.posts[0].id]


async def test_what_is_too_old_to_be_deleted_is_emptied(scene: Scene) -> None:
    message = question()
    await deliver(scene, message, answer(message, LONG))
    before = await scene.ledger.find(message.conversation, message.turn_id)
    assert before is not None
    entry = await scene.entry(question(6))
    await entry.save(replace(entry.record, posts=before.posts))
    scene.telegram.fail("deleteMessage", bad_request("Bad Request: message can't be deleted"))
    await (await scene.platform.reply(question(6), entry)).finish(answer(message))
    assert scene.texts() == [WHOLE, "…"]


async def test_after_a_crash_the_known_message_is_continued(scene: Scene) -> None:
    message = question()
    await (await scene.reply(message)).show("The")
    other = scene.another()
    reply = await scene.reply(message, other)
    await reply.finish(answer(message))
    await reply.finish(answer(message))
    await other.close()
    assert scene.texts() == [WHOLE]
    record = await scene.ledger.find(message.conversation, message.turn_id)
    assert record is not None
    assert (record.finished, record.text, len(record.posts)) == (True, "The whole **answer** [1].", 1)
    assert scene.reports.errors == []


async def test_after_a_crash_in_a_send_the_answer_is_sent_and_the_doubt_counted(scene: Scene) -> None:
    message = question()
    entry = await scene.entry(message)
    await entry.save(replace(entry.record, posts=(Post(id="", kind="message"),)))
    await deliver(scene, message, answer(message))
    assert scene.texts() == [WHOLE]
    assert scene.reports.errors == [("sendMessage", "possible_duplicate")]


async def test_after_a_crash_between_two_pieces_only_the_second_is_sent(scene: Scene) -> None:
    message = question()
    scene.telegram.fail("sendMessage", limited(9), after=1)
    reply = await scene.reply(message)
    with pytest.raises(DeliveryRetry) as caught:
        await reply.finish(answer(message, LONG))
    assert caught.value.after == 9
    assert len(scene.texts()) == 1
    other = scene.another()
    await (await scene.reply(message, other)).finish(answer(message, LONG))
    await other.close()
    assert len(scene.texts()) == 2
    assert scene.telegram.count("sendMessage") == 3


async def test_who_lost_the_lease_sends_nothing(scene: Scene) -> None:
    message = question()
    reply = await scene.reply(message)
    await scene.redis.set(scene.keys.lease(message.conversation), "another worker")
    with pytest.raises(LeaseLost):
        await reply.show("The")
    with pytest.raises(LeaseLost):
        await reply.finish(answer(message))
    assert not scene.typing()
    assert scene.telegram.calls == []


async def test_who_loses_the_lease_on_the_way_stops_typing(scene: Scene) -> None:
    message = question()
    reply = await scene.reply(message)
    await reply.status("retrieve")
    await scene.redis.set(scene.keys.lease(message.conversation), "another worker")
    with pytest.raises(LeaseLost):
        await reply.show("The")
    await until(lambda: not scene.typing())
    assert scene.texts() == []


async def test_a_lease_is_needed_even_for_what_was_finished(scene: Scene) -> None:
    message = question()
    await deliver(scene, message, answer(message))
    calls = len(scene.telegram.calls)
    entry = await scene.ledger.open(message.turn_id, Lease(conversation=message.conversation, token="other"))
    await (await scene.platform.reply(message, entry)).finish(answer(message))
    assert len(scene.telegram.calls) == calls
