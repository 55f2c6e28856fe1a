from __future__ import annotations

import pytest

from rag.grounding.support.numbers import claimed_numbers, figures, months


@pytest.mark.parametrize(
    ("statement", "passage"),
    [
        ("It costs 1,000.50 dollars.", "Cuesta 1.000,50 dólares."),
        ("It costs $5.", "The fee is five dollars."),
        ("Tarda veintiún días.", "It takes 21 days."),
        ("You have two months.", "Within 2 months."),
        ("There are twenty five of them.", "There are 25."),
        ("Hay treinta y cinco.", "There are 35."),
        ("It takes two hundred days.", "200 days"),
        ("It is 2.5 %.", "2,5 %"),
        ("Call 800-669-8477.", "Call 800 - 669 - 8477."),
        ("The first step is easy, and one of them is free.", "Nothing is counted here."),
    ],
)
def test_a_figure_is_found_however_it_is_written(statement: str, passage: str) -> None:
    assert all(forms & figures(passage) for forms in claimed_numbers(statement))


@pytest.mark.parametrize(
    ("statement", "passage"),
    [
        ("It costs $60.", "It costs $50."),
        ("It takes three days.", "It takes 2 days."),
        ("Tarda diez días.", "Tarda 12 días."),
        ("It is 2.5 %.", "It is 25 %."),
        ("It is form MV-83.", "It is form MV-82."),
        ("It costs 1,000 dollars.", "It costs 100 dollars."),
    ],
)
def test_another_figure_is_another_figure(statement: str, passage: str) -> None:
    assert not all(forms & figures(passage) for forms in claimed_numbers(statement))


def test_may_is_a_month_only_beside_a_figure() -> None:
    assert months("You may apply in June.") == {6}
    assert months("From May 7 to septiembre") == {5, 9}
