"""The measures of ``make bench-retrieval`` on cases that can be reckoned by hand."""

from __future__ import annotations

import math

import pytest

from tests.benchmarks.retrieval.data import Asked, Grounded
from tests.benchmarks.retrieval.figures import auroc, each, mean, ndcg, separation
from tests.benchmarks.retrieval.measures import characters_until, cut
from tests.benchmarks.retrieval.spans import Places
from tests.benchmarks.retrieval.systems import Shown


def test_ndcg_is_one_when_all_that_is_relevant_comes_first() -> None:
    assert ndcg(["a", "b", "c"], frozenset({"a", "b"})) == 1.0


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    assert ndcg(["x", "y", "a"], frozenset({"a"})) == pytest.approx(1 / math.log2(4))


def test_ndcg_counts_only_the_first_ten_and_divides_by_what_could_be_there() -> None:
    ranked = [f"x{number}" for number in range(10)] + ["a"]
    assert ndcg(ranked, frozenset({"a"})) == 0.0
    assert ndcg(["a"], frozenset({"a", "b"})) == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_auroc_counts_the_pairs_in_the_right_order_and_half_of_the_ties() -> None:
    assert auroc([3, 4], [1, 2]) == 1.0
    assert auroc([1, 2], [1, 2]) == 0.5
    assert auroc([2, 0.5], [1, 2]) == pytest.approx((1 + 0.5 + 0 + 0) / 4)


def test_a_mean_comes_with_its_interval_and_its_cases() -> None:
    found = mean("recall", [0.0, 1.0] * 50)
    assert (found["recall"], found["n"]) == (0.5, 100)
    assert found["recall_interval"] == pytest.approx([0.4, 0.6], abs=0.03)


def test_intervals_are_the_same_in_every_run() -> None:
    scores = [0.1, 0.4, 0.35, 0.8], [0.2, 0.3, 0.7]
    assert separation("auroc", *scores) == separation("auroc", *scores)


def test_rows_of_cases_become_a_mean_a_column() -> None:
    found = each([[0.0, 1.0], [1.0, 1.0]], ["first", "second"])
    assert (found["first"], found["second"], found["n"]) == (0.5, 1.0, 2)


DOCUMENT = "Renew online.\n\nYou must  renew within\nten days of moving. Late renewals cost 20 dollars. Renew online.\n"


def shown(text: str, path: str = "a.md") -> Shown:
    return Shown(path=path, text=text)


def test_a_text_is_placed_whatever_its_white_space() -> None:
    places = Places(DOCUMENT).of("must renew\n\nwithin ten   days")
    assert DOCUMENT[places[0] : places[0] + 4] == "must"
    assert {DOCUMENT[place] for place in places.values()} >= set("wihntedays")
    assert places[len("must renew\n\nwithin ten   day")] == DOCUMENT.index("days") + 3


def test_white_space_has_no_place() -> None:
    assert 4 not in Places(DOCUMENT).of("must renew")


def test_a_heading_that_the_document_does_not_have_is_left_out() -> None:
    text = "**How to renew a thing**\n\nYou must renew within ten days of moving."
    places = Places(DOCUMENT).of(text)
    assert min(places) == text.index("You")
    assert places[min(places)] == DOCUMENT.index("You")


def test_a_repeated_sentence_is_placed_behind_what_comes_before_it() -> None:
    text = "**Costs**\nLate renewals cost 20 dollars. Renew online."
    assert Places(DOCUMENT).of(text)[text.index("Renew online")] == DOCUMENT.rindex("Renew online")


def test_passages_that_leave_something_out_are_placed_piece_by_piece() -> None:
    text = "Renew online.\nLate renewals cost 20 dollars."
    places = Places(DOCUMENT).of(text)
    assert places[0] == 0
    assert places[text.index("Late")] == DOCUMENT.index("Late")


def test_a_text_that_stands_nowhere_has_no_places() -> None:
    assert Places(DOCUMENT).of("Something else entirely, about taxes.") == {}


def grounded(span: str, path: str = "a.md") -> Grounded:
    start = DOCUMENT.index(span)
    return Grounded(asked=Asked(text="?"), path=path, start=start, end=start + len(span))


def test_characters_count_up_to_the_first_end_of_the_span_that_is_shown() -> None:
    hits = [shown("Other text.", "b.md"), shown("Late renewals cost 20 dollars.")]
    documents = {"a.md": Places(DOCUMENT), "b.md": Places("Other text.")}
    needed = characters_until(grounded("cost 20"), hits, documents)
    assert needed == len("Other text.") + len("Late renewals ")


def test_the_end_of_a_span_counts_where_its_start_is_not_shown() -> None:
    hits = [shown("days of moving.")]
    needed = characters_until(grounded("within\nten days"), hits, {"a.md": Places(DOCUMENT)})
    assert needed == len("day")


def test_a_span_in_another_document_is_not_found() -> None:
    needed = characters_until(grounded("cost 20", "c.md"), [shown(DOCUMENT)], {"a.md": Places(DOCUMENT)})
    assert needed == math.inf


def test_hits_are_cut_where_the_characters_end() -> None:
    assert [hit.text for hit in cut([shown("abc"), shown("defg"), shown("h")], 5)] == ["abc", "de"]
