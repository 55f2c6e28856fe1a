"""Citation markers of a streamed answer: renumbers them and collects the sources that they name.

A piece may end within a marker or within code, so text is held back until its meaning cannot change any more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.types import Hit, Source

# CommonMark: a line with a further backtick behind the run opens a code span and not a fenced block.
_FENCE = re.compile(r"(?:\A|(?<=\n))[ \t>]*(`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,})")
_TOKEN = re.compile(
    r"(?P<ticks>`+)"
    r"|(?P<tildes>~+)"
    r"|(?P<marker>[ \t]*\[(?P<number>\d{1,3})\](?![(:]))"
    r"|\\."
    r"|(?:[ \t]*\[\d{0,3}|[ \t]+|\\)\Z",  # a marker or an escape that may go on in the next piece
    re.DOTALL,
)


class Citations:
    """Renumbers ``[n]`` markers to 1, 2, … in order of first appearance and drops those that name no passage.

    Code, ``[1](link)`` and an escaped ``\\[1]`` stay as they are. Feed the pieces of one answer in order.
    """

    def __init__(self, hits: Sequence[Hit]) -> None:
        self._hits = tuple(hits)
        self._numbers: dict[int, int] = {}
        self._text = ""
        self._position = 0

    def cite(self, hits: Sequence[Hit]) -> None:
        """From now on ``[n]`` names ``hits[n - 1]``; those behind the given ones stay. Numbers that were shown stay, too."""
        self._hits = (*hits, *self._hits[len(hits) :])

    def feed(self, piece: str) -> str:
        """The text that can be shown after this piece; never half a marker."""
        self._text += piece
        return self._advance(final=False)

    def finish(self) -> str:
        """The rest of the text."""
        return self._advance(final=True)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The passages cited so far, in the order of their numbers."""
        cited = ((number, self._hits[index]) for index, number in self._numbers.items())
        return tuple(Source(number=number, passage=hit.passage, score=hit.score) for number, hit in cited)

    def _advance(self, *, final: bool) -> str:
        ready: list[str] = []
        while (match := _TOKEN.search(self._text, self._position)) is not None:
            ready.append(self._text[self._position : match.start()])
            self._position = match.start()
            end = self._end(match, final=final)
            if end is None:
                return "".join(ready)
            ready.append(self._renumbered(match) if match["marker"] else self._text[self._position : end])
            self._position = end
        ready.append(self._text[self._position :])
        self._position = len(self._text)
        return "".join(ready)

    def _end(self, match: re.Match[str], *, final: bool) -> int | None:
        """The index at which a token ends; None while that depends on text to come."""
        if match.end() == len(self._text) and not final:
            return None
        return self._end_of_code(match, final=final) if match["ticks"] or match["tildes"] else match.end()

    def _renumbered(self, match: re.Match[str]) -> str:
        index = int(match["number"]) - 1
        if not 0 <= index < len(self._hits):
            return ""
        number = self._numbers.setdefault(index, len(self._numbers) + 1)
        return match[0].replace(f"[{match['number']}]", f"[{number}]")

    def _end_of_code(self, match: re.Match[str], *, final: bool) -> int | None:
        """The end of the code span or fenced block that a run opens; the end of the run itself if it opens none."""
        line = self._text.rfind("\n", 0, match.start()) + 1
        fence = _FENCE.match(self._text, line)
        if fence and fence.start(1) == match.start():
            closing = re.compile(rf"\n[ \t>]*{re.escape(fence[1])}{fence[1][0]}*[ \t]*(?=\n|\Z)")
            closed = closing.search(self._text, match.end())
            if closed and (final or closed.end() < len(self._text)):
                return closed.end()
            return len(self._text) if final else None
        if match["tildes"]:
            return match.end()
        return self._end_of_span(match, final=final)

    def _end_of_span(self, match: re.Match[str], *, final: bool) -> int | None:
        # CommonMark: a span ends with its paragraph, so without a partner before the blank line the backticks are text.
        paragraph = self._text.find("\n\n", match.end())
        stop = len(self._text) if paragraph < 0 else paragraph
        closed = re.compile(rf"(?<!`){match[0]}(?!`)").search(self._text, match.end(), stop)
        if closed and (final or closed.end() < len(self._text)):
            return closed.end()
        return match.end() if final or paragraph >= 0 else None
