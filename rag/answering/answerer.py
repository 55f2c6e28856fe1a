"""The seam of what writes an answer, and the pieces that it is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rag.types import Background, Exchange, Hit, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes from here on, with what in view: of what was handed over, the first ``hits`` (the only one perhaps cut),
    the last turns (``recalled``, by their ids) and the ``background``."""

    model: str
    hits: tuple[Hit, ...]
    adapter: str | None = None
    recalled: tuple[str, ...] = ()
    background: Background = field(default_factory=Background)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Text of a language model: nothing of it is shown before its sentence is found in the passage that it cites."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """Text of the passages themselves, word for word, with where it comes from."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A sentence of the service itself about the answer. ``interrupted`` when the answer ends with it, incomplete."""

    text: str
    interrupted: bool = False


Piece = Writer | Written | Quoted | Notice
"""``[n]`` in a text cites ``hits[n - 1]``."""


class Answerer(Protocol):
    """Writes an answer from passages."""

    @property
    def name(self) -> str:
        """The model, as the log and ``--json`` name it."""

    def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[Piece]:
        """The answer's Markdown in pieces, first of all its ``Writer``. No text at all means that it does not know.

        ``history`` is oldest first, ``language`` an ISO 639-1 code. Raises ``ModelError``.
        """
