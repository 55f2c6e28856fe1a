"""A calibration that was learned: figures about what was found, through a logistic, to the odds that it answers."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from rag.errors import ConfigurationError
from rag.retrieval.embeddings.threaded import model_of

log = logging.getLogger(__name__)

FILE = "calibration.json"
"""Its name in the home."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@validated(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Provenance:
    """What a calibration was learned from. ``date`` is ISO 8601, ``sha256`` that of the file of questions.

    ``embedding`` names what embedded the questions: the model, and its adapter by digest if there was one.
    """

    file: str
    sha256: str
    cases: int
    positives: int
    date: str
    embedding: str
    version: str


@validated(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Calibration:
    """Weights of a logistic over standardised features: ``(value - mean) / scale``."""

    features: tuple[str, ...]
    weights: tuple[Finite, ...]
    means: tuple[Finite, ...]
    scales: tuple[Positive, ...]
    intercept: Finite
    provenance: Provenance

    def __post_init__(self) -> None:
        lengths = {len(self.features), len(self.weights), len(self.means), len(self.scales)}
        if len(lengths) != 1 or len(set(self.features)) != len(self.features):
            raise ValueError("features, weights, means and scales must be as many, and no feature named twice")

    def probability(self, evidence: Mapping[str, float]) -> float:
        """How likely what was found answers, in (0, 1). KeyError where ``evidence`` lacks a feature."""
        figures = zip(self.features, self.weights, self.means, self.scales, strict=True)
        odds = sum(
            (weight * (evidence[name] - mean) / scale for name, weight, mean, scale in figures), start=self.intercept
        )
        return logistic(odds)

    def to_json(self) -> str:
        """As it is written to the home."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, known: Collection[str]) -> Calibration:
        """The calibration in ``text``. Raises ``ConfigurationError``, also for a feature that is not ``known``."""
        try:
            calibration = _ADAPTER.validate_json(text)
        except ValidationError as error:
            raise ConfigurationError(_explain(error.errors()[0])) from error
        if unknown := [name for name in calibration.features if name not in known]:
            raise ConfigurationError(f"this version of Cotorra has no feature {', '.join(unknown)}")
        return calibration


_ADAPTER = TypeAdapter(Calibration)


class Calibrations:
    """The calibration of each side of questions, by its name (``QueryEmbeddings.query_name``).

    ``packaged`` has those that come with Cotorra, by the names of embedding models; ``general`` is for any other model.
    ``learned`` was learned in this home for one name and kept in ``file``; it comes first.
    """

    def __init__(
        self,
        general: Calibration,
        packaged: Mapping[str, Calibration] | None = None,
        learned: Calibration | None = None,
        file: Path | None = None,
    ) -> None:
        self._general = general
        self._packaged = packaged or {}
        self._learned = learned
        self._file = file
        self._left_aside = False

    def of(self, name: str) -> Calibration:
        """The one for a name. That what was learned says nothing of this name is logged once."""
        if self._learned is None:
            return self._shipped(name)
        if self._learned.provenance.embedding == name:
            return self._learned
        if not self._left_aside:
            self._left_aside = True
            log.warning(
                "%s was learned with %s and is left aside, because questions are embedded with %s; calibrate anew with "
                "`cotorra eval retrieval --calibrate`, or delete the file",
                self._file or "the calibration",
                self._learned.provenance.embedding,
                name,
            )
        return self._shipped(name)

    def _shipped(self, name: str) -> Calibration:
        """That of the model; an adapter on questions moves vectors too little to make the general one the better choice."""
        return self._packaged.get(model_of(name), self._general)


def read_calibrations(
    home: Path, known: Collection[str], general: Calibration, packaged: Mapping[str, Calibration] | None = None
) -> Calibrations:
    """What ``home`` holds beside those that come with Cotorra. Raises ``ConfigurationError`` for a file that cannot be used.

    Version 0.1 wrote the model's name, which is the name of questions without an adapter: its files go on to be used.
    """
    file = home / FILE
    try:
        learned = Calibration.from_json(file.read_bytes(), known)
    except FileNotFoundError:
        return Calibrations(general, packaged)
    except (OSError, ConfigurationError) as error:
        raise ConfigurationError(
            f"{file} cannot be used ({error}); delete it, or write it anew with `cotorra eval retrieval --calibrate`"
        ) from error
    return Calibrations(general, packaged, learned, file)


def write_calibration(home: Path, calibration: Calibration) -> Path:
    """Puts it into ``home`` at once or not at all. Raises ``ConfigurationError`` where nothing can be written."""
    file = home / FILE
    draft = file.with_suffix(".draft")
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.write_text(calibration.to_json(), encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written ({error.strerror}); make its folder writable") from error
    return file


def logistic(odds: float) -> float:
    """Of log odds. Beyond 700 ``exp`` overflows, and every figure rounds to 0 or 1 long before."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))


def _explain(detail: Mapping[str, Any]) -> str:
    place: Sequence[object] = detail["loc"]
    return f"{'.'.join(map(str, place)) or 'its content'}: {detail['msg'].removeprefix('Value error, ')}"
