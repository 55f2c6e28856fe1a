"""The common format of stored memory: JSON behind a time stamp, so that values sort by time without being parsed."""

from __future__ import annotations

from datetime import datetime

STAMP = 20
"""Characters of the time stamp before each JSON: microseconds since 1970, padded with zeros."""

CONSEQUENCE = "the conversation's memory returns when it does"
"""The end of the error message when Redis does not answer."""


def stamp(moment: datetime) -> bytes:
    """The time stamp that begins a value."""
    return f"{int(moment.timestamp() * 1_000_000):0{STAMP}d}".encode()
