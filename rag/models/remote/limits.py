"""How long one reply may take, and how its time is shared among servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rag.settings import ModelSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Moments on the loop's clock: until the first word, and until the last; ``gap`` is seconds between two pieces."""

    first: float
    last: float
    gap: float

    @classmethod
    def begin(cls, settings: ModelSettings) -> Limits:
        now = asyncio.get_running_loop().time()
        last = now + settings.deadline_seconds
        return cls(first=min(last, now + settings.first_token_seconds), last=last, gap=settings.token_seconds)

    def share(self, servers: int) -> Limits:
        """For the next of so many servers that are still to be tried: one that hangs leaves time for those after it."""
        now = asyncio.get_running_loop().time()
        return Limits(first=now + max(0.0, self.first - now) / servers, last=self.last, gap=self.gap)

    def next_piece(self) -> float:
        """Until when the next piece must be there, once the first word was."""
        return min(self.last, asyncio.get_running_loop().time() + self.gap)

    def allows(self, pause: float) -> bool:
        """Whether a pause of so many seconds leaves time for a first word."""
        return asyncio.get_running_loop().time() + pause < self.first
