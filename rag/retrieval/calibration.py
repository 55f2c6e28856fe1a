"""The calibration that serves where none was learned from questions of one's own.

Learned by ``tests/benchmarks/retrieval/calibrating.py``, half from Doc2Dial's training conversations (a turn is answered where
its grounding is among the passages, and cannot be with its document taken out: the negatives are as near as they get), half
from questions in English and Spanish about the handbook and about everything else. No weight has the wrong sign: what
speaks for an answer in one set of documents must not speak against it in others.
"""

from __future__ import annotations

from rag.retrieval.calibrated import Calibration, Provenance

DEFAULT = Calibration(
    features=("peak", "first_cosine", "recent_peak", "covered", "missing", "conversation_covered", "lead"),
    weights=(0.309, 0.197, 0.664, 0.073, -0.212, 0.662, 0.300),
    means=(0.155, 0.454, 0.204, 0.557, 0.203, 0.388, 0.259),
    scales=(0.083, 0.204, 0.093, 0.301, 0.256, 0.216, 0.325),
    intercept=0.112,
    provenance=Provenance(
        file="Doc2Dial train, handbook_questions.jsonl",
        sha256="",
        cases=1875,
        positives=841,
        date="2026-11-22",
        embedding="all-MiniLM-L6-v2",
        version="0.1.0",
    ),
)
