"""Shows the progress of a sync: bars with rate and remaining time on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bots.desk.seam import SyncedSource, SyncEvent, SyncProgress

LINE_SECONDS = 5.0
RATE_SECONDS = 30.0
"""The period of which rates are computed. Short, because unchanged documents pass a thousand times faster than new ones."""


class SyncScreen(Protocol):
    """Receives every event. Writes to standard error only: standard output is for the result."""

    def show(self, event: SyncEvent) -> None: ...


@contextmanager
def sync_screen(*, quiet: bool = False) -> Iterator[SyncScreen]:
    """The screen that fits standard error. ``quiet``, for programs: nothing except on a terminal."""
    console = Console(stderr=True)
    if console.is_terminal:
        with bars_on(console) as progress:
            yield Bars(progress)
    else:
        yield Silence() if quiet else Lines()


def bars_on(console: Console) -> Progress:
    """A display of bars, which disappear at the end."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        speed_estimate_period=RATE_SECONDS,
    )


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


class Bars:
    """A bar for each source; it disappears when the source is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._announced_waits: set[str] = set()

    def show(self, event: SyncEvent) -> None:
        bar = self._bars.get(event.source)
        if bar is None:
            bar = self._bars[event.source] = self._progress.add_task(event.source, total=None)
        if isinstance(event, SyncedSource):
            self._progress.update(bar, total=1, completed=1, visible=False)
            return
        if event.waiting and event.source not in self._announced_waits:
            self._announced_waits.add(event.source)
            self._progress.console.print(waiting_line(event.source))
        # A total of None draws a moving bar: how many documents there are is not known yet.
        self._progress.update(bar, total=event.total or None, completed=event.done)


class Lines:
    """A line every few seconds, however many documents there are."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._next = clock() + LINE_SECONDS
        self._paces: dict[str, Pace] = {}
        self._announced_waits: set[str] = set()

    def show(self, event: SyncEvent) -> None:
        if isinstance(event, SyncedSource):
            return
        if event.waiting and event.source not in self._announced_waits:
            self._announced_waits.add(event.source)
            print(waiting_line(event.source), file=sys.stderr, flush=True)
        # Sampled at every event, not only when a line is due: the rate needs them all.
        now = self._clock()
        pace = self._paces.setdefault(event.source, Pace())
        pace.note(now, event.done)
        if now >= self._next and event.total:
            self._next = now + LINE_SECONDS
            print(progress_line(event, pace.rate), file=sys.stderr, flush=True)


class Silence:
    """Shows nothing."""

    def show(self, event: SyncEvent) -> None:
        """Nothing."""


class Pace:
    """Documents a second over the last half minute."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, now: float, done: int) -> None:
        """Notes that ``done`` documents were done at ``now`` (seconds)."""
        if self._samples and done < self._samples[-1][1]:  # a new sync of the source began
            self._samples.clear()
        self._samples.append((now, done))
        while now - self._samples[0][0] > RATE_SECONDS:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Documents a second; 0 with fewer than two samples."""
        (start, first), (stop, last) = self._samples[0], self._samples[-1]
        return (last - first) / (stop - start) if stop > start else 0.0


def waiting_line(source: str) -> str:
    """Says that an earlier sync must end first."""
    return f"{source}: a sync is under way; this one begins when it has ended"


def progress_line(event: SyncProgress, rate: float) -> str:
    """Documents done, and with a known rate also the rate and the remaining time."""
    line = f"{event.source}: {event.done} of {event.total} documents"
    if rate:
        line += f", {rate:.1f} a second, {_duration(max(0, event.total - event.done) / rate)} left"
    return line


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
