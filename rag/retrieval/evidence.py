"""Features of a retrieval that indicate whether its passages answer; a calibration turns them into a probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

from rag.retrieval.fusion import Fusion
from rag.retrieval.index.passages import Match
from rag.retrieval.reading import Reading

FIRST = 5
"""Hits whose coverage counts: an answer uses the first ones or none."""
BACKGROUND = 10
"""Rank from which on a leg's matches count as background, which any question would find."""

TYPICAL = 0.18
"""The average peak; it replaces the measured one where there are too few passages."""

FEATURES = (
    "cosine",
    "peak",
    "first_cosine",
    "recent_cosine",
    "recent_peak",
    "covered",
    "first_covered",
    "missing",
    "conversation_covered",
    "agreed",
    "lead",
    "terms",
    "alone",
)
"""``cosine``: of the turn and the passage nearest to it; ``peak``: how far that stands out of the background, which is
high in a language that the model does not know; ``first_cosine``: of the turn and the first hit; ``recent_…``: the same
for the recent turns. ``covered``: the share of the turn's words, rare ones weighing more, that the best of the first
hits holds; ``first_covered``: that the first hit holds; ``missing``: the share of them that none holds, such
as the name of something else; ``conversation_covered``: of the fading words of the whole
conversation. ``agreed``: how far the legs agree on the first hit; ``lead``: by how much it leads the next document.
``terms``: how many words the turn has to search for, 8 or more being 1; ``alone``: 1 without a history, else 0."""


def evidence(
    fusion: Fusion,
    readings: Sequence[Reading],
    fused: Mapping[str, float],
    turn: Mapping[int, float],
    whole: Mapping[int, float],
) -> dict[str, float]:
    """The features of a retrieval, by name; see ``FEATURES``.

    ``readings`` are in their order; ``fused`` maps keys to final scores; ``turn`` and ``whole`` map the terms of the turn and
    of the whole conversation to their weights.
    """
    near, recent = fusion.matches_by_leg.get("turn meaning", ()), fusion.matches_by_leg.get("recent meaning", ())
    terms_of_passages = [reading.terms for reading in readings]
    covered = coverage(turn, terms_of_passages)
    return {
        "cosine": _top(near),
        "peak": _peak(near),
        "first_cosine": _score(near, readings[0].key) if readings else 0.0,
        "recent_cosine": _top(recent or near),
        "recent_peak": _peak(recent or near),
        "covered": max(covered[:FIRST], default=0.0),
        "first_covered": covered[0] if covered else 0.0,
        "missing": _missing(turn, terms_of_passages),
        "conversation_covered": coverage(whole, terms_of_passages)[0] if terms_of_passages else 0.0,
        "agreed": fused[readings[0].key] if readings else 0.0,
        "lead": _lead(readings, fused),
        "terms": min(len(turn), 8) / 8,
        "alone": float(not recent),
    }


def coverage(query_terms: Mapping[int, float], passages: Sequence[Set[int]]) -> list[float]:
    """The share of the query's terms in each passage; rare terms weigh more.

    A term is rare if few of these passages contain it. A term that no passage contains weighs most: the search by words would
    have found it, so the documents lack what the question is about. A single term gives less certainty than several.
    """
    if not query_terms:
        return [0.0] * len(passages)
    weights = {
        term: counts * _rarity(sum(term in terms for terms in passages), len(passages))
        for term, counts in query_terms.items()
    }
    whole = sum(weights.values()) * (1 + 0.25 / len(query_terms))
    return [sum(weights[term] for term in weights.keys() & terms) / whole for terms in passages]


def _rarity(holding: int, passages: int) -> float:
    """BM25's inverse document frequency, computed over the retrieved passages."""
    return math.log(1 + (passages + 0.5) / (holding + 0.5))


def _missing(query_terms: Mapping[int, float], passages: Sequence[Set[int]]) -> float:
    terms_of_passages = set().union(*passages)
    return sum(term not in terms_of_passages for term in query_terms) / len(query_terms) if query_terms else 0.0


def _top(matches: Sequence[Match]) -> float:
    return matches[0].score if matches else 0.0


def _peak(matches: Sequence[Match]) -> float:
    if not matches:
        return 0.0
    # With few passages the background may be two passages in another language, so the typical peak weighs more.
    background = matches[min(BACKGROUND, len(matches) - 1) :]
    confidence = min(1.0, len(matches) / (2 * BACKGROUND))
    peak = matches[0].score - sum(match.score for match in background) / len(background)
    return confidence * peak + (1 - confidence) * TYPICAL


def _score(matches: Sequence[Match], key: str) -> float:
    """A leg's score for a passage; its last score if the passage is not among its matches, where it would be no higher."""
    score = next((match.score for match in matches if match.key == key), None)
    if score is None:
        return matches[-1].score if matches else 0.0
    return score


def _lead(readings: Sequence[Reading], fused: Mapping[str, float]) -> float:
    if not readings:
        return 0.0
    first = readings[0].passage.document
    others = (fused[reading.key] for reading in readings if reading.passage.document != first)
    return fused[readings[0].key] - max(others, default=0.0)
