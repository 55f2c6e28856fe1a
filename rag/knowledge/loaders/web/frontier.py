"""The addresses that are still to be read, in the order in which they were found, each once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

CLICKS = 50
"""Links from the start page; a calendar's "next month" goes on for ever."""
HOPS = 5
"""Redirects one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """``listed`` says that a sitemap names it, so that it is worth a line when it cannot be read."""

    address: str
    clicks: int = 0
    hops: int = 0
    listed: bool = False
    updated: datetime | None = None


class Frontier:
    """First found, first read. ``cut`` says that something was left out."""

    def __init__(self, pages: int) -> None:
        self._most = 2 * pages + 20
        self._waiting: deque[Wanted] = deque()
        self._seen: set[str] = set()
        self.cut = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def enter(self, wanted: Wanted) -> None:
        """This one is being read already."""
        self._seen.add(wanted.address)

    def add(self, wanted: Wanted) -> None:
        """Passed over when it was found before. Redirects and copies are no pages, so twice as many may be asked for."""
        if wanted.address in self._seen:
            return
        if wanted.clicks > CLICKS or len(self._seen) >= self._most:
            self.cut = True
            return
        self._seen.add(wanted.address)
        self._waiting.append(wanted)

    def next(self) -> Wanted | None:
        """The one that was found first of those that were not read yet."""
        return self._waiting.popleft() if self._waiting else None
