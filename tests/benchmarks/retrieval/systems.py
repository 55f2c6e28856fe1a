"""What is measured: something that takes pages in and gives texts for a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from tests.benchmarks.retrieval.data import Asked, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A hit: the path of its page, the text that a reader would see and, where there is one, the anchor it leads to."""

    path: str
    text: str
    anchor: str = ""


class System(Protocol):
    """A retriever with its splitter, its embedder and its store."""

    async def load(self, pages: Sequence[Page]) -> int:
        """Take pages in, into an empty store; how many passages they became."""

    async def find(self, asked: Asked, limit: int) -> list[Shown]:
        """Hits, best first, ``limit`` at most."""

    async def close(self) -> None:
        """Let go of the store."""


Build: TypeAlias = Callable[[Path], System]
"""A system that keeps what it writes in a folder."""
