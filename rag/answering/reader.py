"""The seam of a model that reads: which sentences answer a question, as one that was tuned for it sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rag.types import Exchange


class SentenceReader(Protocol):
    """Scores sentences; the ``read`` task tunes one. It takes the place of the extractive answerer's own scores."""

    async def scores(self, question: str, history: Sequence[Exchange], units: Sequence[str]) -> Sequence[float]:
        """For each unit, in order, how likely it answers, in [0, 1].

        ``history`` is oldest first. A unit is a sentence, list or block as it would be quoted, below the title and the
        headings that it stands under. Raises ``ModelError``.
        """
