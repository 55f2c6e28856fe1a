"""The calibration that serves where none was learned from questions of one's own."""

from __future__ import annotations

from rag.retrieval.calibrated import Calibration, Provenance

DEFAULT = Calibration(
    features=("cosine", "covered"),
    weights=(1.0, 1.0),
    means=(0.5, 0.5),
    scales=(0.15, 0.25),
    intercept=0.0,
    provenance=Provenance(file="", sha256="", cases=0, positives=0, date="", embedding="", version=""),
)
