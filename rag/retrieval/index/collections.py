"""The seam of passage collections: one collection for each recipe, one of which serves readers.

Vectors of two models cannot be compared, and passages of two layouts must not mix. So a new recipe gets a new collection: it
is filled beside the one that serves, and replaces it when it is complete.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Protocol

from rag.retrieval.index.passages import PassageIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What the passages of one collection have in common: the embedding model's name, the dimension of its vectors, the
    ``window`` (most tokens of a passage) and the ``layout`` (a number that is raised when splitting changes).
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
        """The recipe as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str | bytes) -> Recipe | None:
        """The recipe in a JSON text; None if the text holds none."""
        try:
            fields = json.loads(text)
            return Recipe(
                embedding=str(fields["embedding"]),
                dimension=int(fields["dimension"]),
                window=int(fields["window"]),
                layout=int(fields["layout"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


class Collections(Protocol):
    """The collections of one installation. Every method raises ``IndexUnavailable`` when the store does not answer.

    If the process is killed at any moment, either the former or the new collection serves completely. Remains of abandoned
    ones are removed by the next ``open`` or ``switch``.
    """

    async def open(self) -> None:
        """Opens the store; may be repeated. Raises ``IndexLocked`` if another process owns it and it cannot be shared."""

    async def serving(self) -> Recipe | None:
        """The recipe of the collection that readers use; None before the first ``switch``."""

    async def index(self, recipe: Recipe) -> PassageIndex:
        """The open index of a recipe's collection, created if missing; the same object as long as the collection exists."""

    async def switch(self, recipe: Recipe) -> None:
        """Makes a recipe's collection the serving one, in one step, then deletes the others; may be repeated.

        An index of a deleted collection that is still in use raises ``IndexUnavailable``.
        """

    async def close(self) -> None:
        """Closes all collections; may be repeated."""
