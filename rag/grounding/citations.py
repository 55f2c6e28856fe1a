"""The step after the answer: ties the markers in the text to numbered sources, while the text streams by."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.types import Hit, Source

# After backticks no other one may stand in the line: then they are a span within it, as CommonMark has it.
_FENCE = re.compile(r"(?:\A|(?<=\n))[ \t>]*(`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,})")
_TOKEN = re.compile(
    r"(?P<ticks>`+)"
    r"|(?P<tildes>~+)"
    r"|(?P<marker>[ \t]*\[(?P<number>\d{1,3})\](?![(:]))"
    r"|\\."
    r"|(?:[ \t]*\[\d{0,3}|[ \t]+|\\)\Z",  # the beginning of a marker or an escape, as far as it has come
    re.DOTALL,
)


class Citations:
    """Renumbers ``[n]`` markers to 1, 2, … by first appearance and drops those that point at no passage.

    Code stays as it is, and so does ``[1](link)`` and an escaped ``\\[1]``. Feed it the pieces of one answer in order.
    """

    def __init__(self, hits: Sequence[Hit]) -> None:
        self._hits = hits
        self._numbers: dict[int, int] = {}
        self._seen = ""
        self._done = 0

    def feed(self, piece: str) -> str:
        """What can be shown after this piece: never half a marker."""
        self._seen += piece
        return self._advance(final=False)

    def finish(self) -> str:
        """What was held back until the end."""
        return self._advance(final=True)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The passages cited so far, in the order of their numbers."""
        cited = ((number, self._hits[index]) for index, number in self._numbers.items())
        return tuple(Source(number=number, passage=hit.passage, score=hit.score) for number, hit in cited)

    def _advance(self, *, final: bool) -> str:
        shown: list[str] = []
        while (match := _TOKEN.search(self._seen, self._done)) is not None:
            shown.append(self._seen[self._done : match.start()])
            self._done = match.start()
            end = self._end(match, final=final)
            if end is None:
                return "".join(shown)
            shown.append(self._marker(match) if match["marker"] else self._seen[self._done : end])
            self._done = end
        shown.append(self._seen[self._done :])
        self._done = len(self._seen)
        return "".join(shown)

    def _end(self, match: re.Match[str], *, final: bool) -> int | None:
        """Where a token ends; None while that, or what it means, depends on what comes."""
        if match.end() == len(self._seen) and not final:
            return None
        return self._end_of_code(match, final=final) if match["ticks"] or match["tildes"] else match.end()

    def _marker(self, match: re.Match[str]) -> str:
        index = int(match["number"]) - 1
        if not 0 <= index < len(self._hits):
            return ""
        number = self._numbers.setdefault(index, len(self._numbers) + 1)
        return match[0].replace(f"[{match['number']}]", f"[{number}]")

    def _end_of_code(self, match: re.Match[str], *, final: bool) -> int | None:
        """The end of a code span or fenced block; of a run that opens none, its own end."""
        line = self._seen.rfind("\n", 0, match.start()) + 1
        fence = _FENCE.match(self._seen, line)
        if fence and fence.start(1) == match.start():
            closing = re.compile(rf"\n[ \t>]*{re.escape(fence[1])}{fence[1][0]}*[ \t]*(?=\n|\Z)")
            closed = closing.search(self._seen, match.end())
            if closed and (final or closed.end() < len(self._seen)):
                return closed.end()
            return len(self._seen) if final else None
        if match["tildes"]:
            return match.end()
        return self._end_of_span(match, final=final)

    def _end_of_span(self, match: re.Match[str], *, final: bool) -> int | None:
        paragraph = self._seen.find("\n\n", match.end())
        stop = len(self._seen) if paragraph < 0 else paragraph
        closed = re.compile(rf"(?<!`){match[0]}(?!`)").search(self._seen, match.end(), stop)
        if closed and (final or closed.end() < len(self._seen)):
            return closed.end()
        return match.end() if final or paragraph >= 0 else None
