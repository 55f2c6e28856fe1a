"""The chain's own sentences, and small talk."""

from __future__ import annotations

import pytest

from rag.intents.courtesy import recognise
from rag.prompts.sentences import SENTENCES, Sentence, abstention, say
from rag.types import Passage


def passage(url: str = "", title: str = "Slack") -> Passage:
    return Passage(
        id="1", document="d", source="s", title=title, headings=("Slack", "Socket Mode"), url=url, text="x",
        position=0, language="en", audience="public",
    )  # fmt: skip


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_sentence_differs_between_the_languages_and_has_the_same_places(sentence: Sentence) -> None:
    english, spanish = (say(language, sentence, page="PAGE") for language in ("en", "es"))
    assert english != spanish
    assert ("PAGE" in english) == ("PAGE" in spanish)


def test_a_language_without_sentences_is_spoken_to_in_english() -> None:
    assert say("fi", "thanks") == say("en", "thanks")


def test_an_abstention_names_and_links_the_closest_page() -> None:
    text = abstention("es", passage("https://help.example.com/slack#socket-mode"))
    assert "[Slack: Socket Mode](<https://help.example.com/slack#socket-mode>)." in text
    assert text.endswith(say("es", "instead"))


def test_an_abstention_links_nothing_that_cannot_be_opened() -> None:
    assert abstention("en", passage("es/slack.md#socket")).endswith(f"**Slack: Socket Mode**. {say('en', 'instead')}")
    assert abstention("en", None) == f"{say('en', 'unknown')} {say('en', 'reword')}"


def test_a_title_with_markup_in_it_shows_its_characters() -> None:
    assert r"\_\_init\_\_\*" in abstention("en", passage(title="__init__*"))


@pytest.mark.parametrize(
    ("text", "kind", "language"),
    [
        ("Hello!", "greeting", "en"),
        ("hi there, good morning 🙂", "greeting", "en"),
        ("Thank you so much, that helped", "thanks", "en"),
        ("who are you?", "identity", "en"),
        ("bye", "goodbye", "en"),
        ("¡Hola!", "greeting", "es"),
        ("Buenas tardes", "greeting", "es"),
        ("muchas gracias por la ayuda", "thanks", "es"),
        ("¿Quién eres?", "identity", "es"),
        ("hasta luego", "goodbye", "es"),
    ],
)
def test_small_talk_is_recognised(text: str, kind: str, language: str) -> None:
    heard = recognise(text)
    assert heard is not None
    assert (heard.kind, heard.language) == (kind, language)


@pytest.mark.parametrize(
    "text",
    ["", "🙂", "Hi, how do I connect Slack?", "Thanks, and for contractors?", "qué haces con mis datos", "it", "ok"],
)
def test_a_question_with_manners_is_still_a_question(text: str) -> None:
    assert recognise(text) is None


def test_a_long_thank_you_note_is_read_by_the_chain() -> None:
    assert recognise("thanks " * 40) is None
