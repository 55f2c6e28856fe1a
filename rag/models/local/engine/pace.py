"""How fast a model reads and writes on this machine, as seen so far."""

from __future__ import annotations

PAUSE = 0.25
"""Seconds that replies under way may stand still while a prompt that joins them is read."""
_WEIGHT = 0.2
_FIRST, _LEAST, _MOST = 64, 16, 1024


class Pace:
    """Moving averages; None before the first measurement."""

    def __init__(self) -> None:
        self.read: float | None = None
        self.written: float | None = None
        self._share = 0.5

    def has_read(self, tokens: int, seconds: float) -> None:
        """A piece of a prompt took so long; tokens a second."""
        self.read = _averaged(self.read, tokens / max(seconds, 1e-6))

    def has_written(self, tokens: int, seconds: float) -> None:
        """One step gave so many rows a token."""
        self.written = _averaged(self.written, tokens / max(seconds, 1e-6))

    def has_ended(self, written: int, allowed: int) -> None:
        """A reply took this share of what it was allowed."""
        self._share = _averaged(self._share, written / allowed)

    @property
    def piece(self) -> int:
        """Tokens of a prompt that are read within ``PAUSE``."""
        return _FIRST if self.read is None else max(_LEAST, min(_MOST, int(self.read * PAUSE)))

    def seconds(self, prompts: int, answers: int) -> float | None:
        """For reading and writing so many tokens; ``answers`` counts what is allowed, not what is usual."""
        if self.read is None or self.written is None:
            return None
        return prompts / self.read + answers * self._share / self.written


def _averaged(old: float | None, new: float) -> float:
    return new if old is None else old + _WEIGHT * (new - old)
