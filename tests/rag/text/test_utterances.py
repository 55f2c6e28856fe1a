"""Which questions lean on those before them."""

from __future__ import annotations

import pytest

from rag.text.utterances import cleaned, follows_up


@pytest.mark.parametrize(
    "text",
    [
        "and for contractors?", "And over HTTP?", "what about Telegram?", "why?", "why not?", "how do I undo it?",
        "is this safe?", "¿y en España?", "¿por qué?", "pero ¿cuánto cuesta?", "¿cómo lo deshago?", "then what?",
    ],
)  # fmt: skip
def test_a_follow_up_is_recognised(text: str) -> None:
    assert follows_up(text)


@pytest.mark.parametrize(
    "text",
    [
        "How do I connect Slack?", "Why does the bot not answer?", "¿Cómo conecto Slack?", "pricing", "🙂", "",
        "¿Por qué no responde el bot?", "Android app", "yes", "where is the log",
        "e-mail address", "U-turns allowed", "O'Reilly books", "so-called experts",
        "We installed the app last week and since then it has not answered a single question in our channel",
    ],
)  # fmt: skip
def test_a_question_that_stands_alone_is_left_alone(text: str) -> None:
    assert not follows_up(text)


def test_a_question_has_the_characters_of_the_passages() -> None:
    assert cleaned(" ware\u00adhouse cafe\u0301\u200b\u00a0no.\ud800 ") == "warehouse café no."
    assert cleaned("\u0645\u06cc\u200c\u0634\u0648\u062f") == "\u0645\u06cc\u200c\u0634\u0648\u062f"
