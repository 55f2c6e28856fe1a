"""Languages of the texts that people really write: short ones."""

from __future__ import annotations

import pytest

from rag.language import LANGUAGES, detect, hint


@pytest.mark.parametrize(
    "text",
    [
        "How do I connect Slack?", "reset password", "and for contractors?", "hello", "thanks!", "webhook secret",
        "What is the capital of Mongolia?", "WHERE IS THE LOG", "vacation days", "how 2 reset pwd",
    ],
)  # fmt: skip
def test_short_english_is_english(text: str) -> None:
    assert detect(text) == "en"


@pytest.mark.parametrize(
    "text",
    [
        "¿Cómo conecto Slack?", "cómo añado documentos", "como conecto telegram", "¿y en España?", "hola", "gracias",
        "copia de seguridad", "que hace el comando sync", "borrar mis datos", "límites de mensajes", "configuracion",
    ],
)  # fmt: skip
def test_short_spanish_is_spanish(text: str) -> None:
    assert detect(text) == "es"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wie verbinde ich Slack?", "de"),
        ("Puis-je utiliser Telegram avec Slack ?", "fr"),
        ("Posso usare Telegram?", "it"),
        ("O que é isto?", "pt"),
        ("Hur ansluter jag Slack?", "sv"),
        ("Как подключить Slack?", "ru"),
    ],
)
def test_other_languages_are_told_apart(text: str, language: str) -> None:
    assert detect(text) == language


@pytest.mark.parametrize("text", ["", "   ", "🙂👍", "a\x00b", "שלום מה שלומך", "12345", "COTORRA_HOME", "\ud800"])
def test_what_does_not_decide_takes_the_default(text: str) -> None:
    assert detect(text, "es") == "es"
    assert detect(text, "en") == "en"


def test_a_page_is_judged_by_statistics_not_by_one_word() -> None:
    page = "El comando lee los documentos de la carpeta y los guarda. La opción se llama hello en la consola. " * 50
    assert hint(page) is None
    assert detect(page) == "es"


def test_four_thousand_characters_of_nonsense_have_some_language() -> None:
    assert detect("xq zvk wpfj " * 333) in LANGUAGES


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("run on port 5000", "en"), ("call the api", "en"), ("error 404 not found", "en"), ("delete my data", "en"),
        ("websokets exmaple", "en"), ("instalar fastapi", "es"), ("me da error 500", "es"), ("como cancelo", "es"),
        ("hay parking", "es"), ("pago con visa", "es"), ("Passwort zurücksetzen", "de"), ("frais de port", "fr"),
    ],
)  # fmt: skip
def test_two_or_three_words_are_in_a_likely_language_unless_another_is_unmistakable(text: str, language: str) -> None:
    assert detect(text) == language


@pytest.mark.parametrize("text", ["factura", "tarifas", "wifi pasword", "api key", "CORS"])
def test_words_that_could_be_of_either_follow_the_conversation(text: str) -> None:
    assert detect(text, "es") == "es"
    assert detect(text, "en") == "en"


def test_english_words_stay_english_in_a_spanish_conversation() -> None:
    assert detect("refund time", "es") == "en"
    assert detect("session timeout", "es") == "en"
