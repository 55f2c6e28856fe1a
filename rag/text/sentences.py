"""Splits text into sentences, for English, Spanish and languages with the same punctuation."""

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
    """The sentences of a paragraph, word for word; line breaks become spaces."""
    text = " ".join(text.split())
    # punctuation within code ends no sentence
    code = [match.span() for match in _CODE.finditer(text)]
    result, start = [], 0
    for end in (match.end() for match in END.finditer(text)):
        if not _is_inside(code, end) and is_border(text, start, end):
            result.append(text[start:end])
            start = end + 1
    return [*result, text[start:]] if text[start:] else result


def _is_inside(spans: list[tuple[int, int]], place: int) -> bool:
    before = bisect_left(spans, (place, 0)) - 1
    return before >= 0 and place < spans[before][1]


def is_border(text: str, start: int, end: int) -> bool:
    """Whether the punctuation before ``end`` ends the sentence that begins at ``start``.

    It does not after an abbreviation, nor if the next word begins in lower case.
    """
    if not STARTS.match(text, end + 1):
        return False
    # 12 characters hold the longest abbreviation; searching the whole sentence again for each stop would be quadratic
    return text[end - 1] != "." or not _ABBREVIATION.search(text[max(start, end - 12) : end])
