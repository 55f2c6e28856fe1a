"""The seam of a model that reads: which units of a passage answer, and whether it answers at all; the ``read`` task tunes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.types import Exchange, Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A passage and what of it can be quoted: sentences, lists and blocks in reading order, each as it would be quoted."""

    passage: Passage
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageScores:
    """``answers``: how likely the passage answers at all; ``units``: for each how likely it answers if the passage does."""

    answers: float
    units: tuple[float, ...]


class PassageReader(Protocol):
    """Takes the place of the extractive answerer's own scores."""

    async def read(
        self, question: str, history: Sequence[Exchange], passages: Sequence[Unread]
    ) -> Sequence[PassageScores]:
        """The scores of each passage, in order, all in [0, 1]. ``history`` is oldest first.

        A passage is read once, with all its units. One call is one reply: it is read from its first passage to its last by
        one adapter. Raises ``ModelError``.
        """
