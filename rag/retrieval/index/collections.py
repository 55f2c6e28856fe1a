"""The seam to the places where passages are kept: one collection a recipe, and one of them serves.

Vectors of two models cannot be compared and passages of two layouts do not mix, so another recipe is another
collection: it is filled beside the one that serves, which it replaces when it is complete.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Protocol

from rag.retrieval.index.passages import PassageIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that passages of one collection have in common: the embedding model by name, the width of its vectors,
    the ``window`` (tokens of a passage at most), and the ``layout``, a number that grows when splitting changes.
    """

    embedding: str
    dimension: int
    window: int
    layout: int

    @property
    def fingerprint(self) -> str:
        """12 hex digits of sha256: the collection's name."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str | bytes) -> Recipe | None:
        """The recipe in a text; None where there is none."""
        try:
            given = json.loads(text)
            return Recipe(
                embedding=str(given["embedding"]),
                dimension=int(given["dimension"]),
                window=int(given["window"]),
                layout=int(given["layout"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


class Collections(Protocol):
    """The collections of one installation. Every method raises IndexUnavailable when they cannot be had.

    Killed at any instant, either the former or the new collection serves, whole. What is left of abandoned ones goes
    at the next ``open`` or ``switch``.
    """

    async def open(self) -> None:
        """Take possession. IndexLocked when another process owns them and they cannot be shared; safe to repeat."""

    async def serving(self) -> Recipe | None:
        """The recipe of the collection that readers use; None before the first ``switch``."""

    async def index(self, recipe: Recipe) -> PassageIndex:
        """That collection, open, made if it is missing; the same object while it exists."""

    async def switch(self, recipe: Recipe) -> None:
        """Make that collection the serving one, in one step, then drop the others; safe to repeat.

        Who still holds a dropped one gets IndexUnavailable from it.
        """

    async def close(self) -> None:
        """Let go of all of them; safe to repeat."""
