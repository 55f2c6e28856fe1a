"""Circuit breaker for one server: after repeated failures it is not asked until a pause has passed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FAILURES = 3
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 120.0


class Breaker:
    """Opens after three failed replies in a row. After a pause one reply may try; if it fails, the pause doubles.

    The state belongs to one process: every process finds out by itself that a server is down.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pauses = 0
        self._paused_until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES

    @property
    def pause(self) -> float:
        """Seconds until the next reply may try the server; 0 when closed."""
        return max(0.0, self._paused_until - self._clock()) if self.is_open else 0.0

    @property
    def lets_in(self) -> bool:
        """Whether a reply may be requested: always while closed, one at a time after the pause while open."""
        return not self.is_open or (not self._probing and self.pause == 0)

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """Wraps one reply; call it only while ``lets_in``. A reply without a result (the user went away) is not counted."""
        probe = self.is_open
        self._probing = self._probing or probe
        try:
            yield Trial(self, probe=probe)
        finally:
            # Also when the reader went away without a result: otherwise no reply would ever probe again.
            if probe:
                self._probing = False

    def close(self) -> None:
        """Resets all counts: the server answered."""
        self._failures = self._pauses = 0

    def count_failure(self, *, probe: bool) -> None:
        """Counts one failed reply, and starts a pause when the breaker is open after it."""
        if self.is_open and not probe:
            return  # it began before the breaker opened: counting it would lengthen the pause for the same outage
        self._failures += 1
        if self.is_open:
            pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self._pauses, 10)  # bounded: 2.0 ** 1024 raises OverflowError
            self._paused_until = self._clock() + min(LONGEST_PAUSE_SECONDS, pause)
            self._pauses += 1


class Trial:
    """Reports the result of one reply to its breaker."""

    def __init__(self, breaker: Breaker, *, probe: bool) -> None:
        self._breaker = breaker
        self._probe = probe

    def worked(self) -> None:
        self._breaker.close()

    def failed(self) -> None:
        self._breaker.count_failure(probe=self._probe)
