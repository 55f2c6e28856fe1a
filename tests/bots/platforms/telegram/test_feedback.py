"""👍, 👎 with a reason, and a better answer in the person's own words."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.messages import IncomingMessage
from rag.errors import StoreUnavailable
from tests.bots.platforms.telegram.scene import Scene, answer, question, receiving
from tests.loopback.telegram_values import Shown, bad_request

GROUP = -100500


@pytest.fixture
async def scene(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    async with receiving(redis, keys) as scene:
        yield scene


async def answered(scene: Scene, message: IncomingMessage) -> Shown:
    reply = await scene.reply(message)
    await reply.finish(answer(message))
    return scene.telegram.visible(int(message.address["chat"]))[-1]


def labels(shown: Shown) -> list[str]:
    return [button["text"] for row in shown.keyboard for button in row]


async def test_a_thumb_up_is_stored_thanked_for_and_marked(scene: Scene) -> None:
    message = question()
    shown = await answered(scene, message)
    await scene.person().taps(shown, shown.data()[0])
    await scene.until(lambda: labels(shown) == ["👍 ✓", "👎"])
    [entry] = scene.feedback
    assert (entry.feedback.turn_id, entry.feedback.speaker, entry.feedback.rating) == (message.turn_id, "77", "up")
    assert scene.telegram.callbacks[0][1] == "Thank you!"


async def test_a_thumb_down_counts_at_once_and_then_asks_for_a_reason(scene: Scene) -> None:
    shown = await answered(scene, question())
    person = scene.person(language="es")
    await person.taps(shown, shown.data()[1])
    await scene.until(lambda: len(labels(shown)) == 7)
    assert "Está desactualizada" in labels(shown)
    assert [entry.feedback.reason for entry in scene.feedback] == [""]
    await person.taps(shown, shown.data()[4])
    await scene.until(lambda: labels(shown) == ["👍", "👎 ✓"])
    assert [entry.feedback.reason for entry in scene.feedback] == ["", "outdated"]
    assert {entry.feedback.rating for entry in scene.feedback} == {"down"}
    assert all(len(data.encode()) <= 64 for data in shown.data())


async def test_a_better_answer_is_stored_and_is_no_question(scene: Scene) -> None:
    shown = await answered(scene, question())
    person = scene.person()
    await person.taps(shown, f"f:r:w:{question().turn_id}")
    await scene.until(lambda: scene.telegram.visible(77)[-1].forced_reply)
    prompt = scene.telegram.visible(77)[-1]
    await scene.until(lambda: not scene.telegram.pending())
    await person.replies(prompt, "It is 30 days, not 14.")
    await scene.until(lambda: scene.texts()[-1] == "Thank you, noted.")
    last = scene.feedback[-1].feedback
    assert (last.rating, last.reason, last.better_answer) == ("down", "wrong", "It is 30 days, not 14.")
    assert scene.accepted == []
    await person.replies(prompt, "And for contractors?")
    await scene.settled()
    assert [message.text for message in scene.accepted] == ["And for contractors?"]


async def test_only_who_was_asked_gives_the_better_answer(scene: Scene) -> None:
    message = question(chat=GROUP)
    shown = await answered(scene, message)
    await scene.person(chat=GROUP, user=1).taps(shown, f"f:r:x:{message.turn_id}")
    await scene.until(lambda: scene.telegram.visible(GROUP)[-1].forced_reply)
    prompt = scene.telegram.visible(GROUP)[-1]
    await scene.person(chat=GROUP, user=2).replies(prompt, "May I ask something?")
    await scene.settled()
    assert [message.text for message in scene.accepted] == ["May I ask something?"]
    assert len(scene.feedback) == 1


async def test_in_a_group_everybody_rates_on_the_same_buttons(scene: Scene) -> None:
    message = question(chat=GROUP)
    shown = await answered(scene, message)
    await scene.person(chat=GROUP, user=1).taps(shown, shown.data()[1])
    await scene.until(lambda: len(labels(shown)) == 7)
    await scene.person(chat=GROUP, user=2).taps(shown, shown.data()[0])
    await scene.until(lambda: labels(shown) == ["👍", "👎"])
    await scene.person(chat=GROUP, user=1).taps(shown, f"f:r:i:{message.turn_id}")
    await scene.until(lambda: len(scene.telegram.callbacks) == 3)
    ratings = [(entry.feedback.speaker, entry.feedback.rating, entry.feedback.reason) for entry in scene.feedback]
    assert ratings == [("1", "down", ""), ("2", "up", ""), ("1", "down", "incomplete")]
    assert not any(shown.forced_reply for shown in scene.telegram.visible(GROUP))


async def test_an_old_answer_can_still_be_rated(scene: Scene) -> None:
    shown = Shown(chat=77, id=4, topic=0, reply_to=0)
    scene.telegram.fail("answerCallbackQuery", bad_request("Bad Request: query is too old"))
    await scene.person().taps(shown, "f:u:0123456789abcdef", old=True)
    await scene.until(lambda: scene.telegram.count("editMessageReplyMarkup"))
    assert [entry.feedback.turn_id for entry in scene.feedback] == ["0123456789abcdef"]


async def test_a_rating_does_not_bring_back_what_was_forgotten(scene: Scene) -> None:
    message = question()
    shown = await answered(scene, message)
    await scene.ledger.forget(message.conversation)
    await scene.person().taps(shown, shown.data()[0])
    await scene.until(lambda: scene.telegram.callbacks)
    assert scene.feedback == []


@pytest.mark.parametrize("data", ["", "f:u:", "f:z:0123456789abcdef", "f:u:../../etc", "x" * 64])
async def test_a_button_that_is_not_ours_does_nothing(scene: Scene, data: str) -> None:
    await scene.person().taps(Shown(chat=77, id=4, topic=0, reply_to=0), data)
    await scene.settled()
    assert (scene.feedback, scene.telegram.callbacks) == ([], [])


async def test_a_rating_that_is_not_stored_comes_again(scene: Scene) -> None:
    shown = await answered(scene, question())
    scene.ledger.failures.append(StoreUnavailable("Redis is gone"))
    await scene.person().taps(shown, shown.data()[0])
    await scene.settled()
    assert len(scene.feedback) == 1
    assert scene.ledger.failures == []
