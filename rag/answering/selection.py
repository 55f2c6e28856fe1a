"""Which units of the found passages answer, by weights that were learned, and how few of them will do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from rag.answering.quotes import Quotable
from rag.answering.quoting import BY_WORDS
from rag.types import Hit

UNDECIDED = 0.4
"""Share of the weighted words of a question, or of its conversation, below which no unit is taken at its words."""
SAME_SECTION = 0.4
"""A further quote from the section that answers best is at least this share as likely as the best one … On Doc2Dial's training
turns .4 quotes the grounding of .35 with 420 characters, .6 that of .30 with 345; token F1 .29 and .30. Before, with weights set
by hand, it was .38 with 510, and F1 .27."""
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
FEW = 3
"""Terms below which a unit is not told to have been said already: short ones are alike by chance."""

Terms = frozenset[int]
Vectors = NDArray[np.float32]
_LEANING = re.compile(
    r"\W*(?:this|that|these|those|it|its|they|them|their|he|she|such|otherwise|however|in (?:this|that|these|those) cases?"
    r"|est[aeo]s?|es[aeo]s?|ell[ao]s?|él|ello|dich[ao]s?|sin embargo|en (?:ese|este|tal) caso|de lo contrario)(?![\w'’-])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for, as terms: by the turn; by the conversation, each with what it counts; and what was said last."""

    turn: Terms
    conversation: Mapping[int, float]
    said: Terms


@dataclass(frozen=True, slots=True)
class _Sought:
    """Terms with what each weighs, and in all."""

    weights: Mapping[int, float]
    whole: float

    @classmethod
    def of(cls, wanted: Mapping[int, float], rarity: Counter[int]) -> _Sought:
        """A word that stands in one unit tells more than one that stands in all."""
        weights = {
            term: counts * (1 / log(2 + rarity[term]) if rarity[term] else UNKNOWN) for term, counts in wanted.items()
        }
        return cls(weights, sum(weights.values()) or 1.0)

    def covered(self, terms: Terms, named: Terms) -> float:
        """In [0, 1]: the share of what is sought that is there, half of it where only the headings have it (``named``)."""
        weights = self.weights
        met = sum([weights[term] for term in weights.keys() & terms])
        return (met + IN_CONTEXT * sum([weights[term] for term in named - terms])) / self.whole


@dataclass(slots=True, kw_only=True)
class Studied:
    """A passage taken apart: its units, the terms of each, those of title and headings; vectors once they were needed."""

    units: Sequence[Quotable]
    terms: Sequence[Terms]
    context: Terms
    vectors: Vectors | None = None


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A unit in the running: of which hit (``number`` from 1, as cited), where in the passage, how likely it answers."""

    hit: Hit
    number: int
    place: int
    unit: Quotable
    terms: Terms
    evidence: dict[str, float]
    score: float


def candidates(
    hits: Sequence[tuple[int, Hit]], studied: Sequence[Studied], wanted: Sequence[Wanted]
) -> list[Candidate]:
    """Every unit of numbered hits (best first) with what speaks for it."""
    rarity = _rarity(studied)
    spoken = {hit.passage.language: words for (_, hit), words in zip(hits, wanted, strict=True)}
    sought = {
        language: (
            _Sought.of(dict.fromkeys(words.turn, 1.0), rarity),
            _Sought.of(words.conversation, rarity),
            words.said,
        )
        for language, words in spoken.items()
    }
    best = hits[0][1].score or 1.0 if hits else 1.0
    return [
        candidate
        for rank, ((number, hit), parts) in enumerate(zip(hits, studied, strict=True), 1)
        for candidate in _of_passage(
            number, hit, parts, *sought[hit.passage.language], {"share": hit.score / best, "rank": 1 / rank}
        )
    ]


def words_decide(found: Sequence[Candidate]) -> bool:
    """False when no unit shares enough words with the question, nor with the conversation that it stands in."""
    return max(max(one.evidence["covers"], one.evidence["conversation"]) for one in found) >= UNDECIDED


def choose(found: Sequence[Candidate], most: int) -> list[Candidate]:
    """The fewest units that answer, ``most`` at most, in the order in which to read them.

    The best one, what else its section says nearly as well, what others say as well, and what these lean on.
    """
    chosen: list[Candidate] = []
    for candidate in sorted(found, key=lambda candidate: -candidate.score):
        if len(chosen) >= most:
            break
        if not chosen or _adds(candidate, chosen):
            chosen += _understood(candidate, found, chosen)[: most - len(chosen)]
    sections = list(dict.fromkeys(section(candidate) for candidate in chosen))
    return sorted(chosen, key=lambda one: (sections.index(section(one)), one.hit.passage.position, one.place))


def section(candidate: Candidate) -> tuple[str, ...]:
    """What a reader would call the place: a page and its headings, however many passages it became."""
    return (candidate.hit.passage.document, *candidate.hit.passage.headings)


def _of_passage(
    number: int,
    hit: Hit,
    parts: Studied,
    turn: _Sought,
    conversation: _Sought,
    last: Terms,
    standing: Mapping[str, float],
) -> Iterator[Candidate]:
    named, known = parts.context & turn.weights.keys(), parts.context & conversation.weights.keys()
    said = 0.0
    for place, (unit, terms) in enumerate(zip(parts.units, parts.terms, strict=True)):
        dilution = min(1.0, sqrt(TYPICAL / max(1, len(terms))))
        before, said = said, len(terms & last) / max(FEW, len(terms))
        evidence = {
            **standing,
            "covers": dilution * turn.covered(terms, named),
            "conversation": dilution * conversation.covered(terms, known),
            "place": 1 / (1 + place),
            "said": said,
            "follows": before,
            "asks": float(unit.text.endswith("?")),
            "length": log(1 + len(terms)),
        }
        score = BY_WORDS.probability(evidence)
        yield Candidate(hit=hit, number=number, place=place, unit=unit, terms=terms, evidence=evidence, score=score)


def _adds(candidate: Candidate, chosen: Sequence[Candidate]) -> bool:
    best = chosen[0]
    share = SAME_SECTION if section(candidate) == section(best) else ELSEWHERE
    return candidate.score >= share * best.score and not any(_repeats(candidate, other) for other in chosen)


def _understood(candidate: Candidate, found: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    """The unit, and the one before it where it begins with a word that points back at it."""
    if candidate.place == 0 or candidate.unit.lead or not _LEANING.match(candidate.unit.text):
        return [candidate]
    before = next(other for other in found if other.number == candidate.number and other.place == candidate.place - 1)
    return [candidate] if before in chosen else [candidate, before]


def _rarity(studied: Sequence[Studied]) -> Counter[int]:
    return Counter(term for parts in studied for terms in parts.terms for term in terms)


def _repeats(candidate: Candidate, other: Candidate) -> bool:
    smaller = min(len(candidate.terms), len(other.terms))
    return bool(smaller) and len(candidate.terms & other.terms) >= ALIKE * max(smaller, 4)
