"""A natural language inference model that judges support too, by name: any cross-encoder with entailment among its labels."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

WINDOW = 512
"""Tokens of passage and statement together that are read at most, as far as the model reads that many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entailment:
    """How likely a passage entails a statement, and how likely it contradicts it."""

    entailment: float
    contradiction: float


class Entailing(Protocol):
    """What judges whether one text follows from another."""

    async def judge(self, premise: str, statement: str) -> Entailment:
        """Of a statement, given a passage. Raises ``ModelError``."""


class CrossEncoderNli:
    """A cross-encoder of sentence-transformers, by folder or hub name, in a thread of its own.

    Making one reads the weights, which blocks. Raises ``ModelError``.
    """

    def __init__(self, name: str) -> None:
        self._model = _read(name)
        self._places = _places(name, self._model.config.id2label)
        self._thread = ThreadPoolExecutor(1, "nli")

    async def judge(self, premise: str, statement: str) -> Entailment:
        """Of a statement, given a passage; what is longer than the window is cut."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._computed, premise, statement)

    def _computed(self, premise: str, statement: str) -> Entailment:
        found = self._model.predict([(premise, statement)], show_progress_bar=False, apply_softmax=True)[0].tolist()
        entails, contradicts = self._places
        return Entailment(entailment=found[entails], contradiction=0.0 if contradicts is None else found[contradicts])


def _places(name: str, labels: Mapping[int, str]) -> tuple[int, int | None]:
    """Where entailment and contradiction stand: models differ in their order, and some only tell entailment or not."""
    named = {str(label).lower().replace("-", "_"): int(place) for place, label in labels.items()}
    if "entailment" not in named:
        told = ", ".join(map(str, labels.values()))
        raise ModelError(f"model.nli {name!r} names its labels {told}; name a model with one called entailment")
    return named["entailment"], named.get("contradiction")


def _read(name: str) -> CrossEncoder:
    """Weights from safetensors only, and no code that comes with a model."""
    setting = f"model.nli {name!r}"
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise ModelError(f"{setting} needs a package: pip install sentence-transformers") from error
    try:
        model = CrossEncoder(name, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{setting} is no folder with a cross-encoder in safetensors, and none can be fetched from the hub: {reason}"
        ) from error
    if model.num_labels < 2:
        raise ModelError(f"{setting} gives one figure a pair; name a model with a label called entailment")
    model.max_seq_length = min(WINDOW, model.max_seq_length or WINDOW)
    return model
