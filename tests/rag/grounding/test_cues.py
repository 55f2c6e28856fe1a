from __future__ import annotations

import zlib

import pytest

from rag.grounding.support.cues import TokenizedText, edits, names, negation_conflicts, opposites

STOP = {"you", "it", "the", "a", "is", "to", "do", "in", "el", "la", "se", "es"}


def read(text: str) -> TokenizedText:
    return TokenizedText.of(text, lambda word: () if word in STOP else (zlib.crc32(word.rstrip("s").encode()),))


@pytest.mark.parametrize(
    ("statement", "source"),
    [
        ("You do not need photos.", "You need photos."),
        ("You can't renew online.", "You can renew online."),
        ("Never share passwords.", "Share passwords with Ana."),
        ("No se puede renovar.", "Se puede renovar."),
    ],
)
def test_a_denial_that_the_source_does_not_make_is_counted_and_so_is_one_left_out(statement: str, source: str) -> None:
    assert negation_conflicts(read(statement), read(source)) == (1, 0)
    assert negation_conflicts(read(source), read(statement)) == (0, 1)
    assert edits(read(statement), read(source))["edit_denied"] == 1
    assert negation_conflicts(read(statement), read(statement)) == (0, 0)


@pytest.mark.parametrize(
    ("statement", "source"),
    [
        ("Apply after travel ends.", "Apply before travel ends."),
        ("It costs at most ten dollars.", "It costs at least ten dollars."),
        ("Come with children.", "Come without children."),
        ("Llame antes de viajar hoy.", "Llame después de viajar hoy."),
    ],
)
def test_a_condition_in_the_place_of_its_opposite_is_counted(statement: str, source: str) -> None:
    assert opposites(read(statement), read(source))["other"] + edits(read(statement), read(source))["edit_swapped"] > 0
    assert sum(opposites(read(statement), read(statement)).values()) == 0


def test_names_are_capitals_within_a_sentence_and_words_mixed_of_capitals_and_figures() -> None:
    assert names("Send form MV-82 to Albany. You may use getUser there.") == ["mv-82", "albany", "getuser"]
