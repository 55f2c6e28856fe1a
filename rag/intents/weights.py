"""The learnt weights of intents for one embedding model: their file, and the decision."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from rag.errors import ConfigurationError
from rag.intents.features import FORMS, PIECES, Vector
from rag.intents.intent import GROUPS, INTENTS, NONE, Group, Intent
from rag.retrieval.embeddings.threaded import model_of

FOLDER = Path(__file__).with_name("learned")
ONE_WORD = 0.8
"""The least threshold for a single word: any word may be a topic. The examples' own words are recognised by themselves."""
LABELS: tuple[Intent | None, ...] = (None, *INTENTS)
_NAMES = tuple(label or NONE for label in LABELS)

Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@validated(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Provenance:
    """What the weights were learnt from. ``sha256`` is that of the file of examples, ``date`` ISO 8601."""

    sha256: str
    examples: int
    date: str
    embedding: str


@validated(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class IntentWeights:
    """A logistic regression over the features, with the least probability at which each group of intents is believed.

    ``weights``: base64 of one signed byte for each label and feature, labels outermost; ``scales``: by label, the value of 1.
    """

    labels: tuple[str, ...]
    dimension: int
    thresholds: dict[Group, Share]
    scales: tuple[Positive, ...]
    weights: str
    provenance: Provenance

    def __post_init__(self) -> None:
        width = self.dimension + PIECES + FORMS
        if self.labels != _NAMES or len(self.scales) != len(_NAMES) or set(self.thresholds) != set(GROUPS.values()):
            raise ValueError("labels, scales and thresholds must be those of this version's intents")
        if len(base64.b64decode(self.weights)) != len(_NAMES) * width:
            raise ValueError(f"there must be {width} weights for each label")

    @classmethod
    def packed(
        cls, weights: NDArray[np.float32], dimension: int, thresholds: dict[Group, float], provenance: Provenance
    ) -> Self:
        """From weights by label and feature, which are rounded to one byte each."""
        scales = np.abs(weights).max(axis=1) / 127
        rounded = np.round(weights / scales[:, None]).astype(np.int8)
        return cls(
            labels=_NAMES,
            dimension=dimension,
            thresholds=thresholds,
            scales=tuple(float(scale) for scale in scales),
            weights=base64.b64encode(rounded.tobytes()).decode(),
            provenance=provenance,
        )

    def matrix(self) -> NDArray[np.float32]:
        """The weights by label and feature."""
        rounded = np.frombuffer(base64.b64decode(self.weights), dtype=np.int8).reshape(len(_NAMES), -1)
        return rounded * np.asarray(self.scales, dtype=np.float32)[:, None]

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> IntentWeights:
        """The weights in ``text``. Raises ``ConfigurationError`` for another format."""
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            raise ConfigurationError(f"the weights of intents cannot be used: {error.errors()[0]['msg']}") from error


_ADAPTER: TypeAdapter[IntentWeights] = TypeAdapter(IntentWeights)


def probabilities(matrix: NDArray[np.float32], features: Vector | NDArray[np.float32]) -> NDArray[np.float32]:
    """The softmax over labels, of one message or of a row each."""
    odds = features @ matrix.T
    shares = np.exp(odds - odds.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True), dtype=np.float32)


def decide(text: str, shares: NDArray[np.float32], thresholds: dict[Group, float]) -> Intent | None:
    """The most probable intent of the most probable group, or None if that is below the group's threshold.

    Shares of a group are added up first: whether somebody asks who the bot is or what it can do matters less than that the
    question is about the bot.
    """
    sums: dict[Group, float] = {}
    for label, share in zip(LABELS, shares, strict=True):
        if label is not None:
            sums[GROUPS[label]] = sums.get(GROUPS[label], 0.0) + float(share)
    best = max(sums, key=lambda group: sums[group])
    if sums[best] < max(thresholds[best], ONE_WORD if len(text.split()) <= 1 else 0.0):
        return None
    members = [
        (float(share), label) for label, share in zip(LABELS, shares, strict=True) if label and GROUPS[label] == best
    ]
    return max(members)[1]


def file_of(query_name: str) -> Path:
    """The file of an embedding model's weights; an adapter on questions changes too little to need its own."""
    return FOLDER / f"{model_of(query_name).replace('/', '--')}.json"


def read_weights(query_name: str) -> IntentWeights | None:
    """The weights that come with the package for an embedding model, or None. Raises ``ConfigurationError``."""
    file = file_of(query_name)
    return IntentWeights.from_json(file.read_bytes()) if file.is_file() else None
