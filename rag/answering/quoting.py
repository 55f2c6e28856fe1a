"""By what a unit is quoted: evidence that it answers, and weights that were learned.

Learned by ``tests/benchmarks/model/quoting.py`` from Doc2Dial's training conversations (a unit answers where it lies in the
span that an agent answered from) and from questions about the handbook in English and Spanish. No weight has the wrong
sign: what speaks for a unit in one set of documents must not speak against it in others. That a unit's headings name what
is asked for tells nothing of one unit rather than of the next one below them, and is no feature.
"""

from __future__ import annotations

from rag.retrieval.calibrated import Calibration, Provenance

WORDS = ("covers", "conversation", "share", "rank", "place", "said", "follows", "asks", "length")
"""``covers``: the share of the turn's words in the unit or, at half their weight, in its headings; ``conversation``: of the
fading words of the whole conversation. ``share``: the passage's part of the best one's score; ``rank``: 1 for the first
passage, 1/2 for the second; ``place``: the same for the unit in its passage. ``said``: the share of the unit that the
last answer said; ``follows``: that of the unit before it. ``asks``: 1 for a question; ``length``: the logarithm of its terms."""

BY_WORDS = Calibration(
    features=WORDS,
    weights=(0.364, 0.129, 0.561, 1.090, 0.269, -0.176, 0.211, -0.383, 0.357),
    means=(0.288, 0.250, 0.864, 0.532, 0.507, 0.127, 0.097, 0.042, 2.296),
    scales=(0.285, 0.190, 0.147, 0.343, 0.312, 0.201, 0.187, 0.200, 0.581),
    intercept=-3.299,
    provenance=Provenance(
        file="Doc2Dial train, handbook_quotes.jsonl",
        sha256="",
        cases=51706,
        positives=4477,
        date="2026-11-22",
        embedding="",
        version="0.1.0",
    ),
)

BY_MEANING = Calibration(
    features=(*WORDS, "cosine"),
    weights=(0.371, 0.147, 0.312, 0.906, 0.326, -0.236, 0.238, -0.426, 0.346, 0.070),
    means=(0.303, 0.273, 0.930, 0.724, 0.494, 0.140, 0.109, 0.049, 2.277, 0.593),
    scales=(0.296, 0.201, 0.110, 0.296, 0.311, 0.218, 0.205, 0.216, 0.591, 0.158),
    intercept=-2.417,
    provenance=BY_WORDS.provenance,
)
"""Where words do not decide: ``cosine`` is that of the recent turns and the unit below its headings."""
