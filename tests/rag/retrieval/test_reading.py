"""Passages found as they are read."""

from __future__ import annotations

from typing import Any

from rag.retrieval.index.passages import RetrievedPassage
from rag.retrieval.reading import JOINED_CHARACTERS, distinct, join_neighbours
from tests.rag.fakes import passage

TERMS = frozenset(range(20))


def piece(position: int, text: str = "", heading: str = "Pay", **fields: object) -> RetrievedPassage:
    at: dict[str, Any] = {"position": position, "headings": ("Page", heading), "document": "kb/page.md"} | fields
    return RetrievedPassage(key=f"k{position}", passage=passage(text or f"Text {position}.", number=position, **at))


def around(
    middle: RetrievedPassage, *, before: tuple[RetrievedPassage, ...] = (), after: tuple[RetrievedPassage, ...] = ()
) -> RetrievedPassage:
    return RetrievedPassage(
        key=middle.key,
        passage=middle.passage,
        before=tuple(each.passage for each in before),
        after=tuple(each.passage for each in after),
    )


def texts(*found: RetrievedPassage) -> list[str]:
    return [reading.passage.text for reading in join_neighbours([(each, TERMS) for each in found])]


def test_neighbours_that_were_both_found_are_one_passage_in_reading_order() -> None:
    first, second = piece(3), piece(4)
    found = (around(second, before=(first,)), around(first, after=(second,)))
    assert texts(*found) == ["Text 3.\n\nText 4."]


def test_the_first_hit_is_completed_within_its_section_only() -> None:
    hit, same, other = piece(4), piece(5), piece(3, heading="Holidays")
    assert texts(around(hit, before=(other,), after=(same,))) == ["Text 4.\n\nText 5."]


def test_a_later_hit_is_not_completed_with_what_was_not_found() -> None:
    elsewhere = piece(1, document="kb/other.md")
    later = around(piece(4), after=(piece(5),))
    assert texts(elsewhere, later) == ["Text 1.", "Text 4."]


def test_nothing_is_joined_beyond_what_is_readable() -> None:
    long = piece(5, text="x" * JOINED_CHARACTERS)
    assert texts(around(piece(4), after=(long,))) == ["Text 4."]


def test_neighbours_of_two_sections_stay_two_passages_each_under_its_own_heading() -> None:
    first, second = piece(3, heading="May I bring my dog?"), piece(4, heading="May I bring my child?")
    readings = join_neighbours([(around(second, before=(first,)), TERMS), (around(first, after=(second,)), TERMS)])
    assert [(each.passage.headings[-1], each.passage.text) for each in readings] == [
        ("May I bring my child?", "Text 4."),
        ("May I bring my dog?", "Text 3."),
    ]


def test_what_repeats_a_better_passage_of_a_page_of_the_same_title_is_left_out() -> None:
    copy = piece(1, document="kb/copy.md")
    assert [found.key for found, _ in distinct([piece(4), copy], [TERMS, TERMS])] == ["k4"]


def test_the_same_words_under_another_title_or_in_another_language_are_another_passage() -> None:
    titled, translated = piece(1, title="Other"), piece(2, language="es")
    assert len(distinct([piece(4), titled, translated], [TERMS] * 3)) == 3


def test_short_passages_repeat_each_other_only_word_for_word() -> None:
    few = frozenset({1, 2})
    assert len(distinct([piece(1), piece(2)], [few, few])) == 2
    assert len(distinct([piece(1, "Yes."), piece(2, "Yes.")], [few, few])) == 1
