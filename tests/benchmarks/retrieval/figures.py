"""Measures of a ranking and of a score, each with what it was taken over."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

Numbers: TypeAlias = "Sequence[float] | np.ndarray[tuple[Any, ...], np.dtype[np.float64]]"
Json: TypeAlias = dict[str, "str | int | float | bool | list[float] | Json"]
RESAMPLES = 2000
SEED = 3


def ndcg(ranked: Sequence[str], relevant: frozenset[str], cutoff: int = 10) -> float:
    """BEIR's nDCG with relevance 0 or 1: the discounted gain of the first ``cutoff`` over the best that is possible."""
    gain = sum(1 / math.log2(rank + 2) for rank, one in enumerate(ranked[:cutoff]) if one in relevant)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(cutoff, len(relevant))))
    return gain / ideal if ideal else 0.0


def auroc(positive: Numbers, negative: Numbers) -> float:
    """How often a positive scores above a negative; a tie counts half."""
    order = np.sort(np.asarray(negative, dtype=float))
    scores = np.asarray(positive, dtype=float)
    below = np.searchsorted(order, scores, side="left")
    upto = np.searchsorted(order, scores, side="right")
    return float((below + upto).sum() / (2 * len(scores) * len(order)))


def mean(name: str, values: Sequence[float]) -> Json:
    """The mean under ``name``, its 95 % bootstrap interval, and over how many cases."""
    cases = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(SEED).integers(0, len(cases), (RESAMPLES, len(cases)))
    return {
        name: _round(float(cases.mean())),
        f"{name}_interval": _interval(cases[drawn].mean(axis=1)),
        "n": len(cases),
    }


def separation(name: str, positive: Sequence[float], negative: Sequence[float]) -> Json:
    """The AUROC under ``name`` with its 95 % bootstrap interval, both classes drawn anew."""
    one, other = np.asarray(positive, dtype=float), np.asarray(negative, dtype=float)
    random = np.random.default_rng(SEED)
    found = [auroc(random.choice(one, len(one)), random.choice(other, len(other))) for _ in range(RESAMPLES)]
    interval = _interval(np.asarray(found))
    return {name: _round(auroc(one, other)), f"{name}_interval": interval, "n": len(one) + len(other)}


def together(*parts: Json) -> Json:
    """Figures of the same cases as one object."""
    joined: Json = {}
    for part in parts:
        joined |= part
    return joined


def each(values: Sequence[Sequence[float]], names: Sequence[str]) -> Json:
    """One mean a name over rows of values, a row for each case."""
    return together(*(mean(name, [row[column] for row in values]) for column, name in enumerate(names)))


def median_by(key: Callable[[Json], float], runs: Sequence[Json]) -> Json:
    """The run in the middle by a key."""
    return sorted(runs, key=key)[len(runs) // 2]


def _interval(drawn: np.ndarray[tuple[Any, ...], np.dtype[np.float64]]) -> list[float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return [_round(float(low)), _round(float(high))]


def _round(value: float) -> float:
    return round(value, 4)
