"""Slack's rate limits: they hold for a method in a workspace, and for ``chat.postMessage`` in a channel."""

from __future__ import annotations

import time
from collections.abc import Callable

# About one message a second in each channel (docs.slack.dev): a limit in one must not hold up the others.
_PER_CHANNEL = frozenset({"chat.postMessage"})


class Pacing:
    """Remembers every ``Retry-After``. One process serves one workspace, so the workspace needs no name here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def wait(self, method: str, channel: str) -> float:
        """Seconds until ``method`` may be called; 0 for at once."""
        key = _key(method, channel)
        left = self._until.get(key, 0.0) - self._clock()
        if left <= 0:
            self._until.pop(key, None)
        return max(0.0, left)

    def note_limit(self, method: str, channel: str, seconds: float) -> None:
        """Slack answered that ``method`` must not be called for ``seconds``."""
        key = _key(method, channel)
        self._until[key] = max(self._until.get(key, 0.0), self._clock() + seconds)


def _key(method: str, channel: str) -> tuple[str, str]:
    return method, channel if method in _PER_CHANNEL else ""
