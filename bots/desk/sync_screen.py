"""What a person sees while a sync goes on: bars with rate and time left on a terminal, a line now and then elsewhere."""

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
"""What rates and times left are estimated from: unchanged documents pass a thousand times faster than new ones."""


class SyncScreen(Protocol):
    """Told of every event; shows what it likes of them, never on standard output."""

    def show(self, event: SyncEvent) -> None: ...


@contextmanager
def sync_screen(*, quiet: bool = False) -> Iterator[SyncScreen]:
    """The screen that standard error allows. ``quiet`` for programs: nothing but on a terminal."""
    console = Console(stderr=True)
    if console.is_terminal:
        with bars_on(console) as progress:
            yield Bars(progress)
    else:
        yield Silence() if quiet else Lines()


def bars_on(console: Console) -> Progress:
    """Room for bars, which go when all is done."""
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
    """A bar a source, and a finished one while others go on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._waits: set[str] = set()

    def show(self, event: SyncEvent) -> None:
        bar = self._bars.get(event.source)
        if bar is None:
            bar = self._bars[event.source] = self._progress.add_task(event.source, total=None)
        if isinstance(event, SyncedSource):
            self._progress.update(bar, total=1, completed=1, visible=False)
            return
        if event.waiting and event.source not in self._waits:
            self._waits.add(event.source)
            self._progress.console.print(waiting_line(event.source))
        self._progress.update(bar, total=event.total or None, completed=event.done)


class Lines:
    """A line every few seconds, whatever the number of documents."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._next = clock() + LINE_SECONDS
        self._paces: dict[str, Pace] = {}
        self._waits: set[str] = set()

    def show(self, event: SyncEvent) -> None:
        if isinstance(event, SyncedSource):
            return
        if event.waiting and event.source not in self._waits:
            self._waits.add(event.source)
            print(waiting_line(event.source), file=sys.stderr, flush=True)
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
        self._noted: deque[tuple[float, int]] = deque()

    def note(self, now: float, done: int) -> None:
        """At ``now`` (seconds), ``done`` documents were done."""
        if self._noted and done < self._noted[-1][1]:  # it began anew
            self._noted.clear()
        self._noted.append((now, done))
        while now - self._noted[0][0] > RATE_SECONDS:
            self._noted.popleft()

    @property
    def rate(self) -> float:
        """0 while nothing can be said."""
        (began, first), (ended, last) = self._noted[0], self._noted[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


def waiting_line(source: str) -> str:
    """That somebody else's sync comes first."""
    return f"{source}: a sync is under way; this one begins when it has ended"


def progress_line(event: SyncProgress, rate: float) -> str:
    """How far, how fast, and how long it will take, as far as that can be said."""
    line = f"{event.source}: {event.done} of {event.total} documents"
    if rate:
        line += f", {rate:.1f} a second, {_duration(max(0, event.total - event.done) / rate)} left"
    return line


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
