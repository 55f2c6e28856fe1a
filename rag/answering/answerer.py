"""The seam of answerers, and the pieces that an answer is streamed in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rag.types import Background, Exchange, Hit, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """The model that writes the following pieces, and what its prompt contains.

    That is: the first of the retrieved ``hits`` (a single one may be shortened), the newest exchanges (``recalled``, the ids of
    their turns) and the ``background``.
    """

    model: str
    hits: tuple[Hit, ...]
    adapter: str | None = None
    recalled: tuple[str, ...] = ()
    background: Background = field(default_factory=Background)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Text of a language model. It is shown only after its statement was checked against the passages."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """Text quoted word for word from passages, with its citation markers. It needs no check."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A sentence of the service about the answer. ``interrupted`` means that the answer ends here, incomplete."""

    text: str
    interrupted: bool = False


Piece = Writer | Written | Quoted | Notice
"""``[n]`` in a text cites ``hits[n - 1]``."""


class Answerer(Protocol):
    """Seam: writes an answer from passages."""

    @property
    def name(self) -> str:
        """The name of the model in the log and in ``--json`` output."""

    def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[Piece]:
        """The answer's Markdown in pieces, the ``Writer`` first. An answer without text means that it does not know.

        ``history`` is oldest first, ``language`` an ISO 639-1 code. Raises ``ModelError``.
        """
