"""Scores that can be compared across questions: what is known of a hit, through a logistic, to [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a hit.

    ``cosine`` of question and passage; ``covered``, the share in [0, 1] of the question's terms that the passage holds;
    ``fused``, its reciprocal ranks (1.0: first in both legs); and whether it is in the question's language.
    """

    cosine: float
    covered: float
    fused: float
    same_language: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights of a logistic; ``border`` is the evidence that scores 0.5."""

    cosine: float
    covered: float
    border: float
    fused: float = 0.5
    same_language: float = 0.4


ENGLISH = Weights(cosine=6.0, covered=2.0, border=3.3)
OTHER = Weights(cosine=3.0, covered=4.0, border=4.5)
"""all-MiniLM-L6-v2 reads English: two Spanish sentences that share no thought have a cosine of 0.5, so words decide.

Both were set by hand on 54 questions, half of them about the handbook, until the borders lay between the two halves.
"""


def calibrate(evidence: Evidence, language: str) -> float:
    """How likely a passage answers a question that is asked in this language (ISO 639-1)."""
    weights = ENGLISH if language == "en" else OTHER
    total = (
        weights.cosine * evidence.cosine
        + weights.covered * evidence.covered
        + weights.fused * evidence.fused
        + weights.same_language * evidence.same_language
    )
    return 1 / (1 + math.exp(weights.border - total))


def coverage(asked: Set[int], passages: Sequence[Set[int]]) -> list[float]:
    """The share of a question's terms in each of the passages found, rare terms weighing more.

    Rare is what few of these passages hold: a term that none has, though the search by words would have brought it, is
    what the question is about and the documents are not. A single term is less certain than several.
    """
    if not asked:
        return [0.0] * len(passages)
    weights = {term: _rarity(sum(term in terms for terms in passages), len(passages)) for term in asked}
    whole = sum(weights.values()) * (1 + 0.25 / len(asked))
    return [sum(weights[term] for term in asked & terms) / whole for terms in passages]


def _rarity(holding: int, passages: int) -> float:
    """BM25's inverse document frequency, over the passages found."""
    return math.log(1 + (passages + 0.5) / (holding + 0.5))
