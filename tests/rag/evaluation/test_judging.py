"""Whether a passage is the place that a set of questions names."""

from __future__ import annotations

import pytest

from rag.evaluation.cases import Expected
from rag.evaluation.judging import judge, satisfies
from tests.rag.fakes import passage
from tests.rag.judged import case, retrieval, turn

LEAVE = passage(
    "Everybody has **27 days** of paid holiday a year, and those who work nights have two more.",
    document="kb/guide/leave.md",
    url="https://help.example.com/guide/leave/#days",
)


@pytest.mark.parametrize(
    "expected",
    [
        Expected(source="kb"),
        Expected(document="kb/guide/leave.md"),
        Expected(document="leave.md"),
        Expected(document="./guide/leave.md"),
        Expected(url="https://help.example.com/guide/leave"),
        Expected(url="https://help.example.com/guide/leave#days"),
        Expected(passage="p1"),
        Expected(passage="everybody has 27 days of paid holiday"),
        Expected(source="kb", document="leave.md", passage="two more"),
    ],
)
def test_a_passage_is_where_it_is_said_to_be(expected: Expected) -> None:
    assert satisfies(LEAVE, expected)


@pytest.mark.parametrize(
    "expected",
    [
        Expected(source="other"),
        Expected(document="eave.md"),
        Expected(document="guide"),
        Expected(url="https://help.example.com/guide"),
        Expected(url="https://help.example.com/guide/leave#nights"),
        Expected(passage="p"),
        Expected(passage="27 days of unpaid holiday"),
        Expected(passage="ights have two more"),
        Expected(passage="…"),
        Expected(source="other", passage="two more"),
    ],
)
def test_a_passage_is_not_where_it_is_not(expected: Expected) -> None:
    assert not satisfies(LEAVE, expected)


def test_a_text_that_the_splitter_cut_counts_where_it_begins_and_where_it_ends() -> None:
    first = [f"one{number}" for number in range(20)]
    last = [f"two{number}" for number in range(20)]
    whole = Expected(passage=" ".join(first + last))
    assert satisfies(passage(" ".join(first)), whole)
    assert satisfies(passage(" ".join(last)), whole)
    assert not satisfies(passage(" ".join(first[8:] + last[:8])), whole)


def test_a_section_that_shares_its_passage_is_found_under_its_own_name() -> None:
    both = passage("**Days**\n\nTwenty-seven.\n\n**Días de más**\n\nTwo **more**.", url="https://a.example/leave#days")
    assert satisfies(both, Expected(url="https://a.example/leave#days"))
    assert satisfies(both, Expected(url="https://a.example/leave#días-de-más"))
    assert not satisfies(both, Expected(url="https://a.example/leave#more"))
    assert not satisfies(both, Expected(url="https://a.example/pay#días-de-más"))


def test_each_place_has_the_rank_of_its_first_passage() -> None:
    wanted = (Expected(document="C.md"), Expected(document="None.md"), Expected(source="kb"))
    [judged] = judge([case(expected=wanted)], [retrieval("A", "B", "C", "C")])
    assert (judged.places, judged.rank) == ((3, None, 1), 1)


def test_a_turn_counts_for_the_source_where_its_answer_is_or_should_have_been() -> None:
    wanted = (
        [Expected(passage="p0")],  # found
        [Expected(source="faq", document="x.md")],  # named
        [Expected(document="kb/x.md")],  # the beginning of an id
        [Expected(document="docs/x.md")],  # a path, which tells nothing
    )
    judged = judge([case(expected=each) for each in wanted], [retrieval("A")] * 4)
    assert [one.source for one in judged] == ["kb", "faq", "kb", ""]


def test_what_answers_must_be_among_the_passages_that_are_handed_on() -> None:
    assert turn("A", "B", wanted="B").answered_within(2)
    assert not turn("A", "B", wanted="B").answered_within(1)
    assert not turn("A").answered_within(1)
    assert turn("A", answerable=True).answered_within(1)
