"""What a person sees while a sync goes on: rate and time left, and never a line a document."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bots.desk.seam import SyncedSource, SyncProgress
from bots.desk.sync_screen import Bars, Lines, Pace, Silence, bars_on, progress_line, sync_screen


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_large_source_costs_a_line_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(clock)
    for done in range(1, 2001):
        clock.now = done / 100  # a hundred documents a second for twenty seconds
        lines.show(SyncProgress(source="kb", done=done, total=4000))
    lines.show(SyncedSource(source="kb", added=4000))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "kb: 500 of 4000 documents, 100.0 a second, 0:35 left",
        "kb: 1000 of 4000 documents, 100.0 a second, 0:30 left",
        "kb: 1500 of 4000 documents, 100.0 a second, 0:25 left",
        "kb: 2000 of 4000 documents, 100.0 a second, 0:20 left",
    ]


def test_the_time_left_follows_what_was_done_lately() -> None:
    pace = Pace()
    for second in range(10):
        pace.note(second, 1000 * second)  # unchanged ones
    for second in range(10, 60):
        pace.note(second, 9000 + second)
    assert pace.rate == pytest.approx(1.0, abs=0.1)
    assert progress_line(SyncProgress(source="kb", done=9059, total=16259), pace.rate).endswith(
        "1.0 a second, 2:00:00 left"
    )


def test_a_sync_that_begins_anew_has_a_pace_of_its_own() -> None:
    pace = Pace()
    pace.note(0, 0)
    pace.note(10, 500)
    pace.note(11, 0)
    assert pace.rate == 0.0
    pace.note(12, 3)
    assert pace.rate == 3.0


def test_who_has_to_wait_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Clock())
    for done in (1, 2):
        lines.show(SyncProgress(source="kb", done=done, total=3, waiting=True))
    assert capsys.readouterr().err.splitlines() == ["kb: a sync is under way; this one begins when it has ended"]


def test_a_terminal_shows_a_bar_with_rate_and_time_left() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with bars_on(console) as progress:
        bars = Bars(progress)
        bars.show(SyncProgress(source="kb", done=10, total=400))
        bars.show(SyncProgress(source="kb", done=20, total=400, waiting=True))
        bars.show(SyncProgress(source="kb", done=30, total=400))
        progress.refresh()
        bars.show(SyncedSource(source="kb", added=400))
    shown = screen.getvalue()
    assert "30/400" in shown
    assert "/s" in shown
    assert "a sync is under way" in shown


def test_a_program_that_reads_json_hears_nothing_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    with sync_screen(quiet=True) as screen:
        screen.show(SyncProgress(source="kb", done=1, total=2, waiting=True))
    assert isinstance(screen, Silence)
    assert capsys.readouterr() == ("", "")
