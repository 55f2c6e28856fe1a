"""Small decision trees whose leaves add up to log odds: what weighs the evidence for a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.retrieval.calibrated import logistic

Node = tuple[int, float, int, int] | float
"""A leaf's log odds; or the place of a feature, a threshold, and where the tree goes on for what is at most that, or more."""
Tree = Sequence[Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Trees over named features. A statement counts as supported from ``threshold`` on."""

    features: tuple[str, ...]
    start: float
    trees: tuple[Tree, ...]
    threshold: float

    def probability(self, evidence: Mapping[str, float]) -> float:
        """In (0, 1). KeyError where ``evidence`` lacks a feature."""
        values = [evidence[name] for name in self.features]
        return logistic(self.start + sum(_leaf(tree, values) for tree in self.trees))


def _leaf(tree: Tree, values: Sequence[float]) -> float:
    node = tree[0]
    while not isinstance(node, float):
        feature, threshold, low, high = node
        node = tree[low if values[feature] <= threshold else high]
    return node
