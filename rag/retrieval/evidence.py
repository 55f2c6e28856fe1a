"""What is known about whether the passages found answer: figures that a calibration turns into one probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

from rag.retrieval.fusion import Fusion
from rag.retrieval.index.passages import Match
from rag.retrieval.reading import Reading

FIRST = 5
"""Hits that are looked at: an answer draws on the first ones or on none."""
BACKGROUND = 10
"""From this match on, a leg's matches are what any question finds here."""

TYPICAL = 0.18
"""How far the nearest passage stands out on average, where the passages are too few to tell."""

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
    """The features of a retrieval, by name: ``readings`` in their order, the final ``fused`` score by key, and the terms of
    the ``turn`` and of the ``whole`` conversation with what each counts."""
    near, recent = fusion.found.get("turn meaning", ()), fusion.found.get("recent meaning", ())
    held = [reading.terms for reading in readings]
    covered = coverage(turn, held)
    return {
        "cosine": _top(near),
        "peak": _peak(near),
        "first_cosine": _score(near, readings[0].key) if readings else 0.0,
        "recent_cosine": _top(recent or near),
        "recent_peak": _peak(recent or near),
        "covered": max(covered[:FIRST], default=0.0),
        "first_covered": covered[0] if covered else 0.0,
        "missing": _missing(turn, held),
        "conversation_covered": coverage(whole, held)[0] if held else 0.0,
        "agreed": fused[readings[0].key] if readings else 0.0,
        "lead": _lead(readings, fused),
        "terms": min(len(turn), 8) / 8,
        "alone": float(not recent),
    }


def coverage(asked: Mapping[int, float], passages: Sequence[Set[int]]) -> list[float]:
    """The share of the terms asked for in each of the passages found, rare terms weighing more.

    Rare is what few of these passages hold: a term that none has, though the search by words would have brought it, is
    what the question is about and the documents are not. A single term is less certain than several.
    """
    if not asked:
        return [0.0] * len(passages)
    weights = {
        term: counts * _rarity(sum(term in terms for terms in passages), len(passages))
        for term, counts in asked.items()
    }
    whole = sum(weights.values()) * (1 + 0.25 / len(asked))
    return [sum(weights[term] for term in weights.keys() & terms) / whole for terms in passages]


def _rarity(holding: int, passages: int) -> float:
    """BM25's inverse document frequency, over the passages found."""
    return math.log(1 + (passages + 0.5) / (holding + 0.5))


def _missing(asked: Mapping[int, float], passages: Sequence[Set[int]]) -> float:
    held = set().union(*passages)
    return sum(term not in held for term in asked) / len(asked) if asked else 0.0


def _top(matches: Sequence[Match]) -> float:
    return matches[0].score if matches else 0.0


def _peak(matches: Sequence[Match]) -> float:
    if not matches:
        return 0.0
    # Of a dozen passages the last two may be in another language: the fewer there are, the less is known.
    background = matches[min(BACKGROUND, len(matches) - 1) :]
    known = min(1.0, len(matches) / (2 * BACKGROUND))
    peak = matches[0].score - sum(match.score for match in background) / len(background)
    return known * peak + (1 - known) * TYPICAL


def _score(matches: Sequence[Match], key: str) -> float:
    """A passage that a leg did not bring is no nearer than the last that it brought."""
    found = next((match.score for match in matches if match.key == key), None)
    if found is None:
        return matches[-1].score if matches else 0.0
    return found


def _lead(readings: Sequence[Reading], fused: Mapping[str, float]) -> float:
    if not readings:
        return 0.0
    first = readings[0].passage.document
    others = (fused[reading.key] for reading in readings if reading.passage.document != first)
    return fused[readings[0].key] - max(others, default=0.0)
