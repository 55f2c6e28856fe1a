"""Bootstrap confidence intervals: 95 %, percentile method, fixed seed.

Whole conversations are drawn, because the turns of one conversation are not independent. A resampled figure is computed with
weights: how often each conversation was drawn. Efron, B. (1979), Bootstrap methods: another look at the jackknife.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SEED = 20
EDGES = (2.5, 97.5)
AT_ONCE = 1_000_000
"""Most weights in memory at a time, in float64: 8 MB."""

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Maps weights of shape (draws, turns) to a figure for each draw; NaN if the figure is undefined for a draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value with its 95 % interval, from ``n`` turns."""

    value: float
    low: float
    high: float
    n: int


def figure(statistic: Statistic, groups: Sequence[Hashable], draws: int = DRAWS) -> Figure | None:
    """The statistic over all turns with its interval; None if it is undefined. ``groups`` names each turn's conversation."""
    value = float(statistic(np.ones((1, len(groups))))[0])
    if np.isnan(value):
        return None
    drawn = np.concatenate([statistic(weights) for weights in _resamples(groups, draws)])
    # a draw may hold answerable turns only, of which no AUROC can be computed
    low, high = np.nanpercentile(drawn, EDGES)
    return Figure(value=value, low=float(low), high=float(high), n=len(groups))


def mean(values: Sequence[float]) -> Statistic:
    """The weighted mean."""
    column = np.asarray(values, dtype=np.float64)
    return lambda weights: ratio(weights @ column, weights.sum(axis=1))


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> Statistic:
    """Probability that a positive turn scores above a negative one, ties counting half (Mann and Whitney, 1947)."""
    # sorted once: each of the 2,000 draws then needs cumulative sums only
    order = np.argsort(scores, kind="stable")
    ranked, truth = np.asarray(scores, dtype=np.float64)[order], np.asarray(positive, dtype=np.float64)[order]
    first = np.searchsorted(ranked, ranked, side="left")
    after = np.searchsorted(ranked, ranked, side="right")

    def statistic(weights: Floats) -> Floats:
        drawn = weights[:, order]
        negative = drawn * (1 - truth)
        below = np.concatenate((np.zeros((len(drawn), 1)), np.cumsum(negative, axis=1)), axis=1)
        wins = (drawn * truth * (below[:, first] + below[:, after]) / 2).sum(axis=1)
        return ratio(wins, below[:, -1] * (drawn @ truth))

    return statistic


def difference(later: Statistic, earlier: Statistic) -> Statistic:
    """Later minus earlier figure of the same turns. Each draw weights both alike, so shared noise cancels."""
    return lambda weights: later(weights) - earlier(weights)


def ratio(part: Floats, whole: Floats) -> Floats:
    """``part / whole`` for each draw; NaN where ``whole`` is 0."""
    shares: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares


def _resamples(groups: Sequence[Hashable], draws: int) -> Iterator[Floats]:
    """Weights of all draws, in batches of shape (rows, turns)."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    membership = np.array([numbers[group] for group in groups])
    random = np.random.default_rng(SEED)
    rows = max(1, AT_ONCE // len(groups))
    for start in range(0, draws, rows):
        shape = (min(rows, draws - start), len(numbers))
        drawn = random.integers(len(numbers), size=shape) + np.arange(shape[0])[:, None] * len(numbers)
        yield np.bincount(drawn.ravel(), minlength=drawn.size).reshape(shape)[:, membership].astype(np.float64)
