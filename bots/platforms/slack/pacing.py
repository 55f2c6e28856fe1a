"""When Slack may be called again: its limits hold per method and workspace, for ``chat.postMessage`` per channel."""

from __future__ import annotations

import time
from collections.abc import Callable

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

    def limited(self, method: str, channel: str, seconds: float) -> None:
        """Slack asked for ``seconds`` of silence."""
        key = _key(method, channel)
        self._until[key] = max(self._until.get(key, 0.0), self._clock() + seconds)


def _key(method: str, channel: str) -> tuple[str, str]:
    return method, channel if method in _PER_CHANNEL else ""
