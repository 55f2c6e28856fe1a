"""Which units of the found passages answer: by the question's words, by meaning where words do not decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from rag.answering.quotes import Quotable
from rag.types import Hit

UNDECIDED = 0.4
"""Share of a question's weighted words below which no unit is taken at its words."""
SAME_SECTION = 0.6
"""A further quote from the section that answers best has at least this share of the best one's score …"""
ELSEWHERE = 0.9
"""… and one from another place this share."""
TYPICAL = 40
"""Terms from which on a unit is long: a table holds many words of any question."""
ALIKE = 0.8
"""Share of common terms from which on a unit repeats another."""
IN_CONTEXT = 0.5
"""What a word counts that stands only in the title or the headings above a unit."""
UNKNOWN = 0.3
"""What a word counts that stands in no unit at all: a name, a number, a slip of the pen."""

Terms = frozenset[int]
Vectors = NDArray[np.float32]
_NONE: Terms = frozenset()


@dataclass(slots=True, kw_only=True)
class Studied:
    """A passage taken apart: its units, the terms of each, those of title and headings; vectors once they were needed."""

    units: Sequence[Quotable]
    terms: Sequence[Terms]
    context: Terms
    vectors: Vectors | None = None


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A unit in the running: of which hit (``number`` from 1, as cited), where in the passage, how good."""

    hit: Hit
    number: int
    place: int
    unit: Quotable
    terms: Terms
    covers: float
    score: float


def candidates(hits: Sequence[tuple[int, Hit]], studied: Sequence[Studied], wanted: Sequence[Terms]) -> list[Candidate]:
    """Every unit of numbered hits (best first), scored by the share of the wanted words in it and by its passage."""
    rarity = _rarity(studied)
    best = hits[0][1].score or 1.0 if hits else 1.0
    return [
        Candidate(hit=hit, number=number, place=place, unit=unit, terms=terms, covers=covers, score=score)
        for (number, hit), parts, words in zip(hits, studied, wanted, strict=True)
        for place, (unit, terms) in enumerate(zip(parts.units, parts.terms, strict=True))
        for covers in (_covers(words, terms, parts.context, rarity),)
        for score in (_score(covers, _covers(words, parts.context, _NONE, rarity), hit.score / best, place),)
    ]


def words_decide(found: Sequence[Candidate]) -> bool:
    """False when no unit shares enough words with the question."""
    return max(candidate.covers for candidate in found) >= UNDECIDED


def choose(found: Sequence[Candidate], most: int) -> list[Candidate]:
    """The best unit, what else its section says, and what others say nearly as well; in the order in which to read them."""
    chosen: list[Candidate] = []
    for candidate in sorted(found, key=lambda candidate: -candidate.score):
        if len(chosen) == most:
            break
        if not chosen or _adds(candidate, chosen):
            chosen.append(candidate)
    sections = list(dict.fromkeys(section(candidate) for candidate in chosen))
    return sorted(chosen, key=lambda one: (sections.index(section(one)), one.hit.passage.position, one.place))


def section(candidate: Candidate) -> tuple[str, ...]:
    """What a reader would call the place: a page and its headings, however many passages it became."""
    return (candidate.hit.passage.document, *candidate.hit.passage.headings)


def _adds(candidate: Candidate, chosen: Sequence[Candidate]) -> bool:
    best = chosen[0]
    share = SAME_SECTION if section(candidate) == section(best) else ELSEWHERE
    return candidate.score >= share * best.score and not any(_repeats(candidate, other) for other in chosen)


def _rarity(studied: Sequence[Studied]) -> Counter[int]:
    return Counter(term for parts in studied for terms in parts.terms for term in terms)


def _covers(wanted: Terms, terms: Terms, context: Terms, rarity: Counter[int]) -> float:
    """In [0, 1]. A word that stands in one unit tells more than one that stands in all."""
    weights = {term: 1 / log(2 + rarity[term]) if rarity[term] else UNKNOWN for term in wanted}
    met = sum(weight * (1 if term in terms else IN_CONTEXT * (term in context)) for term, weight in weights.items())
    dilution = min(1.0, sqrt(TYPICAL / max(1, len(terms))))
    return dilution * met / (sum(weights.values()) or 1.0)


def _score(covers: float, named: float, share: float, place: int) -> float:
    """In [0, 1]: words in the unit, words in the headings, the passage's share of the best score, and what comes first.

    Weights set by hand on questions about the handbook.
    """
    return 0.4 * covers + 0.25 * named + 0.2 * share + 0.15 / (1 + place)


def _repeats(candidate: Candidate, other: Candidate) -> bool:
    smaller = min(len(candidate.terms), len(other.terms))
    return bool(smaller) and len(candidate.terms & other.terms) >= ALIKE * max(smaller, 4)
