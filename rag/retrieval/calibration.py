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
    weights=(0.283, 0.200, 0.662, 0.087, -0.200, 0.643, 0.365),
    means=(0.155, 0.453, 0.204, 0.556, 0.204, 0.389, 0.272),
    scales=(0.082, 0.203, 0.093, 0.301, 0.257, 0.217, 0.336),
    intercept=0.110,
    provenance=Provenance(
        file="Doc2Dial train, handbook_questions.jsonl",
        sha256="",
        cases=1868,
        positives=834,
        date="2026-11-22",
        embedding="all-MiniLM-L6-v2",
        version="0.1.0",
    ),
)
