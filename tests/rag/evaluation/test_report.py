"""The figures of a run, against figures by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from rag.evaluation.bootstrap import auroc, difference, figure, mean
from rag.evaluation.cases import Expected
from rag.evaluation.judging import judge
from rag.evaluation.report import Rules, compare, report
from tests.rag.judged import case, retrieval, turn

RULES = Rules(depth=10, limit=6, threshold=0.5)
PAGES = ("A", "B", "C", "D", "E", "F", "G")


def test_recall_reciprocal_rank_and_gain_are_what_they_are_by_hand() -> None:
    run = [turn(*PAGES, wanted=wanted, conversation=wanted) for wanted in ("A", "B", "F", "nowhere")]
    figures = report(run, RULES, worst=0).retrieval
    assert {name: round(one.value, 4) for name, one in figures.items()} == {
        "recall@1": 0.25,
        "recall@5": 0.5,
        "recall@10": 0.75,
        "mrr": round((1 + 1 / 2 + 1 / 6) / 4, 4),
        "ndcg@10": round((1 + 1 / math.log2(3) + 1 / math.log2(7)) / 4, 4),
    }


def test_several_places_count_once_each_for_gain_and_any_of_them_for_recall() -> None:
    places = [Expected(document="B.md"), Expected(document="nowhere.md"), Expected(document="B.md", passage="p1")]
    [run] = [judge([case(expected=places)], [retrieval("A", "B", "B")])]
    figures = report(run, RULES, worst=0).retrieval
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert figures["ndcg@10"].value == pytest.approx(2 / math.log2(3) / best)
    assert (figures["recall@1"].value, figures["recall@5"].value) == (0, 1)


@pytest.mark.parametrize(
    ("depth", "names"), [(3, {"recall@1", "recall@3", "mrr", "ndcg@3"}), (20, {"recall@20", "ndcg@10"})]
)
def test_depth_decides_which_figures_there_are(depth: int, names: set[str]) -> None:
    figures = report([turn("A", wanted="A")], Rules(depth=depth, limit=6, threshold=0.5), worst=0).retrieval
    assert names <= set(figures)
    assert not {f"recall@{deeper}" for deeper in range(depth + 1, 21)} & set(figures)


def test_figures_are_told_by_language_and_by_source() -> None:
    run = [
        turn("A", wanted="A", language="en"),
        turn("A", wanted="B", language="es"),
        turn("A", wanted="A", language="es"),
        turn("A", language="es"),
    ]
    told = report(run, RULES, worst=0)
    assert {name: (part["recall@1"].value, part["mrr"].n) for name, part in told.by_language.items()} == {
        "en": (1, 1),
        "es": (0.5, 2),
    }
    assert {name: part["mrr"].n for name, part in told.by_source.items()} == {"kb": 2, "unknown": 1}
    assert (told.turns, told.answerable) == (4, 3)


def test_abstention_is_told_at_the_threshold_of_the_moment() -> None:
    run = [
        turn("A", wanted="A", score=0.9),  # answered rightly
        turn("A", wanted="A", score=0.2),  # kept back for nothing
        turn("A", wanted="B", score=0.6),  # answered from the wrong passage
        turn("A", score=0.7),  # answered although nothing answers
        turn("A", score=0.1),
    ]
    figures = report(run, RULES, worst=0).abstention
    assert {name: round(one.value, 4) for name, one in figures.items()} == {
        "auroc": round(4 / 6, 4),
        "auroc_found": round(4 / 6, 4),
        "answered": round(2 / 3, 4),
        "false_answers": 0.5,
        "precision": round(1 / 3, 4),
    }


def test_a_set_without_unanswerable_questions_tells_nothing_about_them() -> None:
    figures = report([turn("A", wanted="A"), turn("A", wanted="B", score=0.6)], RULES, worst=0).abstention
    assert set(figures) == {"auroc_found", "answered", "precision"}


def test_a_set_of_nothing_but_unanswerable_questions_is_told_without_recall() -> None:
    told = report([turn("A"), turn()], RULES, worst=0)
    assert (told.retrieval, told.by_language, told.by_source) == ({}, {}, {})
    assert {name: one.value for name, one in told.abstention.items()} == {"false_answers": 1, "precision": 0}


def test_the_worst_cases_are_the_surest_errors() -> None:
    run = [
        turn("A", wanted="A", line=1),
        turn("A", "B", wanted="B", line=2),
        turn("A", wanted="B", line=3, score=0.2),
        turn("A", wanted="B", line=4, score=0.8),
        turn("A", line=5, score=0.7),
        turn("A", line=6, score=0.3),
    ]
    worst = report(run, RULES, worst=10).worst
    assert [one.line for one in worst] == [4, 5, 3, 2]
    assert (worst[0].expected, worst[0].found) == (("document B.md",), ("https://help.example.com/A",))
    assert [one.rank for one in worst] == [None, None, None, 2]
    assert [one.line for one in report(run, RULES, worst=1).worst] == [4]


def test_the_roc_area_is_the_share_of_pairs_in_the_right_order_with_ties_and_weights() -> None:
    chance = random.Random(3)
    scores = [chance.randrange(8) / 8 for _ in range(60)]
    truth = [chance.random() < 0.3 + score / 3 for score in scores]
    weights = [float(chance.randrange(4)) for _ in scores]
    turns = list(zip(scores, truth, weights, strict=True))
    pairs = [(yes, no, a * b) for yes, right, a in turns if right for no, wrong, b in turns if not wrong]
    won = sum(weight * (1.0 if yes > no else 0.5 if yes == no else 0.0) for yes, no, weight in pairs)
    assert auroc(scores, truth)(np.array([weights]))[0] == pytest.approx(won / sum(weight for _, _, weight in pairs))


def test_an_interval_holds_what_the_normal_law_says_for_many_independent_turns() -> None:
    values = [float(number % 4 == 0) for number in range(1000)]
    found = figure(mean(values), range(1000))
    assert found is not None
    spread = 1.96 * math.sqrt(0.25 * 0.75 / 1000)
    assert (found.value, found.n) == (0.25, 1000)
    assert found.low == pytest.approx(0.25 - spread, abs=0.004)
    assert found.high == pytest.approx(0.25 + spread, abs=0.004)
    assert figure(mean(values), range(1000)) == found, "the seed is fixed"


def test_turns_of_one_conversation_are_drawn_together() -> None:
    values = [float(number // 10 % 2) for number in range(200)]
    alone = figure(mean(values), range(200))
    together = figure(mean(values), [number // 10 for number in range(200)])
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_a_paired_difference_is_surer_than_two_figures() -> None:
    earlier = [float(number % 2) for number in range(200)]
    later = [1.0 if number % 20 == 0 else value for number, value in enumerate(earlier)]
    found = figure(difference(mean(later), mean(earlier)), range(200))
    assert found is not None
    assert found.value == pytest.approx(0.05)
    assert 0 < found.low < 0.05 < found.high < 0.1


def test_two_settings_are_compared_turn_by_turn() -> None:
    before = [turn("A", "B", wanted="B", score=0.4, conversation=str(number)) for number in range(20)] + [turn("A")]
    after = [turn("B", "A", wanted="B", score=0.4, conversation=str(number)) for number in range(20)] + [turn("A")]
    lower = Rules(depth=10, limit=6, threshold=0.3)
    told = compare(before, after, (RULES, lower), {"retrieval.threshold": "0.3"}, worst=0)
    assert (told.difference["recall@1"].value, told.difference["recall@1"].low) == (1, 1)
    assert told.difference["recall@5"].value == 0
    assert told.difference["answered"].value == 1
    assert told.changed.retrieval["recall@1"].value == 1
    assert told.changes == {"retrieval.threshold": "0.3"}
