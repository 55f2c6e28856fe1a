"""``python -m tests.benchmarks.model.grounding_learning``: learns how the evidence for a statement is weighed.

From Doc2Dial's training conversations: statements that restate their span, and the same with something planted; supported
and unsupported ones count the same, and so do the kinds of what was planted. The threshold is the one at which a fit that
saw nothing of a statement's document drops one supported statement in twenty. No turn of the dev part is read. Writes
``rag/grounding/support/weights.py``; some ten minutes on two cores, nearly all of it embedding.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier  # type: ignore[import-untyped]
from sklearn.model_selection import GroupKFold  # type: ignore[import-untyped]

from rag.grounding.support import weights as support_weights
from rag.grounding.support.features import is_refuted
from rag.grounding.support.judge import Support, claim_text
from rag.grounding.support.trees import Forest, Node, Tree
from rag.retrieval.embeddings.models import PackagedEmbeddings, TextEmbeddings
from rag.retrieval.sparse import SparseEncoder
from tests.benchmarks.model.grounding_cases import Case, planted, supported

DROPPED = 0.05
TREES, DEPTH, RATE, LEAF = 80, 3, 0.12, 20
SEED = 20

Floats = NDArray[np.float64]


async def table(cases: Sequence[Case], embeddings: TextEmbeddings) -> tuple[tuple[str, ...], Floats]:
    """The names of the figures, and a row of them for each statement."""
    sparse, supports, rows = SparseEncoder(), dict[tuple[str, ...], Support](), []
    for case in cases:
        cited = tuple(hit.passage.id for hit in case.hits[: case.cited])
        if cited not in supports:
            supports[cited] = Support(case.hits[: case.cited], "en", embeddings=embeddings, sparse=sparse)
        rows.append(await supports[cited].evidence(claim_text(case.statement), range(case.cited)))
    names = tuple(rows[0])
    return names, np.array([[row[name] for name in names] for row in rows])


def learn(names: tuple[str, ...], features: Floats, cases: Sequence[Case]) -> Forest:
    """Trees and the threshold."""
    truth = np.array([not case.kind for case in cases])
    weights = _weights(cases)
    held_out = np.zeros(len(cases))
    for seen, unseen in GroupKFold(5).split(features, truth, [case.document for case in cases]):
        fit = _fit(features[seen], truth[seen], weights[seen])
        held_out[unseen] = fit.predict_proba(features[unseen])[:, 1]
    held_out[[is_refuted(dict(zip(names, row, strict=True))) for row in features]] = 0
    threshold = float(np.quantile(held_out[truth], DROPPED))
    _tell(held_out, threshold, cases)
    return _forest(names, _fit(features, truth, weights), threshold)


def _weights(cases: Sequence[Case]) -> Floats:
    counts = Counter(case.kind for case in cases)
    kinds = len(counts) - 1
    return np.array([1.0 if not case.kind else counts[""] / counts[case.kind] / kinds for case in cases])


def _fit(features: Floats, truth: NDArray[np.bool_], weights: Floats) -> GradientBoostingClassifier:
    model = GradientBoostingClassifier(
        n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, min_samples_leaf=LEAF, subsample=0.7, random_state=SEED
    )
    return model.fit(features, truth, sample_weight=weights)


def _forest(names: tuple[str, ...], model: GradientBoostingClassifier, threshold: float) -> Forest:
    trees = tuple(_tree(one.tree_) for one in model.estimators_[:, 0])
    prior = model.init_.class_prior_[1]
    start = float(np.log(prior / (1 - prior)))
    return Forest(features=names, start=round(start, 4), trees=trees, threshold=round(threshold, 3))


def _tree(learned: object) -> Tree:
    def node(place: int) -> Node:
        low, high = int(learned.children_left[place]), int(learned.children_right[place])  # type: ignore[attr-defined]
        if low < 0:
            return round(RATE * float(learned.value[place, 0, 0]), 4)  # type: ignore[attr-defined]
        return (int(learned.feature[place]), round(float(learned.threshold[place]), 4), low, high)  # type: ignore[attr-defined]

    return tuple(node(place) for place in range(learned.node_count))  # type: ignore[attr-defined]


def _tell(held_out: Floats, threshold: float, cases: Sequence[Case]) -> None:
    for kind in sorted({case.kind for case in cases}):
        inside = np.array([case.kind == kind for case in cases])
        print(
            f"{kind or 'supported':12} {inside.sum():5} below {threshold:.3f}: {(held_out[inside] < threshold).mean():.3f}"
        )


def module(forest: Forest) -> str:
    """The source of the module that keeps it."""
    head = (support_weights.__doc__ or "").strip()
    trees = "".join(f"        {tree!r},\n" for tree in forest.trees)
    return (
        f'"""{head}\n"""\n\n# ruff: noqa: E501 - trees\nfrom __future__ import annotations\n\n'
        "from rag.grounding.support.trees import Forest\n\n"
        f"DEFAULT = Forest(\n    features={forest.features!r},\n    start={forest.start},\n    trees=(\n{trees}    ),\n"
        f"    threshold={forest.threshold},\n)  # fmt: skip\n"
    )


async def main(folder: Path, embeddings: TextEmbeddings) -> None:
    """Learns and writes."""
    right = [case for case in supported(folder, "train", embeddings) if case.restates]
    cases = [*right, *planted(right)]
    names, features = await table(cases, embeddings)
    Path(support_weights.__file__).write_text(module(learn(names, features, cases)), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    asyncio.run(main(parser.parse_args().data, PackagedEmbeddings()))
