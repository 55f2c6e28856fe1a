"""What people ask to be remembered about them: recognised precisely, kept per person, shown to nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from bots.keys import Keys
from rag.errors import StoreUnavailable
from rag.intents.notes import NoteWish, note_in, reply_text
from rag.memory.conversation import ConversationMemory
from rag.memory.notes import PersonalNotes
from rag.settings import MemorySettings
from rag.types import Background, Question

GROUP = "telegram:-5:0"
PRIVATE = "telegram:7:0"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("remember that I work part time", "I work part time"),
        ("Please remember that I work part time.", "I work part time"),
        ("Hi Cotorra, please remember: I’m in the Vigo office!", "I'm in the Vigo office!"),
        ("Could you remember I use Linux", "I use Linux"),
        ("Keep in mind that my laptop is a Mac", "my laptop is a Mac"),
        ("don't forget that I'm on the night shift", "I'm on the night shift"),
        ("Note that I am a contractor", "I am a contractor"),
        ("recuerda que trabajo a media jornada", "trabajo a media jornada"),
        ("Por favor, recuerda que vivo en Vigo.", "vivo en Vigo"),
        ("Acuérdate de que uso Linux", "uso Linux"),
        ("Ten en cuenta que trabajo de noche", "trabajo de noche"),
        ("apunta: soy autónomo", "soy autónomo"),
        ("Apunta que soy autónoma", "soy autónoma"),
        ("No olvides que mi jefa es Eva", "mi jefa es Eva"),
        ("remember that\nI work\n\npart time", "I work part time"),
        ("please remember im allergic to peanuts", "im allergic to peanuts"),
        ("apunta q soy celiaco", "soy celiaco"),
        ("for the future, remember that I am in Spain", "I am in Spain"),
        ("¿Podrías recordar que trabajo en Lisboa?", "trabajo en Lisboa"),
        ("Could you remember that I work from home?", "I work from home"),
    ],
)
def test_what_is_to_be_remembered_is_recognised(text: str, note: str) -> None:
    assert note_in(text) == note


@pytest.mark.parametrize(
    "text",
    [
        "Do you remember that I work part time?",
        "How do I remember my password?",
        "remember to restart the server",
        "Remember that I work part time. How many days do I get?",
        "note that the page is outdated",
        "Keep in mind that prices change",
        "remember the milk",
        "remember that ...",
        "¿Recuerdas que trabajo a media jornada?",
        "recuérdame que llame mañana",
        "Ten en cuenta que los precios cambian",
        "",
        "remember that I " + "x" * 2000,
    ],
)
def test_where_no_note_can_be_cut_out_the_message_is_a_question(text: str) -> None:
    assert note_in(text) is None


@given(st.text())
def test_no_text_makes_the_recogniser_fail(text: str) -> None:
    for before in ("", "remember that ", "recuerda que "):
        assert note_in(before + text) != ""


def test_a_note_is_told_back_as_plain_text() -> None:
    assert "“I like \\*tea\\*”" in reply_text("en", "remembered", ("I like *tea*",))
    assert reply_text("es", "listed", ("té", "[x](http://y)")).endswith("\n- té\n- \\[x\\](http://y)")


def asked(
    text: str, turn: str = "t1", *, speaker: str = "ana", conversation: str = PRIVATE, tenant: str = "",
    notes: tuple[str, ...] = (),
) -> Question:  # fmt: skip
    return Question(
        turn_id=turn,
        conversation=conversation,
        text=text,
        audiences=frozenset({"public"}),
        tenant=tenant,
        speaker=speaker,
        background=Background(notes=notes),
    )


def remember(text: str) -> NoteWish:
    return NoteWish(action="remember", language="en", text=text)


FORGET = NoteWish(action="forget", language="es")
LIST = NoteWish(action="list", language="es")


def opened(redis: Redis, keys: Keys, *, on: bool = True) -> PersonalNotes:
    return PersonalNotes(redis, MemorySettings(notes=on, ttl_days=1), keys.notes, keys.notes_of)


@pytest.fixture
def notes(redis: Redis, keys: Keys) -> PersonalNotes:
    return opened(redis, keys)


async def test_a_note_is_kept_told_back_and_comes_with_the_persons_questions_in_private(notes: PersonalNotes) -> None:
    reply = await notes.reply(asked("remember that I work part time"), remember("I work part time"))
    assert reply is not None
    assert "I work part time" in reply.text
    assert (reply.language, await notes.load("telegram:7:9", "ana", alone=True)) == ("en", ("I work part time",))
    assert await notes.load(PRIVATE, "luis", alone=True) == ()


async def test_in_a_group_only_what_was_said_there_is_used_and_only_for_who_said_it(notes: PersonalNotes) -> None:
    await notes.reply(asked("remember that I am ill"), remember("I am ill"))
    await notes.reply(asked("remember that I use Linux", "t2", conversation=GROUP), remember("I use Linux"))
    assert await notes.load(GROUP, "ana") == ("I use Linux",)
    assert await notes.load(GROUP, "luis") == ()
    assert await notes.load("telegram:-6:0", "ana") == ()
    assert await notes.load(PRIVATE, "ana", alone=True) == ("I am ill", "I use Linux")


async def test_another_tenants_prompts_never_hold_a_note(notes: PersonalNotes) -> None:
    await notes.reply(asked("remember that I use Linux", tenant="acme"), remember("I use Linux"))
    assert await notes.load(PRIVATE, "ana", "other", alone=True) == ()
    assert await notes.load(PRIVATE, "ana", "acme", alone=True) == ("I use Linux",)


async def test_switched_off_nothing_is_kept_or_shown_but_what_was_kept_is_forgotten(redis: Redis, keys: Keys) -> None:
    await opened(redis, keys).reply(asked("remember that I use Linux"), remember("I use Linux"))
    off = opened(redis, keys, on=False)
    assert await off.reply(asked("remember that I work part time", "t2"), remember("I work part time")) is None
    assert await off.load(PRIVATE, "ana", alone=True) == ()
    assert await off.forget(PRIVATE, "ana") == 1
    assert await redis.dbsize() == 0


async def test_a_redelivered_note_is_kept_once_and_the_oldest_of_too_many_goes(notes: PersonalNotes) -> None:
    for number in (*range(22), 21):
        await notes.reply(asked(f"remember that I own {number} cats", f"t{number}"), remember(f"I own {number} cats"))
    kept = await notes.load(PRIVATE, "ana", alone=True)
    assert kept == tuple(f"I own {number} cats" for number in range(2, 22))


async def test_a_note_too_long_is_refused_in_one_sentence(notes: PersonalNotes, redis: Redis) -> None:
    reply = await notes.reply(asked("remember that I own cats"), remember("I own " + "cats " * 60))
    assert reply is not None
    assert "200 characters" in reply.text
    assert await redis.dbsize() == 0


async def test_notes_are_listed_as_they_came_with_the_question_and_deleted_on_request(notes: PersonalNotes) -> None:
    await notes.reply(asked("recuerda que vivo en Vigo"), remember("vivo en Vigo"))
    kept = await notes.load(PRIVATE, "ana", alone=True)
    listed = await notes.reply(asked("¿Qué recuerdas de mí?", "t2", notes=kept), LIST)
    assert listed is not None
    assert listed.text.endswith("- vivo en Vigo")
    for sentence in ("He borrado tus notas.", "No tengo ninguna nota sobre ti."):
        reply = await notes.reply(asked("olvida mis notas", "t3"), FORGET)
        assert reply is not None
        assert reply.text == sentence
    assert await notes.load(PRIVATE, "ana", alone=True) == ()


async def test_forgetting_a_person_forgets_all_their_notes_and_nobody_elses(notes: PersonalNotes) -> None:
    await notes.reply(asked("remember that I use Linux"), remember("I use Linux"))
    await notes.reply(asked("remember that I am ill", "t2", conversation=GROUP), remember("I am ill"))
    await notes.reply(asked("remember that I am well", "t3", conversation=GROUP, speaker="luis"), remember("I am well"))
    assert await notes.forget(GROUP, "ana") == 2
    assert await notes.load(PRIVATE, "ana", alone=True) == ()
    assert await notes.load(GROUP, "luis") == ("I am well",)


async def test_forgetting_a_conversation_forgets_what_was_noted_in_it(notes: PersonalNotes) -> None:
    await notes.reply(asked("remember that I use Linux"), remember("I use Linux"))
    await notes.reply(asked("remember that I am ill", "t2", conversation=GROUP), remember("I am ill"))
    assert await notes.forget(GROUP) == 1
    assert await notes.load(PRIVATE, "ana", alone=True) == ("I use Linux",)


async def test_a_deleted_message_takes_its_note_along(notes: PersonalNotes) -> None:
    await notes.reply(asked("remember that I use Linux"), remember("I use Linux"))
    await notes.remove_turn(PRIVATE, "unknown")
    await notes.remove_turn(PRIVATE, "t1")
    assert await notes.load(PRIVATE, "ana", alone=True) == ()


async def test_a_group_that_moved_keeps_what_was_noted_in_it(redis: Redis, keys: Keys, notes: PersonalNotes) -> None:
    memory = ConversationMemory(redis, MemorySettings(), keys.memory, notes)
    await notes.reply(asked("remember that I use Linux", conversation=GROUP), remember("I use Linux"))
    await memory.move(GROUP, "telegram:-1005:0")
    known = await memory.background("telegram:-1005:0", "ana", {"public"})
    assert known == Background(notes=("I use Linux",))
    assert await notes.load(GROUP, "ana") == ()


async def test_notes_fade_unless_their_person_goes_on_talking_and_keys_name_nobody(
    notes: PersonalNotes, redis: Redis
) -> None:
    await notes.reply(asked("remember that I use Linux", speaker="U12345"), remember("I use Linux"))
    names = await redis.keys("*")
    assert len(names) == 2
    for name in names:
        await redis.expire(name, 5)
    await notes.load(PRIVATE, "U12345")
    assert all([await redis.ttl(name) > 86_000 for name in names])
    assert not any(b"U12345" in name for name in names)


async def test_a_note_of_another_version_is_left_out(notes: PersonalNotes, redis: Redis, keys: Keys) -> None:
    await notes.reply(asked("remember that I use Linux"), remember("I use Linux"))
    await redis.hset(keys.notes("ana"), "t0", b"0" * 20 + b'{"format": "of the future"}')
    assert await notes.load(PRIVATE, "ana", alone=True) == ("I use Linux",)


async def test_a_redis_that_is_gone_is_said_so(keys: Keys) -> None:
    notes = opened(Redis.from_url("unix:///nowhere/redis.sock", retry=None), keys)
    for act in (
        notes.reply(asked("olvida mis notas"), FORGET),
        notes.load(PRIVATE, "ana"),
        notes.forget(PRIVATE, "ana"),
    ):
        with pytest.raises(StoreUnavailable):
            await act
