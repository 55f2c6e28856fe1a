"""Where a sentence ends, in running English and Spanish (and languages that write alike)."""

from __future__ import annotations

import re
from bisect import bisect_left

END = re.compile(r"[.!?…]+[\"'”’»)\]*_]*(?=\s+\S)")
_CODE = re.compile(r"(?<!`)(`++).+?(?<!`)\1(?!`)", re.DOTALL)
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|e\.g|i\.e|etc|vs|cf|approx|ca|incl|max|min|no|nos|nr|fig|sec|ch|vol|ed|dr|dra|mr|mrs|ms|prof|sr|sra"
    r"|srta|sres|st|inc|ltd|corp|co|dept|ud|uds|ej|p\.\s?ej|pág|págs|núm|art|aprox|máx|mín|ee\.\s?uu|av|tel|s\.a)\.)$",
    re.IGNORECASE,
)
STARTS = re.compile(r"[\"'“‘«(\[*_`]*[A-ZÀ-ÖØ-Þ\d¿¡`]")


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, word for word; line breaks within one become spaces."""
    text = " ".join(text.split())
    code = [match.span() for match in _CODE.finditer(text)]
    found, start = [], 0
    for end in (match.end() for match in END.finditer(text)):
        if not _is_inside(code, end) and is_border(text, start, end):
            found.append(text[start:end])
            start = end + 1
    return [*found, text[start:]] if text[start:] else found


def _is_inside(spans: list[tuple[int, int]], place: int) -> bool:
    before = bisect_left(spans, (place, 0)) - 1
    return before >= 0 and place < spans[before][1]


def is_border(text: str, start: int, end: int) -> bool:
    """A full stop ends a sentence unless it shortens a word or the next one goes on in small letters."""
    if not STARTS.match(text, end + 1):
        return False
    return text[end - 1] != "." or not _ABBREVIATION.search(text[max(start, end - 12) : end])
