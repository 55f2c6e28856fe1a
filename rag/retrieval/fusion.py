"""Several legs' matches to one ranking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rag.retrieval.index.passages import Match
from rag.retrieval.legs import CONVERSATION, Search

WHOLE_DOCUMENT = 0.75
"""What the best passage of its document adds to each passage in a conversation. A page that suits a conversation as a whole
holds the next answer more often than a page of which one passage happens to: on Doc2Dial's training conversations .76 of the
grounding within 3,000 characters becomes .80."""
ALONE = 0.4
"""The same for a question that stands alone, where more of it costs pages that answer in one passage."""


class Fusion:
    """Chooses ``limit`` keys by a weighted sum over the legs, and remembers what it knew of each match.

    A leg's scores are stretched to [0, 1] over its own candidates; what a leg did not find has its 0. Ranks alone
    (reciprocal rank fusion) lose how far apart two matches are: there they find .776 where this finds .782.
    """

    def __init__(self, searches: Sequence[Search], limit: int, candidates: int, language: str = "") -> None:
        """``language`` is the question's: what is in another one counts what its search says (``Search.abroad``)."""
        self._searches = searches
        self._limit = limit
        self._candidates = candidates
        self._language = language
        self.fused: dict[str, float] = {}
        self.found: dict[str, Sequence[Match]] = {}

    def __call__(self, legs: Sequence[Sequence[Match]]) -> list[str]:
        """The keys, best first."""
        total: defaultdict[str, float] = defaultdict(float)
        places: dict[str, tuple[str, int]] = {}
        for search, matches in zip(self._searches, legs, strict=True):
            for match, share in zip(matches, self._stretched(search, matches), strict=True):
                total[match.key] += search.weight * share * self._counts(search, match)
                places[match.key] = match.document, match.position
        best: defaultdict[str, float] = defaultdict(float)
        for key, score in total.items():
            best[places[key][0]] = max(best[places[key][0]], score)
        whole = WHOLE_DOCUMENT if any(search.name in CONVERSATION for search in self._searches) else ALONE
        most = (1 + whole) * sum(search.weight for search in self._searches) or 1.0
        self.fused = {key: (score + whole * best[places[key][0]]) / most for key, score in total.items()}
        self.found = {search.name: matches for search, matches in zip(self._searches, legs, strict=True)}
        # Copies of a document tie: which of them comes first must not change with every index that is built.
        return sorted(self.fused, key=lambda key: (-self.fused[key], places[key]))[: self._limit]

    def _counts(self, search: Search, match: Match) -> float:
        known = match.language and self._language
        return search.abroad if known and match.language != self._language else 1.0

    def _stretched(self, search: Search, matches: Sequence[Match]) -> list[float]:
        if not matches:
            return []
        high = matches[0].score
        # Words that fewer passages hold than were asked for: the next best holds none of them.
        low = matches[-1].score if search.leg.dense or len(matches) >= self._candidates else 0.0
        return [(match.score - low) / (high - low) if high > low else 1.0 for match in matches]
