"""The calibration that serves where none was learned from questions of one's own.

Learned by ``tests/benchmarks/retrieval/calibrating.py``, half from Doc2Dial's training conversations (a turn is answered where
its grounding is among the passages, and cannot be with its document taken out: the negatives are as near as they get), half
from questions in English and Spanish about the handbook and about everything else; each in its conversation and after a
change of subject, with the questions before it as history. No weight has the wrong sign: what
speaks for an answer in one set of documents must not speak against it in others.
"""

from __future__ import annotations

from rag.retrieval.calibrated import Calibration, Provenance

DEFAULT = Calibration(
    features=("peak", "first_cosine", "recent_peak", "covered", "missing", "conversation_covered", "lead"),
    weights=(0.675, 0.355, 0.372, 0.146, -0.348, 0.459, 0.516),
    means=(0.172, 0.512, 0.180, 0.570, 0.193, 0.344, 0.286),
    scales=(0.092, 0.200, 0.084, 0.285, 0.233, 0.205, 0.356),
    intercept=0.135,
    provenance=Provenance(
        file="Doc2Dial train, handbook_questions.jsonl",
        sha256="",
        cases=1934,
        positives=819,
        date="2026-12-01",
        embedding="all-MiniLM-L6-v2",
        version="0.1.0",
    ),
)
