"""Term weights: what matches what."""

from __future__ import annotations

import pytest

from rag.retrieval.sparse import LANGUAGES, SparseEncoder

SPARSE = SparseEncoder()


def terms(text: str, language: str) -> set[int]:
    return set(SPARSE.encode_query(text, language).indices)


def held(text: str, language: str) -> set[int]:
    return set(SPARSE.encode_passage(text, language).indices)


@pytest.mark.parametrize(
    ("question", "passage", "language"),
    [
        ("How do I connect Slack?", "Connecting: open Slack's settings", "en"),
        ("¿Cómo conecto Slack?", "Conectar con Slack", "es"),
        ("como conecto slack", "Conéctalo a SLACK: conectar", "es"),
        ("configuracion", "Configuración", "es"),
        ("Wie verbinde ich Slack?", "Slack verbinden", "de"),
        ("你好", "你好", "zh"),
    ],
)
def test_the_terms_of_a_question_are_those_of_its_passage(question: str, passage: str, language: str) -> None:
    assert terms(question, language)
    assert terms(question, language) <= held(passage, language)


@pytest.mark.parametrize(("text", "language"), [("how do I the", "en"), ("¿Cómo es la de los?", "es"), ("", "en")])
def test_a_text_without_content_words_has_no_terms(text: str, language: str) -> None:
    assert terms(text, language) == set()


def test_names_match_across_languages() -> None:
    assert terms("Slack", "es") == terms("Slack", "en") == terms("Slack", "xx")


def test_repetition_saturates_and_length_dilutes() -> None:
    once = SPARSE.encode_passage("slack", "en").values[0]
    often = SPARSE.encode_passage("slack " * 10, "en").values[0]
    diluted = max(SPARSE.encode_passage("slack " + " ".join(f"word{n}" for n in range(500)), "en").values)
    assert once < often < 3 * once
    assert diluted < once


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_listed_is_one_that_the_engine_knows(language: str) -> None:
    assert terms("slack", language)


def test_every_language_that_is_detected_is_stemmed() -> None:
    from rag.language import LANGUAGES as DETECTED

    assert set(DETECTED) <= set(LANGUAGES)
