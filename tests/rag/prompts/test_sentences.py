"""The chain's own sentences, and small talk."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rag.prompts.sentences import SENTENCES, Rest, Sentence, abstention, dated, say, the_rest
from rag.types import Passage, Source


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
    ("language", "rest", "count", "expected"),
    [
        ("en", "steps", 4, "… 4 more steps: [Slack: Socket Mode](<https://h.example/s#m>)"),
        ("en", "items", 1, "… 1 more item: [Slack: Socket Mode](<https://h.example/s#m>)"),
        ("en", "code", 0, "… more of this code: [Slack: Socket Mode](<https://h.example/s#m>)"),
        ("es", "steps", 1, "… 1 paso más: [Slack: Socket Mode](<https://h.example/s#m>)"),
        ("es", "rows", 52, "… 52 filas más: [Slack: Socket Mode](<https://h.example/s#m>)"),
        ("fi", "rows", 2, "… 2 more rows: [Slack: Socket Mode](<https://h.example/s#m>)"),
    ],
)
def test_what_is_left_out_is_counted_and_linked(language: str, rest: Rest, count: int, expected: str) -> None:
    assert the_rest(language, rest, count, passage("https://h.example/s#m")) == expected


@pytest.mark.parametrize(
    "url", ["", "es/slack.md", "javascript:alert(1)", "https://h.example/a b>", "https://h.example/<x"]
)
def test_what_is_left_out_is_named_where_no_link_can_be_opened(url: str) -> None:
    assert the_rest("en", "steps", 2, passage(url)) == "… 2 more steps: **Slack: Socket Mode**"


def test_a_source_shows_the_day_of_its_last_change_where_it_is_known() -> None:
    changed = replace(passage(), updated_at=datetime(2026, 5, 3, 23, 30, tzinfo=UTC))
    assert dated("Holidays", changed, "en") == "Holidays (updated 3 May 2026)"
    assert dated("Vacaciones", changed, "es") == "Vacaciones (actualizado el 3 de mayo de 2026)"
    assert dated("Holidays", passage(), "en") == "Holidays"


@pytest.mark.parametrize(
    ("title", "headings", "expected"),
    [
        ("faq members", ("How do I pay?",), "How do I pay?"),
        ("faq members", ("Money", "How do I pay?"), "Money: How do I pay?"),
        ("faq members", (), "faq members"),
        ("faq members", ("faq members", "Pay"), "faq members: Pay"),
        ("FAQ", ("How do I pay?",), "FAQ: How do I pay?"),
    ],
)
def test_a_files_name_is_no_title_where_there_is_a_heading(
    title: str, headings: tuple[str, ...], expected: str
) -> None:
    named = replace(passage(title=title), document="kb/en/faq-members.md", headings=headings)
    assert Source(number=1, passage=named, score=1.0).title == expected
