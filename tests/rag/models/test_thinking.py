"""What a reasoning model thinks aloud is left out, however the text is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.models.thinking import WithoutThinking


def shown(*pieces: str) -> str:
    thinking = WithoutThinking()
    return "".join(map(thinking.feed, pieces)) + thinking.finish()


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("Plain text.", "Plain text."),
        ("<think>first this</think>\n\nThe answer.", "The answer."),
        ("<think></think>The answer.", "The answer."),
        ("<thinking>first this</thinking>The answer.", "The answer."),
        ("<THINK>loud</THINK> The answer.", "The answer."),
        ("One. <think>now</think>Two.", "One. Two."),
        ("<think>never ends", ""),
        ("</think>The answer.", "The answer."),
        ("<think>a < b and <b>bold</b></think>Less: 1 < 2.", "Less: 1 < 2."),
        ("1 < 2 and <thin> is no tag <thi", "1 < 2 and <thin> is no tag <thi"),
        ("  Leading space stays.", "  Leading space stays."),
        ("", ""),
    ],
)
def test_only_what_is_meant_for_the_reader_is_shown(text: str, visible: str) -> None:
    assert shown(text) == visible
    assert shown(*text) == visible


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<thi", "nk>", "a", " ", "\n", "<", "</"]), max_size=12), st.data()
)
def test_the_cuts_between_pieces_change_nothing(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cut = data.draw(st.integers(0, len(text)))
    assert shown(text) == shown(text[:cut], text[cut:]) == shown(*text)


def test_half_a_tag_is_held_back_and_plain_text_is_not() -> None:
    thinking = WithoutThinking()
    assert thinking.feed("Yes <th") == "Yes "
    assert thinking.feed("at is") == "<that is"
