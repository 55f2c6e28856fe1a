"""Optional natural language inference (NLI) model: any cross-encoder with a label called entailment."""

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
"""Most tokens of passage and statement together; fewer if the model's own limit is lower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entailment:
    """Probabilities that a passage entails a statement and that it contradicts it."""

    entailment: float
    contradiction: float


class Entailing(Protocol):
    """Seam: judges whether one text follows from another."""

    async def judge(self, premise: str, statement: str) -> Entailment:
        """Probabilities for ``statement``, given ``premise`` (a passage). Raises ``ModelError``."""


class CrossEncoderNli:
    """A cross-encoder of sentence-transformers, by folder or hub name. It computes in a thread of its own.

    The constructor loads the weights and blocks. Raises ``ModelError``.
    """

    def __init__(self, name: str) -> None:
        self._model = _load(name)
        self._label_indices = _label_indices(name, self._model.config.id2label)
        self._thread = ThreadPoolExecutor(1, "nli")

    async def judge(self, premise: str, statement: str) -> Entailment:
        """Probabilities for ``statement``, given ``premise``; text beyond ``WINDOW`` tokens is cut."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._predict, premise, statement)

    def _predict(self, premise: str, statement: str) -> Entailment:
        scores = self._model.predict([(premise, statement)], show_progress_bar=False, apply_softmax=True)[0].tolist()
        entails, contradicts = self._label_indices
        return Entailment(entailment=scores[entails], contradiction=0.0 if contradicts is None else scores[contradicts])


def _label_indices(name: str, labels: Mapping[int, str]) -> tuple[int, int | None]:
    """Indices of the labels entailment and contradiction; None for contradiction if the model has no such label."""
    # By name and not by position: models order their labels differently, and some only know "entailment" or "not entailment".
    named = {str(label).lower().replace("-", "_"): int(place) for place, label in labels.items()}
    if "entailment" not in named:
        label_names = ", ".join(map(str, labels.values()))
        raise ModelError(f"model.nli {name!r} names its labels {label_names}; name a model with one called entailment")
    return named["entailment"], named.get("contradiction")


def _load(name: str) -> CrossEncoder:
    """Loads the model. Raises ``ModelError`` that names the setting."""
    setting = f"model.nli {name!r}"
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise ModelError(f"{setting} needs a package: pip install sentence-transformers") from error
    # A model from a hub is foreign code: pickled weights and the modules beside them would run with our rights.
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
