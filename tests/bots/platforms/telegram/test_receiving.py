"""What is accepted from Telegram, the same by long polling and by webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.messages import IncomingMessage
from rag.errors import StoreUnavailable
from tests.bots.platforms.telegram.scene import Scene, receiving
from tests.loopback.telegram_people import Person
from tests.loopback.telegram_values import BOT, Shown

GROUP = -100500


@pytest.fixture(params=["polling", "webhook"])
async def scene(request: pytest.FixtureRequest, redis: Redis, keys: Keys, free_port: int) -> AsyncIterator[Scene]:
    async with receiving(redis, keys, free_port if request.param == "webhook" else None) as scene:
        yield scene


@pytest.fixture
async def polled(redis: Redis, keys: Keys) -> AsyncIterator[Scene]:
    async with receiving(redis, keys) as scene:
        yield scene


async def heard(scene: Scene, person: Person, text: str = "", **more: Any) -> IncomingMessage | None:
    """What became of one message."""
    before = len(scene.accepted)
    await person.says(text, **more)
    await scene.settled()
    assert len(scene.accepted) - before in (0, 1)
    return scene.accepted[-1] if len(scene.accepted) > before else None


async def test_a_private_question_is_accepted_with_all_that_is_known(scene: Scene) -> None:
    person = scene.person(language="es-419")
    number = await person.says("¿Cómo conecto Slack? 🦜")
    await scene.settled()
    [message] = scene.accepted
    assert message.id == f"telegram:77:{number}"
    assert message.conversation == "telegram:77:0"
    assert (message.kind, message.text, message.channel) == ("question", "¿Cómo conecto Slack? 🦜", "direct")
    assert (message.sender.id, message.sender.name, message.language) == ("77", "Ana", "es")
    assert message.address == {"chat": "77", "topic": "0", "message": str(number)}
    assert len(message.seen) == 2
    assert message.seen[1] == message.id


async def test_an_update_that_comes_twice_is_accepted_once(scene: Scene) -> None:
    person = scene.person()
    message = person.message("Once?")
    await scene.telegram.push(message=message)
    await scene.telegram.push(message=message)
    await scene.settled()
    assert len(scene.accepted) == 1


async def test_a_group_is_answered_only_when_it_speaks_to_the_bot(scene: Scene) -> None:
    person = scene.person(chat=GROUP)
    assert await heard(scene, person, "Lunch, anybody?") is None
    assert await heard(scene, person, "What does @SomebodyElse say?") is None
    mentioned = await heard(scene, person, "@cotorrabot how does it work?")
    assert mentioned is not None
    assert (mentioned.text, mentioned.channel) == ("how does it work?", "private")
    inside = await heard(scene, person, "🦜 tell us, @CotorraBot, how it works")
    assert inside is not None
    assert "CotorraBot" not in inside.text


async def test_a_reply_to_the_bot_is_for_the_bot(polled: Scene) -> None:
    person = polled.person(chat=GROUP)
    shown = Shown(chat=GROUP, id=900, topic=0, reply_to=0, text="An answer")
    await person.replies(shown, "and for contractors?")
    other = {
        "message_id": 901,
        "date": 1,
        "chat": person.place(),
        "from": {"id": 5, "is_bot": False, "first_name": "B"},
    }
    await person.says("I think so", reply_to_message=other)
    await polled.settled()
    [message] = polled.accepted
    assert (message.text, message.address["reply_to"]) == ("and for contractors?", "900")


async def test_a_message_in_a_topic_that_the_bot_opened_is_no_reply_to_it(polled: Scene) -> None:
    person = polled.person(chat=GROUP, topic=33)
    opened = {"message_id": 33, "date": 1, "chat": person.place(), "from": BOT}
    topic = {"forum_topic_created": {"name": "Help", "icon_color": 1}}
    assert await heard(polled, person, "Just talking", reply_to_message=opened | topic) is None


async def test_a_topic_is_a_conversation_of_its_own_and_a_reply_thread_is_not(polled: Scene) -> None:
    in_topic = await heard(polled, polled.person(chat=GROUP, topic=33), "@CotorraBot a?")
    in_thread = await heard(polled, polled.person(chat=GROUP), "@CotorraBot b?", message_thread_id=12)
    assert in_topic is not None
    assert in_thread is not None
    assert (in_topic.conversation, in_topic.address["topic"]) == (f"telegram:{GROUP}:33", "33")
    assert (in_thread.conversation, in_thread.address["topic"]) == (f"telegram:{GROUP}:0", "0")


@pytest.mark.parametrize(
    ("chat", "text", "expected"),
    [
        (77, "/start", ("start", "")),
        (77, "/HELP", ("help", "")),
        (77, "/forget all", ("forget", "all")),
        (77, "/dance", ("dance", "")),
        (GROUP, "/new", ("new", "")),
        (GROUP, "/sources@CotorraBot", ("sources", "")),
        (GROUP, "@CotorraBot", ("help", "")),
        (GROUP, "/new@OtherBot", None),
        (GROUP, "/dance", None),
    ],
)
async def test_commands(polled: Scene, chat: int, text: str, expected: tuple[str, str] | None) -> None:
    message = await heard(polled, polled.person(chat=chat), text)
    assert expected == (None if message is None else (message.command, message.text))
    assert message is None or message.kind == "command"


async def test_a_path_at_the_beginning_is_a_question(polled: Scene) -> None:
    message = await heard(polled, polled.person(), "/etc/hosts, where is it described?")
    other = await heard(polled, polled.person(), "/etc is described where?")
    assert message is not None
    assert other is not None
    assert (message.kind, message.text[:10], other.kind) == ("question", "/etc/hosts", "question")


async def test_an_edit_names_the_question_that_it_changes(scene: Scene) -> None:
    person = scene.person()
    number = await person.says("Hw?")
    await person.edits(number, "How?")
    await person.edits(await person.says("/new"), "/forget")
    await scene.settled()
    edit = scene.accepted[1]
    assert (edit.kind, edit.text, edit.original) == ("edit", "How?", f"telegram:77:{number}")
    assert edit.id.startswith(f"telegram:77:{number}:edit:")
    assert [message.kind for message in scene.accepted] == ["question", "edit", "command"]


PHOTO = [{"file_id": "f", "file_unique_id": "u", "width": 1, "height": 1}]
FILE = {"file_id": "f", "file_unique_id": "u"}


async def test_attachments_are_named_in_the_language_of_their_sender(polled: Scene) -> None:
    person = polled.person(language="es")
    photo = await heard(polled, person, photo=PHOTO, caption="¿Qué es esto?")
    voice = await heard(polled, person, voice=FILE | {"duration": 1})
    paper = await heard(polled, person, document=FILE | {"file_name": "contrato.pdf"})
    assert photo is not None
    assert voice is not None
    assert paper is not None
    assert (photo.text, photo.attachments) == ("¿Qué es esto?", ("foto",))
    assert (voice.text, voice.attachments, paper.attachments) == ("", ("mensaje de voz",), ("contrato.pdf",))


async def test_an_album_is_one_question(polled: Scene) -> None:
    person = polled.person()
    assert await heard(polled, person, photo=PHOTO, caption="These?", media_group_id="9") is not None
    assert await heard(polled, person, photo=PHOTO, media_group_id="9") is None


async def test_bots_service_messages_and_channel_posts_are_not_answered(polled: Scene) -> None:
    person = polled.person()
    bot = {"id": 9, "is_bot": True, "first_name": "B"}
    assert await heard(polled, person, "Hi", **{"from": bot}) is None
    assert await heard(polled, person, "Hi", via_bot=bot) is None
    assert await heard(polled, polled.person(chat=GROUP), new_chat_title="New title") is None
    assert await heard(polled, polled.person(chat=GROUP), "@CotorraBot", is_automatic_forward=True) is None
    await polled.telegram.push(channel_post=person.message("News"))
    await polled.settled()
    assert polled.accepted == []


async def test_an_anonymous_admin_speaks_for_the_group(polled: Scene) -> None:
    person = polled.person(chat=GROUP)
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
    message = await heard(polled, person, "/forget all", sender_chat=person.place(), **{"from": anonymous})
    assert message is not None
    assert (message.sender.id, message.sender.admin) == (str(GROUP), True)


async def test_a_group_with_a_public_name_can_be_read_by_everybody(polled: Scene) -> None:
    message = await heard(polled, polled.person(chat=GROUP, chat_name="everybody"), "/help")
    assert message is not None
    assert message.channel == "public"


async def test_only_an_admin_of_the_group_is_resolved_to_one(polled: Scene) -> None:
    polled.telegram.admins.add((GROUP, 1))
    for user, admin in ((1, True), (2, False)):
        message = await heard(polled, polled.person(chat=GROUP, user=user), "/forget all")
        assert message is not None
        assert (await polled.platform.resolve(message)).sender.admin is admin


async def test_a_group_that_became_a_supergroup_moves_its_memory_once(scene: Scene) -> None:
    scene.move_failures = [StoreUnavailable("Redis is gone")] * 6
    old, new = scene.person(chat=-5, kind="group"), scene.person(chat=-1005)
    await old.says(migrate_to_chat_id=-1005)
    await new.says(migrate_from_chat_id=-5)
    await scene.settled()
    assert scene.moves == [("telegram:-5:0", "telegram:-1005:0")]


async def test_text_that_no_store_takes_is_mended_not_refused(scene: Scene) -> None:
    person = scene.person()
    await scene.telegram.push(message=person.message("a\ud83db\x00c"))
    await scene.settled()
    [message] = scene.accepted
    assert message.text == "a?bc"


async def test_the_menu_is_announced_in_both_languages_for_private_chats_and_groups(scene: Scene) -> None:
    await scene.until(lambda: len(scene.telegram.menus) == 4)
    announced = {(menu.get("language_code", ""), menu["scope"]["type"]) for menu in scene.telegram.menus}
    kinds = ("all_private_chats", "all_group_chats")
    assert announced == {(language, kind) for language in ("", "es") for kind in kinds}
    assert {command["command"] for command in scene.telegram.menus[0]["commands"]} == {
        "start", "help", "new", "forget", "sources", "person",
    }  # fmt: skip
