"""Learns a calibration: regularised logistic regression from retrieval evidence to whether the passages answer the turn."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.errors import EvaluationError
from rag.evaluation.bootstrap import Figure, auroc, figure, mean
from rag.evaluation.judging import JudgedTurn
from rag.retrieval.calibrated import Calibration, Provenance

Floats = NDArray[np.float64]

FOLDS = 5
FEWEST_TURNS = 30
"""Fewest turns of each kind (answered by their passages or not) to learn from."""
RIDGE = 1.0
"""Penalty on the squares of standardised weights; equals ``C=1`` in scikit-learn."""
STEPS = 50
BINS = 10
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Turns with similar predicted probabilities: the mean prediction, and the share whose passages do answer."""

    predicted: float
    observed: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Quality of predicted probabilities. Higher is better for ``auroc``, lower for the others."""

    auroc: Figure | None
    brier: Figure | None
    log_loss: Figure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The effect of a threshold: the shares of answerable and of other turns that would be answered."""

    threshold: float
    answered: float
    false_answers: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedCalibration:
    """A calibration and its quality on held-out conversations (cross-validated)."""

    calibration: Calibration
    before: Quality
    after: Quality
    curve: tuple[Bin, ...]
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class _Fit:
    means: Floats
    scales: Floats
    weights: Floats
    intercept: float

    def probabilities(self, features: Floats) -> Floats:
        return _logistic(self.intercept + (features - self.means) / self.scales @ self.weights)


def learn(
    judged: Sequence[JudgedTurn], limit: int, provenance: Provenance, *, force: bool = False
) -> LearnedCalibration:
    """Learns a calibration. A turn counts as answered if one of its first ``limit`` passages answers it.

    Raises ``EvaluationError`` if there are too few turns; with ``force``, two of each kind are enough.
    """
    truth = np.array([one.answered_within(limit) for one in judged], dtype=bool)
    _check(truth, 2 if force else FEWEST_TURNS)
    names, features = _matrix([one.retrieval.evidence for one in judged])
    groups = [one.case.conversation for one in judged]
    held_out = _cross_validated(features, truth, groups)
    fit = _fit(features, truth)
    return LearnedCalibration(
        calibration=Calibration(
            features=names,
            weights=tuple(fit.weights.tolist()),
            means=tuple(fit.means.tolist()),
            scales=tuple(fit.scales.tolist()),
            intercept=fit.intercept,
            provenance=provenance,
        ),
        before=_quality(np.array([one.retrieval.score for one in judged]), truth, groups),
        after=_quality(held_out, truth, groups),
        curve=_curve(held_out, truth),
        choices=tuple(_choice(threshold, held_out, truth) for threshold in THRESHOLDS),
    )


def _check(truth: NDArray[np.bool_], least: int) -> None:
    answered, others = int(truth.sum()), int((~truth).sum())
    if min(answered, others) < least:
        raise EvaluationError(
            f"too little to calibrate on: {answered} turns whose passages answer and {others} others, where {least} of "
            "each are the least; add questions (unanswerable ones too), or insist with --force"
        )


def _matrix(evidence: Sequence[Mapping[str, float]]) -> tuple[tuple[str, ...], Floats]:
    """Names of the features and one row of values for each turn; 0 for evidence that a turn without hits lacks."""
    names = tuple(dict.fromkeys(name for one in evidence for name in one))
    if not names:
        raise EvaluationError("nothing was found for any turn; `cotorra sync` brings the index up to date")
    return names, np.array([[one.get(name, 0.0) for name in names] for one in evidence], dtype=np.float64)


def _cross_validated(features: Floats, truth: NDArray[np.bool_], groups: Sequence[Hashable]) -> Floats:
    """For each turn the probability from a fit without any turn of its conversation."""
    distinct = list(dict.fromkeys(groups))
    shuffled = np.random.default_rng(SEED).permutation(len(distinct))
    fold_of = {group: int(place) % FOLDS for group, place in zip(distinct, shuffled, strict=True)}
    folds = np.array([fold_of[group] for group in groups])
    held_out = np.empty(len(truth))
    for fold in np.unique(folds):
        members = folds == fold
        # a single conversation leaves nothing else to train on
        training = ~members if (~members).any() else members
        held_out[members] = _fit(features[training], truth[training]).probabilities(features[members])
    return held_out


def _fit(features: Floats, truth: NDArray[np.bool_]) -> _Fit:
    """Newton's method on the penalised likelihood (iteratively reweighted least squares)."""
    means, spread = features.mean(axis=0), features.std(axis=0)
    # a constant feature tells nothing, and must not divide by zero
    scales = np.where(spread > 1e-9, spread, 1.0)
    columns = np.column_stack([np.ones(len(truth)), (features - means) / scales])
    # Almost no penalty on the intercept; without any it would grow without end if a fold holds one kind of turn only.
    penalty = np.diag([1e-3, *[RIDGE] * features.shape[1]])
    weights = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        predicted = _logistic(columns @ weights)
        slope = columns.T @ (predicted - truth) + penalty @ weights
        curvature = (columns * (predicted * (1 - predicted))[:, None]).T @ columns + penalty
        step = np.linalg.solve(curvature, slope)
        # a full Newton step may overshoot far from the optimum and then diverge: none changes a weight by more than 5
        weights -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return _Fit(means, scales, weights[1:], float(weights[0]))


def _logistic(odds: Floats) -> Floats:
    # np.exp overflows beyond 709
    clipped: Floats = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    return clipped


def _quality(predicted: Floats, truth: NDArray[np.bool_], groups: Sequence[Hashable]) -> Quality:
    # a probability of exactly 0 or 1 would make one wrong turn an infinite loss
    clipped = np.clip(predicted, 1e-6, 1 - 1e-6)
    losses = -np.where(truth, np.log(clipped), np.log(1 - clipped))
    return Quality(
        auroc=figure(auroc(predicted.tolist(), truth.tolist()), groups),
        brier=figure(mean(((predicted - truth) ** 2).tolist()), groups),
        log_loss=figure(mean(losses.tolist()), groups),
    )


def _curve(predicted: Floats, truth: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Calibration curve: bins of equal width, without the empty ones."""
    numbers = np.minimum((predicted * BINS).astype(int), BINS - 1)
    members = [numbers == number for number in np.unique(numbers)]
    return tuple(
        Bin(predicted=float(predicted[each].mean()), observed=float(truth[each].mean()), n=int(each.sum()))
        for each in members
    )


def _choice(threshold: float, predicted: Floats, truth: NDArray[np.bool_]) -> Choice:
    answered = predicted >= threshold
    return Choice(
        threshold=threshold, answered=float(answered[truth].mean()), false_answers=float(answered[~truth].mean())
    )
