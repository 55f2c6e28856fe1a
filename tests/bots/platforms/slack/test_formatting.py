"""Markdown on its way to Slack: harmless, cut where a reader would cut it, nothing lost."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.messages import OutgoingReply
from bots.platforms.slack.receiving.events import command, visible_text
from bots.platforms.slack.replying.blocks import Press, footer, from_value, to_value
from bots.platforms.slack.replying.formatting import (
    POST_CHARACTERS,
    escape,
    harmless,
    link,
    open_fence,
    pieces,
    standalone,
    whole_words,
)
from tests.bots.platforms.slack.scene import source

CALL = re.compile(r"<[@!]|<#C|@(?:here|channel|everyone)\b", re.IGNORECASE)
WORDS = st.lists(
    st.sampled_from(["word", "<@U1>", "<!here>", "@channel", "&lt;!all&gt;", "\n\n", "```", "a.", "<", "@", "!here"]),
    max_size=30,
)


@given(WORDS)
def test_nothing_that_slack_reads_as_a_call_is_left(words: list[str]) -> None:
    assert not CALL.search(harmless(" ".join(words)))
    assert not CALL.search(harmless("".join(words)))
    assert "<" not in escape(" ".join(words))


@given(WORDS, st.integers(0, 200))
def test_what_is_shown_early_is_a_beginning_of_what_is_shown_in_the_end(words: list[str], length: int) -> None:
    text = " ".join(words)
    assert harmless(text).startswith(whole_words(harmless(text[:length])))


@given(st.text(alphabet="ab .\n`", max_size=400), st.integers(1, 60))
def test_pieces_hold_the_whole_text_in_order(text: str, repeat: int) -> None:
    text *= repeat
    spans = pieces(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(0 < end - start <= POST_CHARACTERS for start, end in spans)


def test_a_text_is_cut_at_a_paragraph_rather_than_in_a_sentence() -> None:
    text = ("A sentence here. " * 40 + "\n\n") * 30
    assert all(text[start:end].endswith("\n\n") for start, end in pieces(text))


def test_a_code_block_cut_in_two_is_closed_and_opened_again() -> None:
    text = "Look:\n```python\n" + "x = 1\n" * 3000 + "```\nDone."
    parts = [standalone(text, start, end) for start, end in pieces(text)]
    assert len(parts) > 1
    assert all(part.count("```") % 2 == 0 for part in parts)
    assert all(part.startswith("```python\n") for part in parts[1:])


@pytest.mark.parametrize(
    ("text", "fence"),
    [("a", ""), ("```py\nx", "```py"), ("```\nx\n```", ""), ("~~~\n```\n", "~~~"), ("````\n```\n", "````")],
)
def test_an_open_code_block_is_known(text: str, fence: str) -> None:
    assert open_fence(text) == fence


@pytest.mark.parametrize(
    ("title", "url", "expected"),
    [
        ("A & B", "https://x.example/a?b=1&c=2", "<https://x.example/a?b=1&amp;c=2|A &amp; B>"),
        ("A|B", "https://x.example/a|b>", "<https://x.example/a%7Cb%3E|A¦B>"),
        ("Local", "file:///etc/passwd", "Local"),
        ("Script", "javascript:alert(1)", "Script"),
        ("Long", "https://x.example/" + "a" * 2000, "Long"),
    ],
)
def test_links_lead_to_the_web_only(title: str, url: str, expected: str) -> None:
    assert link(title, url) == expected


def test_a_source_says_when_it_was_changed() -> None:
    known = source(title="Holidays")
    dated = replace(known, passage=replace(known.passage, updated_at=datetime(2026, 5, 3, tzinfo=UTC)))
    (context, _) = footer(OutgoingReply(turn_id="t", kind="answer", text="a", sources=(dated,)), "c")
    assert context["elements"][0]["text"].endswith("1. <https://help.example.com/h|Holidays (updated 3 May 2026)>")


def test_steps_with_code_and_the_sign_of_more_reach_slack_as_they_are() -> None:
    answer = (
        "9. Add the key:\n\n   ```sh\n   apt-key add key\n   ```\n10. Check it. [1]\n\n"
        "… 4 more steps: [Install: Linux](<https://h.example/install#linux>)"
    )
    assert harmless(answer) == answer
    assert open_fence(answer[: answer.index("10.")]) == ""


def test_many_sources_stay_within_slacks_limits() -> None:
    found = tuple(
        source(number, title="A long title " * 30, url="https://x.example/" + "p" * 900) for number in range(1, 60)
    )
    blocks = footer(OutgoingReply(turn_id="t", kind="answer", text="a", sources=found), "c")
    assert len(blocks) <= 49
    assert all(len(element["text"]) <= 3000 for block in blocks[:-1] for element in block["elements"])


@given(st.text(max_size=50) | st.none() | st.integers())
def test_values_of_other_buttons_are_nobodys_press(value: object) -> None:
    assert from_value(value) is None


def test_a_press_survives_its_button() -> None:
    press = Press(turn="t", conversation="slack:T1:C1:1.1", rating="down", language="es")
    assert from_value(to_value(press)) == press


def test_slacks_markup_is_read_as_a_person_reads_it() -> None:
    raw = "<@UBOT> ask <@U2|ana> in <#C1|general> <!here>, see <https://x.example|the page> &amp; <mailto:a@b.c|a@b.c>"
    assert visible_text(raw, "UBOT") == "ask @U2 in #general @here, see the page (https://x.example) & mailto:a@b.c"


def test_a_long_text_is_no_command() -> None:
    assert command("new " * 10) is None
    assert command("forget me not") is None
