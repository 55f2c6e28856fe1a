"""Deadlines of one reply, and their division among several servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rag.settings import ModelSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Deadlines for the first piece and the last one, on the event loop's clock; ``gap`` is seconds between two pieces."""

    first: float
    last: float
    gap: float

    @classmethod
    def begin(cls, settings: ModelSettings) -> Limits:
        now = asyncio.get_running_loop().time()
        last = now + settings.deadline_seconds
        # The first piece cannot be allowed later than the whole reply.
        return cls(first=min(last, now + settings.first_token_seconds), last=last, gap=settings.token_seconds)

    def share(self, servers: int) -> Limits:
        """Limits for the next of ``servers`` servers: each gets an equal part of the time, so one that hangs leaves the rest."""
        now = asyncio.get_running_loop().time()
        return Limits(first=now + max(0.0, self.first - now) / servers, last=self.last, gap=self.gap)

    def next_piece(self) -> float:
        """The deadline for the next piece, after the first one."""
        return min(self.last, asyncio.get_running_loop().time() + self.gap)

    def allows(self, pause: float) -> bool:
        """Whether a pause of that many seconds ends before the deadline of the first piece."""
        return asyncio.get_running_loop().time() + pause < self.first
