"""Splits a text into messages of at most 4,096 UTF-16 units; Telegram counts the text without its markup."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bots.platforms.telegram.replying.formatting import Span, cut, to_html

LIMIT = 4096
_BREAKS = tuple(re.compile(pattern) for pattern in (r"\n[ \t]*\n", r"\n", r"(?<=[.!?…。！？])[)\"'»”]?\s", r"\s"))
"""Where to cut, best first: paragraph, line, sentence, word."""
_JOINERS = "\u200d\ufe0e\ufe0f\u20e3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One message. ``plain`` is the same text without markup, in case Telegram refuses the markup."""

    html: str
    plain: str


def split(spans: Sequence[Span], limit: int = LIMIT) -> list[Piece]:
    """The pieces in reading order; a text of white space only has none."""
    text = "".join(span.text for span in spans)
    return [Piece(html=to_html(cut(spans, start, end)), plain=text[start:end]) for start, end in _ranges(text, limit)]


def _ranges(text: str, limit: int) -> Iterator[tuple[int, int]]:
    start = _skip(text, 0)
    while start < len(text):
        end = _reach(text, start, limit)
        if end < len(text):
            end = _break(text, start, end)
        yield start, start + len(text[start:end].rstrip())
        start = _skip(text, end)


def _skip(text: str, start: int) -> int:
    """The offset after empty lines and a single space, but before the indentation of the next line of code."""
    rest = text[start:]
    if not rest.strip():
        return len(text)
    blank = re.match(r"(?:[ \t]*\n)+|[ \t](?=\S)", rest)
    return start + (blank.end() if blank else 0)


def _reach(text: str, start: int, limit: int) -> int:
    """The furthest offset that keeps to ``limit`` UTF-16 units; Telegram counts everything beyond the BMP twice."""
    end = min(len(text), start + limit)
    units = len(text[start:end]) + sum(char > "\uffff" for char in text[start:end])
    while units > limit:
        end -= 1
        units -= 2 if text[end] > "\uffff" else 1
    return end


def _break(text: str, start: int, end: int) -> int:
    """The best place at or before ``end``. A break in the first quarter leaves too short a message: the next kind is tried."""
    window = text[start : end + 1]
    least = len(window) // 4
    for pattern in _BREAKS:
        places = [match.start() if match.group().isspace() else match.end() - 1 for match in pattern.finditer(window)]
        if places and places[-1] > least:
            return start + places[-1]
    return _between_characters(text, start, end)


def _between_characters(text: str, start: int, end: int) -> int:
    """A place that does not cut a visible character in two (accents, skin tones, emoji families), within 32 characters."""
    for place in range(end, max(start, end - 32), -1):
        char, before = text[place], text[place - 1]
        if not (unicodedata.combining(char) or char in _JOINERS or before == "\u200d" or "🏻" <= char <= "🏿"):
            return place
    return end
