"""Queue of the addresses that a crawl has still to read, in the order of discovery, each only once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

CLICKS = 50
"""The most links between the start page and a page; a calendar's "next month" never ends."""
HOPS = 5
"""The most redirects in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address to read. ``listed``: a sitemap or the source names it, so it is reported if it cannot be read."""

    address: str
    clicks: int = 0
    hops: int = 0
    listed: bool = False
    updated: datetime | None = None


class Frontier:
    """First in, first out. ``truncated`` tells that addresses were left out."""

    def __init__(self, pages: int) -> None:
        self._most = 2 * pages + 20  # redirects and copies are no pages of the source, so more addresses are allowed
        self._queue: deque[Target] = deque()
        self._addresses: set[str] = set()
        self.truncated = False

    def __bool__(self) -> bool:
        return bool(self._queue)

    def mark(self, target: Target) -> None:
        """Records an address that is read outside the queue."""
        self._addresses.add(target.address)

    def add(self, target: Target) -> None:
        """Adds an address unless it was added before or a limit is reached."""
        if target.address in self._addresses:
            return
        if target.clicks > CLICKS or len(self._addresses) >= self._most:
            self.truncated = True
            return
        self._addresses.add(target.address)
        self._queue.append(target)

    def next(self) -> Target | None:
        """Removes and returns the oldest address; None if the queue is empty."""
        return self._queue.popleft() if self._queue else None
