"""The seam of what writes an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from rag.types import Exchange, Hit, Question


class Answerer(Protocol):
    """Writes an answer from passages."""

    @property
    def name(self) -> str:
        """The model, as the log and ``--json`` name it."""

    def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[str]:
        """The answer's Markdown in pieces; ``[n]`` cites ``hits[n - 1]``. Nothing at all means that it does not know.

        ``history`` is oldest first, ``language`` an ISO 639-1 code. Raises ``ModelError``.
        """
