"""Learning a calibration: evidence and whether the passages answered, through a regularised logistic regression."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.errors import EvaluationError
from rag.evaluation.bootstrap import Figure, auroc, figure, mean
from rag.evaluation.judging import Judged
from rag.retrieval.calibrated import Calibration, Provenance

Floats = NDArray[np.float64]

FOLDS = 5
LEAST = 30
"""Turns of either kind from which on weights are more than chance."""
RIDGE = 1.0
"""Penalty of a standardised weight's square, as in scikit-learn's ``C=1``."""
STEPS = 50
BINS = 10
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Turns whose predicted probabilities lie together: their mean, and the share that was really answered."""

    predicted: float
    observed: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good probabilities are; lower is better but for ``auroc``."""

    auroc: Figure | None
    brier: Figure | None
    log_loss: Figure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a threshold does: shares of the turns that can be answered, and of the others, that are answered."""

    threshold: float
    answered: float
    false_answers: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A calibration and how it did on conversations that it had not seen (cross-validated)."""

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


def learn(judged: Sequence[Judged], limit: int, provenance: Provenance, *, force: bool = False) -> Learned:
    """A calibration from what was found for each turn; ``limit`` passages are what has to answer it.

    Raises ``EvaluationError`` where there is too little to learn from; ``force`` asks for two turns of either kind only.
    """
    truth = np.array([one.answered_within(limit) for one in judged], dtype=bool)
    _check(truth, 2 if force else LEAST)
    names, features = _matrix([one.retrieval.evidence for one in judged])
    groups = [one.case.conversation for one in judged]
    held_out = _cross_validated(features, truth, groups)
    fit = _fit(features, truth)
    return Learned(
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
    """Turns for which nothing was found may have no evidence: they have nothing of everything."""
    names = tuple(dict.fromkeys(name for one in evidence for name in one))
    if not names:
        raise EvaluationError("nothing was found for any turn; `cotorra sync` brings the index up to date")
    return names, np.array([[one.get(name, 0.0) for name in names] for one in evidence], dtype=np.float64)


def _cross_validated(features: Floats, truth: NDArray[np.bool_], groups: Sequence[Hashable]) -> Floats:
    """For each turn the probability by a fit that saw no turn of its conversation."""
    distinct = list(dict.fromkeys(groups))
    shuffled = np.random.default_rng(SEED).permutation(len(distinct))
    fold_of = {group: int(place) % FOLDS for group, place in zip(distinct, shuffled, strict=True)}
    folds = np.array([fold_of[group] for group in groups])
    held_out = np.empty(len(truth))
    for fold in np.unique(folds):
        inside = folds == fold
        seen = ~inside if (~inside).any() else inside
        held_out[inside] = _fit(features[seen], truth[seen]).probabilities(features[inside])
    return held_out


def _fit(features: Floats, truth: NDArray[np.bool_]) -> _Fit:
    """Newton's method on the penalised likelihood (iteratively reweighted least squares)."""
    means, spread = features.mean(axis=0), features.std(axis=0)
    scales = np.where(spread > 1e-9, spread, 1.0)
    columns = np.column_stack([np.ones(len(truth)), (features - means) / scales])
    # All but free, the intercept still needs an end where a fold holds one kind of turn only.
    penalty = np.diag([1e-3, *[RIDGE] * features.shape[1]])
    weights = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        predicted = _logistic(columns @ weights)
        slope = columns.T @ (predicted - truth) + penalty @ weights
        curvature = (columns * (predicted * (1 - predicted))[:, None]).T @ columns + penalty
        step = np.linalg.solve(curvature, slope)
        weights -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return _Fit(means, scales, weights[1:], float(weights[0]))


def _logistic(odds: Floats) -> Floats:
    clipped: Floats = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    return clipped


def _quality(predicted: Floats, truth: NDArray[np.bool_], groups: Sequence[Hashable]) -> Quality:
    sure = np.clip(predicted, 1e-6, 1 - 1e-6)
    losses = -np.where(truth, np.log(sure), np.log(1 - sure))
    return Quality(
        auroc=figure(auroc(predicted.tolist(), truth.tolist()), groups),
        brier=figure(mean(((predicted - truth) ** 2).tolist()), groups),
        log_loss=figure(mean(losses.tolist()), groups),
    )


def _curve(predicted: Floats, truth: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Ten bins of equal width; empty ones are left out."""
    numbers = np.minimum((predicted * BINS).astype(int), BINS - 1)
    inside = [numbers == number for number in np.unique(numbers)]
    return tuple(
        Bin(predicted=float(predicted[each].mean()), observed=float(truth[each].mean()), n=int(each.sum()))
        for each in inside
    )


def _choice(threshold: float, predicted: Floats, truth: NDArray[np.bool_]) -> Choice:
    answered = predicted >= threshold
    return Choice(
        threshold=threshold, answered=float(answered[truth].mean()), false_answers=float(answered[~truth].mean())
    )
