"""Learning a calibration: the likeliest weights, judged on conversations held out, and refusing what is too little."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from rag.errors import EvaluationError
from rag.evaluation.judging import JudgedTurn
from rag.evaluation.learning import learn
from rag.retrieval.calibrated import Provenance
from tests.rag.judged import turn

PROVENANCE = Provenance(
    file="set.jsonl",
    sha256="0" * 64,
    cases=400,
    positives=200,
    date="2026-01-02",
    embedding="packaged",
    version="0.1.0",
)


def turns(count: int = 400, *, slope: float = 3.0) -> list[JudgedTurn]:
    """Turns that a page answers with odds of ``slope`` times their cosine; ``noise`` says nothing."""
    chance = random.Random(5)
    made = []
    for number in range(count):
        evidence = {"cosine": chance.gauss(0, 1), "noise": chance.gauss(7, 2), "constant": 4.0}
        answers = chance.random() < 1 / (1 + math.exp(-slope * evidence["cosine"]))
        score = chance.random()
        made.append(
            turn("A", wanted="A" if answers else "B", score=score, evidence=evidence, conversation=str(number // 2))
        )
    return made


def test_the_weights_are_where_the_penalised_likelihood_is_flat() -> None:
    judged = turns()
    truth = np.array([one.rank is not None for one in judged])
    made = learn(judged, 6, PROVENANCE).calibration
    evidence = np.array([list(one.retrieval.evidence.values()) for one in judged])
    standardised = (evidence - np.array(made.means)) / np.array(made.scales)
    predicted = np.array([made.probability(one.retrieval.evidence) for one in judged])
    assert made.features == ("cosine", "noise", "constant")
    assert standardised.T @ (predicted - truth) + np.array(made.weights) == pytest.approx(np.zeros(3), abs=1e-6)
    assert (predicted - truth).sum() == pytest.approx(0, abs=1e-2)
    assert made.weights[2] == pytest.approx(0, abs=1e-9), "what never varies tells nothing"


def test_probabilities_come_true_on_conversations_that_were_not_seen() -> None:
    made = learn(turns(2000), 6, PROVENANCE)
    assert sum(each.n for each in made.curve) == 2000
    assert all(abs(each.predicted - each.observed) < 0.12 for each in made.curve if each.n > 50)
    assert made.after.auroc is not None
    assert made.before.auroc is not None
    assert made.after.brier is not None
    assert made.before.brier is not None
    assert made.before.auroc.high < 0.6
    assert made.after.auroc.low > 0.85
    assert made.after.brier.high < made.before.brier.low


def test_evidence_that_says_nothing_gains_nothing() -> None:
    made = learn(turns(1000, slope=0.0), 6, PROVENANCE)
    assert made.after.auroc is not None
    assert made.after.auroc.value == pytest.approx(0.5, abs=0.06)


def test_a_higher_threshold_answers_less_and_errs_less() -> None:
    choices = learn(turns(), 6, PROVENANCE).choices
    assert [one.answered for one in choices] == sorted((one.answered for one in choices), reverse=True)
    assert [one.false_answers for one in choices] == sorted((one.false_answers for one in choices), reverse=True)
    assert choices[0].answered > 0.95
    assert choices[-1].false_answers < 0.05


def test_the_calibration_gives_the_probability_that_was_learned() -> None:
    made = learn(turns(), 6, PROVENANCE).calibration
    high = made.probability({"cosine": 2.0, "noise": 7.0, "constant": 4.0})
    low = made.probability({"cosine": -2.0, "noise": 7.0, "constant": 4.0})
    assert high > 0.97
    assert low < 0.03


def test_turns_without_evidence_have_nothing_of_everything() -> None:
    judged = [*turns(), *(turn(evidence={}, conversation=f"e{number}") for number in range(50))]
    assert set(learn(judged, 6, PROVENANCE).calibration.features) == {"cosine", "noise", "constant"}
    with pytest.raises(EvaluationError, match="nothing was found"):
        learn([turn("A", wanted=wanted) for wanted in ("A", "B")] * 30, 6, PROVENANCE)


def test_too_few_turns_are_refused_unless_one_insists() -> None:
    few = turns(40)
    with pytest.raises(EvaluationError, match=r"too little .* 30 of each .* --force"):
        learn(few, 6, PROVENANCE)
    assert learn(few, 6, PROVENANCE, force=True).calibration.features
    with pytest.raises(EvaluationError, match="2 of each"):
        learn(few[:1], 6, PROVENANCE, force=True)


def test_features_that_part_the_turns_completely_still_have_finite_weights() -> None:
    judged = [
        turn("A", wanted="AB"[number % 2], evidence={"cosine": float(number % 2)}, conversation=str(number))
        for number in range(80)
    ]
    made = learn(judged, 6, PROVENANCE)
    assert all(map(math.isfinite, made.calibration.weights))
    assert made.after.auroc is not None
    assert made.after.auroc.value == 1


def test_one_conversation_alone_can_be_learned_from() -> None:
    judged = [turn("A", wanted="AB"[number % 2], evidence={"cosine": number % 3}) for number in range(80)]
    assert learn(judged, 6, PROVENANCE).calibration.features == ("cosine",)
