"""What moves a score, and which way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.retrieval.calibration import Evidence, calibrate, coverage

SOME = Evidence(cosine=0.4, covered=0.5, fused=0.5, same_language=False)


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize(
    "better",
    [{"cosine": 0.5}, {"covered": 0.6}, {"fused": 0.6}, {"same_language": True}],
    ids=lambda each: next(iter(each)),
)
def test_more_evidence_is_a_higher_score(language: str, better: dict[str, float]) -> None:
    assert calibrate(replace(SOME, **better), language) > calibrate(SOME, language)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["en", "es"])
def test_scores_run_from_near_zero_to_near_one(language: str) -> None:
    none = Evidence(cosine=-1, covered=0, fused=0, same_language=False)
    all_ = Evidence(cosine=1, covered=1, fused=1, same_language=True)
    assert calibrate(none, language) < 0.05
    assert calibrate(all_, language) > 0.95


def test_outside_english_words_weigh_more_than_the_english_models_cosine() -> None:
    near, worded = replace(SOME, cosine=0.7, covered=0.1), replace(SOME, cosine=0.4, covered=0.8)
    assert calibrate(near, "en") > calibrate(worded, "en")
    assert calibrate(near, "es") < calibrate(worded, "es")


def test_a_term_that_no_passage_holds_takes_more_away_than_a_frequent_one() -> None:
    capital, mongolia = 1, 2
    (share, *_) = coverage({capital, mongolia}, [{capital}, {capital}, set()])
    assert share < 0.4


def test_a_passage_that_holds_every_term_is_covered_but_one_term_is_less_certain() -> None:
    assert coverage({1, 2, 3, 4}, [{1, 2, 3, 4}])[0] > 0.9
    assert coverage({1}, [{1}])[0] == pytest.approx(0.8)


def test_without_terms_or_passages_nothing_is_covered() -> None:
    assert coverage(set(), [{1}, {2}]) == [0.0, 0.0]
    assert coverage({1}, []) == []
