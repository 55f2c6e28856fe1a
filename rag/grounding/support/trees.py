"""Gradient-boosted decision trees, evaluated in plain Python: the leaves of all trees add up to log odds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.retrieval.calibrated import logistic

Node = tuple[int, float, int, int] | float
"""A leaf (log odds), or a branch: feature index, threshold, index of the next node if value <= threshold, and if it is larger."""
Tree = Sequence[Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Trees over named features. A statement counts as supported if its probability is at least ``threshold``."""

    features: tuple[str, ...]
    start: float
    trees: tuple[Tree, ...]
    threshold: float

    def probability(self, evidence: Mapping[str, float]) -> float:
        """Probability in (0, 1) that the statement is supported. Raises ``KeyError`` if ``evidence`` lacks a feature."""
        values = [evidence[name] for name in self.features]
        return logistic(self.start + sum(_leaf(tree, values) for tree in self.trees))


def _leaf(tree: Tree, values: Sequence[float]) -> float:
    node = tree[0]
    while not isinstance(node, float):
        feature, threshold, low, high = node
        node = tree[low if values[feature] <= threshold else high]
    return node
