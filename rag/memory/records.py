"""What the stores of memory share: its error, and values that sort by time without being parsed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from redis.exceptions import RedisError

from rag.errors import MemoryUnavailable

STAMP = 20
"""Characters before each JSON: a time in microseconds."""


def stamp(moment: datetime) -> bytes:
    """The first ``STAMP`` characters of a value."""
    return f"{int(moment.timestamp() * 1_000_000):0{STAMP}d}".encode()


@contextmanager
def mapped() -> Iterator[None]:
    """Redis's errors as ``MemoryUnavailable``."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise MemoryUnavailable("Redis does not answer; the conversation's memory returns when it does") from error
