"""Leaves a server alone that failed again and again, and tries it once more after a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FAILURES = 3
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 120.0


class Breaker:
    """Opens after three failed replies in a row; after a pause one reply may try, and the pause doubles when that fails.

    One process, one state: processes learn of a dead server each for itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._rounds = 0
        self._until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES

    @property
    def pause(self) -> float:
        """Seconds for which the server is still left alone."""
        return max(0.0, self._until - self._clock()) if self.is_open else 0.0

    @property
    def lets_in(self) -> bool:
        """Whether a reply may be asked for: any number of them, or when open one at a time after the pause."""
        return not self.is_open or (not self._probing and self.pause == 0)

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """One reply; only while ``lets_in``. Left without a verdict (the user went away), it counts for nothing."""
        probe = self.is_open
        self._probing = self._probing or probe
        try:
            yield Trial(self, probe=probe)
        finally:
            if probe:
                self._probing = False

    def close(self) -> None:
        """The server answered."""
        self._failures = self._rounds = 0

    def count_failure(self, *, probe: bool) -> None:
        """Replies that began before it opened, and fail after that, tell nothing new."""
        if self.is_open and not probe:
            return
        self._failures += 1
        if self.is_open:
            pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self._rounds, 10)
            self._until = self._clock() + min(LONGEST_PAUSE_SECONDS, pause)
            self._rounds += 1


class Trial:
    """What became of one reply, told to its breaker."""

    def __init__(self, breaker: Breaker, *, probe: bool) -> None:
        self._breaker = breaker
        self._probe = probe

    def worked(self) -> None:
        self._breaker.close()

    def failed(self) -> None:
        self._breaker.count_failure(probe=self._probe)
