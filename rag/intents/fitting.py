"""Fits the logistic regression of intents to examples and their embeddings; blocking."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from rag.intents.examples import FILE, Example, normalized
from rag.intents.features import features
from rag.intents.intent import GROUPS, Group
from rag.intents.weights import LABELS, IntentWeights, Provenance

REGULARISATION = 1e-3
"""The weight of the squared weights in the loss; between .0003 and .003 held-out folds differ by .01."""
STEPS = 200
GENERAL = 0.5
"""The threshold of every group for an embedding model for which none was chosen on held-out examples."""


def forms(examples: Sequence[Example]) -> list[tuple[int, str]]:
    """Each example as it is written and without capitals, accents and punctuation, with its place in the sequence."""
    return [
        (place, text)
        for place, example in enumerate(examples)
        for text in dict.fromkeys((example.text, normalized(example.text)))
    ]


def table(written: Sequence[tuple[int, str]], vectors: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """The features of each form, a row each."""
    return np.stack([features(text, vector) for (_, text), vector in zip(written, vectors, strict=True)])


def fit(rows: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights by label and feature. The result does not depend on chance."""
    import torch

    inputs, wanted = torch.from_numpy(rows), torch.from_numpy(labels)
    weights = torch.zeros((len(LABELS), rows.shape[1]), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-5)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        fault = torch.nn.functional.cross_entropy(inputs @ weights.T, wanted)
        whole: torch.Tensor = fault + REGULARISATION / 2 * (weights**2).sum()
        whole.backward()  # type: ignore[no-untyped-call]
        return whole

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return np.asarray(weights.detach().numpy(), dtype=np.float32)


def label_numbers(examples: Sequence[Example], written: Sequence[tuple[int, str]]) -> NDArray[np.int64]:
    """The number of each form's label."""
    return np.array([LABELS.index(examples[place].intent) for place, _ in written], dtype=np.int64)


def learned(
    examples: Sequence[Example],
    vectors: Sequence[Sequence[float]],
    name: str,
    thresholds: dict[Group, float] | None = None,
) -> IntentWeights:
    """The weights for the embedding model ``name``; ``vectors`` are those of the examples' :func:`forms`."""
    written = forms(examples)
    matrix = fit(table(written, vectors), label_numbers(examples, written))
    provenance = Provenance(
        sha256=hashlib.sha256(FILE.read_bytes()).hexdigest(),
        examples=len(examples),
        date=datetime.now(UTC).date().isoformat(),
        embedding=name,
    )
    general: dict[Group, float] = dict.fromkeys(GROUPS.values(), GENERAL)
    return IntentWeights.packed(matrix, len(vectors[0]), thresholds or general, provenance)
