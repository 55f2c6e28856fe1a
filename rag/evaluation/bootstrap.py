"""Intervals by the bootstrap: 95 %, percentile, fixed seed. Conversations are drawn, since their turns are no strangers.

Efron, B. (1979), Bootstrap methods: another look at the jackknife. A resampled figure is a figure with weights: how often
each conversation was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SEED = 20
EDGES = (2.5, 97.5)

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], float]
"""A figure of all turns, given the weight of each; NaN where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value with its 95 % interval, from ``n`` turns."""

    value: float
    low: float
    high: float
    n: int


def figure(statistic: Statistic, groups: Sequence[Hashable], draws: int = DRAWS) -> Figure | None:
    """The statistic of all turns with its interval; None where it cannot be told."""
    value = statistic(np.ones(len(groups)))
    if np.isnan(value):
        return None
    drawn = np.array([statistic(weights) for weights in _resamples(groups, draws)])
    low, high = np.nanpercentile(drawn, EDGES)
    return Figure(value=float(value), low=float(low), high=float(high), n=len(groups))


def mean(values: Sequence[float]) -> Statistic:
    """The weighted mean."""
    column = np.asarray(values, dtype=np.float64)

    def statistic(weights: Floats) -> float:
        total = weights.sum()
        return float(weights @ column / total) if total else float("nan")

    return statistic


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> Statistic:
    """The chance that a positive scores above a negative, ties counting half (Mann and Whitney)."""
    order = np.argsort(scores, kind="stable")
    ranked, truth = np.asarray(scores, dtype=np.float64)[order], np.asarray(positive, dtype=bool)[order]
    first = np.searchsorted(ranked, ranked, side="left")
    after = np.searchsorted(ranked, ranked, side="right")

    def statistic(weights: Floats) -> float:
        drawn = weights[order]
        below = np.concatenate(([0.0], np.cumsum(np.where(truth, 0.0, drawn))))
        wins = np.where(truth, drawn, 0.0) @ (below[first] + below[after]) / 2
        pairs = below[-1] * (drawn.sum() - below[-1])
        return float(wins / pairs) if pairs else float("nan")

    return statistic


def difference(later: Statistic, earlier: Statistic) -> Statistic:
    """Of two figures of the same turns: the same draw weighs both, so what is hard for both does not widen the interval."""
    return lambda weights: later(weights) - earlier(weights)


def _resamples(groups: Sequence[Hashable], draws: int) -> Iterator[Floats]:
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    membership = np.array([numbers[group] for group in groups])
    random = np.random.default_rng(SEED)
    for _ in range(draws):
        drawn = np.bincount(random.integers(len(numbers), size=len(numbers)), minlength=len(numbers))
        yield drawn[membership].astype(np.float64)
