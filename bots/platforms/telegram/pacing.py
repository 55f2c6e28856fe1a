"""Paces writes to chats: Telegram allows about one message a second in a chat and twenty a minute in a group."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

Clock = Callable[[], float]
"""Seconds since whenever."""

_CHATS = 10_000
"""Number of chats whose pace is stored; the least recently used one is dropped first."""
_STRAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every duration of the platform, in seconds; tests shorten them.

    ``private`` and ``group`` lie between two writes to a chat; ``typing`` shows for 5 s at Telegram, so it is repeated
    before; ``patience`` is the longest RetryAfter that is slept through; ``pause`` is the first back-off after an error;
    ``lease`` is how long the right to poll outlives its holder.
    """

    private: float = 1.1
    group: float = 3.1
    typing: float = 4.5
    typing_limit: float = 60.0
    patience: float = 30.0
    pause: float = 0.5
    longest_pause: float = 30.0
    lease: float = 8.0
    long_poll: int = 25


class Pace:
    """The pace of one chat. A final text may be sent one interval early; the writes after it wait longer instead."""

    __slots__ = ("_clock", "_interval", "_next", "_strained_until")

    def __init__(self, interval: float, clock: Clock) -> None:
        self._interval = interval
        self._clock = clock
        self._next = 0.0
        self._strained_until = 0.0

    def free(self) -> bool:
        """Whether an intermediate state may be written now."""
        return self._clock() >= self._next

    async def wait_turn(self) -> None:
        """Waits until a final text may be written; usually that is at once, so that the pace delays no answer."""
        ahead = 0.0 if self._strained() else self._interval
        wait = self._next - ahead - self._clock()
        if wait > 0:
            await asyncio.sleep(wait)

    def note_write(self) -> None:
        """Counts a write; for a minute after a RetryAfter the interval is doubled."""
        step = self._interval * (2 if self._strained() else 1)
        self._next = max(self._next, self._clock()) + step

    def postpone(self, seconds: float) -> None:
        """Telegram asked for ``seconds`` of silence in this chat."""
        now = self._clock()
        self._next = max(self._next, now + seconds)
        self._strained_until = now + seconds + _STRAIN_SECONDS

    def _strained(self) -> bool:
        return self._clock() < self._strained_until


class Pacing:
    """The paces of all chats to which this process writes."""

    def __init__(self, timing: Timing, clock: Clock = monotonic) -> None:
        self._timing = timing
        self._clock = clock
        self._paces: OrderedDict[int, Pace] = OrderedDict()

    def of(self, chat: int) -> Pace:
        """Private chats have positive ids, groups negative ones."""
        interval = self._timing.private if chat > 0 else self._timing.group
        pace = self._paces.pop(chat, None) or Pace(interval, self._clock)
        self._paces[chat] = pace
        if len(self._paces) > _CHATS:
            self._paces.popitem(last=False)
        return pace
