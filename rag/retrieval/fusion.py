"""Fuses the matches of several legs to one ranking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rag.retrieval.index.passages import Match
from rag.retrieval.legs import CONVERSATION, Search

WHOLE_DOCUMENT = 0.75
"""The share of the score of its document's best passage that is added to each passage, within a conversation. A page that
fits the whole conversation contains the next answer more often than a page with one fitting passage: on Doc2Dial's training
conversations .76 of the grounding within 3,000 characters becomes .80."""
ALONE = 0.4
"""The same for a question without history; a higher value would rank pages lower that answer in a single passage."""


class Fusion:
    """Chooses ``limit`` keys by a weighted sum over the legs; ``fused`` and ``matches_by_leg`` keep the details.

    The scores of a leg are normalized to [0, 1] over its candidates; a passage that a leg did not find has 0. Reciprocal rank
    fusion loses how far apart two matches are: on the same conversations it finds .776 of the grounding, this sum .782.
    """

    def __init__(self, searches: Sequence[Search], limit: int, candidates: int, language: str = "") -> None:
        """``language`` is the question's: what is in another one counts what its search says (``Search.abroad``)."""
        self._searches = searches
        self._limit = limit
        self._candidates = candidates
        self._language = language
        self.fused: dict[str, float] = {}
        self.matches_by_leg: dict[str, Sequence[Match]] = {}

    def __call__(self, legs: Sequence[Sequence[Match]]) -> list[str]:
        """The chosen keys, best first; ``legs`` are the matches of each leg, best first."""
        total: defaultdict[str, float] = defaultdict(float)
        places: dict[str, tuple[str, int]] = {}
        for search, matches in zip(self._searches, legs, strict=True):
            for match, share in zip(matches, self._normalized(search, matches), strict=True):
                total[match.key] += search.weight * share * self._language_factor(search, match)
                places[match.key] = match.document, match.position
        best: defaultdict[str, float] = defaultdict(float)
        for key, score in total.items():
            best[places[key][0]] = max(best[places[key][0]], score)
        whole = WHOLE_DOCUMENT if any(search.name in CONVERSATION for search in self._searches) else ALONE
        maximum = (1 + whole) * sum(search.weight for search in self._searches) or 1.0
        self.fused = {key: (score + whole * best[places[key][0]]) / maximum for key, score in total.items()}
        self.matches_by_leg = {search.name: matches for search, matches in zip(self._searches, legs, strict=True)}
        # Copies of a document have equal scores; their order must not depend on the keys, which differ in every index.
        return sorted(self.fused, key=lambda key: (-self.fused[key], places[key]))[: self._limit]

    def _language_factor(self, search: Search, match: Match) -> float:
        known = match.language and self._language
        return search.abroad if known and match.language != self._language else 1.0

    def _normalized(self, search: Search, matches: Sequence[Match]) -> list[float]:
        if not matches:
            return []
        high = matches[0].score
        # If fewer passages than requested contain the words, all others contain none: the lowest score is 0, not the last one.
        low = matches[-1].score if search.leg.dense or len(matches) >= self._candidates else 0.0
        return [(match.score - low) / (high - low) if high > low else 1.0 for match in matches]
