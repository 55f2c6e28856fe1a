"""The chain's own sentences, and small talk."""

from __future__ import annotations

import pytest

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
