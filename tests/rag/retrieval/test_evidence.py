"""What is known of a retrieval, and what the packaged calibration makes of it."""

from __future__ import annotations

import pytest

from rag.retrieval.calibration import DEFAULT
from rag.retrieval.evidence import FEATURES, TYPICAL, coverage, evidence
from rag.retrieval.fusion import Fusion
from rag.retrieval.index.passages import Leg, Match
from rag.retrieval.legs import Search
from rag.retrieval.reading import Reading
from tests.rag.fakes import passage

MEANING = Search(name="turn meaning", weight=1.0, leg=Leg(dense=[1.0]))
RECENT = Search(name="recent meaning", weight=1.0, leg=Leg(dense=[1.0]))


def matches(*scores: float) -> list[Match]:
    return [
        Match(key=f"k{place}", document=f"d{place}", position=0, version=1, score=score)
        for place, score in enumerate(scores)
    ]


def figures(
    *scores: float, held: tuple[set[int], ...] = ({1, 2},), asked: tuple[int, ...] = (1, 2), recent: bool = False
) -> dict[str, float]:
    searches = [MEANING, RECENT] if recent else [MEANING]
    fusion = Fusion(searches, 5, 80)
    fusion([matches(*scores)] * len(searches))
    readings = [
        Reading(key=f"k{place}", passage=passage(number=place, document=f"d{place}"), terms=terms)
        for place, terms in enumerate(held)
    ]
    weights = dict.fromkeys(asked, 1.0)
    return evidence(fusion, readings, fusion.fused, turn=weights, whole=weights)


def test_every_feature_has_a_figure_also_where_nothing_was_found() -> None:
    assert set(figures(0.8)) == set(FEATURES)
    assert set(figures(held=())) == set(FEATURES)


def test_a_match_that_stands_out_of_many_alike_has_a_peak_and_one_of_many_has_none() -> None:
    background = [0.5] * 30
    assert figures(0.9, *background)["peak"] == pytest.approx(0.4)
    assert figures(0.5, *background)["peak"] == pytest.approx(0.0)


def test_of_a_handful_of_passages_the_background_is_hardly_known() -> None:
    assert figures(0.9, 0.5, 0.5)["peak"] == pytest.approx(TYPICAL, abs=0.05)


def test_a_word_that_no_passage_holds_is_missing() -> None:
    assert figures(0.8, asked=(1, 9))["missing"] == 0.5
    assert figures(0.8, asked=())["missing"] == 0.0


def test_without_a_history_the_turn_stands_for_the_conversation() -> None:
    alone, within = figures(0.8, 0.3), figures(0.8, 0.3, recent=True)
    assert (alone["alone"], within["alone"]) == (1.0, 0.0)
    assert alone["recent_cosine"] == alone["cosine"]


@pytest.mark.parametrize(
    ("feature", "sign"),
    [(name, -1 if name == "missing" else 1) for name in DEFAULT.features],
)
def test_what_speaks_for_an_answer_never_lowers_the_packaged_score(feature: str, sign: int) -> None:
    some = figures(0.8, 0.3)
    more = some | {feature: some[feature] + 0.1}
    assert sign * (DEFAULT.probability(more) - DEFAULT.probability(some)) > 0


def test_a_term_that_no_passage_holds_takes_more_away_than_a_frequent_one() -> None:
    capital, mongolia = 1, 2
    (share, *_) = coverage({capital: 1.0, mongolia: 1.0}, [{capital}, {capital}, set()])
    assert share < 0.4


def test_a_passage_that_holds_every_term_is_covered_but_one_term_is_less_certain() -> None:
    assert coverage(dict.fromkeys((1, 2, 3, 4), 1.0), [{1, 2, 3, 4}])[0] > 0.9
    assert coverage({1: 1.0}, [{1}])[0] == pytest.approx(0.8)


def test_a_word_that_faded_takes_less_away() -> None:
    now, before = coverage({1: 1.0, 2: 1.0}, [{1}])[0], coverage({1: 1.0, 2: 0.2}, [{1}])[0]
    assert before > now


def test_without_terms_or_passages_nothing_is_covered() -> None:
    assert coverage({}, [{1}, {2}]) == [0.0, 0.0]
    assert coverage({1: 1.0}, []) == []
