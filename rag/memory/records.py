"""What the stores of memory share: values that sort by time without being parsed."""

from __future__ import annotations

from datetime import datetime

STAMP = 20
"""Characters before each JSON: a time in microseconds."""

CONSEQUENCE = "the conversation's memory returns when it does"
"""What the user of a store of memory is told when Redis does not answer."""


def stamp(moment: datetime) -> bytes:
    """The first ``STAMP`` characters of a value."""
    return f"{int(moment.timestamp() * 1_000_000):0{STAMP}d}".encode()
