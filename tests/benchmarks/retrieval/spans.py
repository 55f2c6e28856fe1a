"""Where in a document the text of a hit stands, character by character, whatever was done to its white space."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SHORT, NEAR = 12, 200
"""A piece of fewer characters, white space not counted, that stands in several places must follow within so many."""
PIECES = (re.compile(r"[^\n]+"), re.compile(r"[^\n]+?(?:[.!?:;](?=\s)|\n|$)"), re.compile(r"\S+(?:\s+\S+){0,7}"))
"""What a text is cut into to be found: lines, then sentences, then eight words."""


@dataclass(frozen=True, slots=True)
class Squeezed:
    """A text without its white space, and for each character that is left its offset in the text."""

    text: str
    offsets: Sequence[int]

    @classmethod
    def of(cls, text: str, start: int = 0) -> Squeezed:
        kept = [(offset, character) for offset, character in enumerate(text, start) if not character.isspace()]
        return cls("".join(character for _, character in kept), [offset for offset, _ in kept])


class Places:
    """A document, prepared to find parts of it."""

    def __init__(self, document: str) -> None:
        self._document = Squeezed.of(document)

    def of(self, shown: str) -> dict[int, int]:
        """Offsets in ``shown`` to offsets in the document, for all that is found there.

        The whole text is looked for first, then its lines, sentences and runs of words, each behind the one before
        it where it can be. What the document does not contain (a heading that was put in front) is left out.
        """
        found: dict[int, int] = {}
        self._find(Squeezed.of(shown), 0, 0, shown, found)
        return found

    def _find(self, part: Squeezed, after: int, level: int, shown: str, found: dict[int, int]) -> int:
        """Where the document goes on behind this part, in characters without white space."""
        if not part.text:
            return after
        start = self._start(part.text, after)
        if start >= 0:
            found.update(zip(part.offsets, self._document.offsets[start : start + len(part.text)], strict=True))
            return start + len(part.text)
        if level < len(PIECES):
            for piece in _pieces(part, level, shown):
                after = self._find(piece, after, level + 1, shown, found)
        return after

    def _start(self, text: str, after: int) -> int:
        document = self._document.text
        if len(text) < SHORT and document.count(text) > 1:
            return document.find(text, after, after + NEAR)
        behind = document.find(text, after)
        return behind if behind >= 0 else document.find(text)


def _pieces(part: Squeezed, level: int, shown: str) -> Iterator[Squeezed]:
    begin, end = part.offsets[0], part.offsets[-1] + 1
    for match in PIECES[level].finditer(shown, begin, end):
        yield Squeezed.of(match[0], match.start())
