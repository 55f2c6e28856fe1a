"""What a message costs the service's process in CPU time: first turns, and follow-ups of conversations of ten turns.

Another checkout can be measured in turn with this one, round by round, so that a noisy machine is noisy for both.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.judging import Json
from tests.benchmarks.processes import free_port
from tests.benchmarks.stand import Cotorra, Loads, Slack, slack_environment

RATE = 8.0
"""Messages a second: few enough that each is embedded alone, as in a quiet hour."""
TURNS = 10
WARM_UP = 40
IDLE_SECONDS = 4.0
TICKS = os.sysconf("SC_CLK_TCK")


def compared(slack: Slack, loads: Loads, folder: Path, count: int, rounds: int, other: Path | None) -> Json:
    """CPU milliseconds a message, for this checkout and perhaps another; medians over the rounds."""
    names: dict[str, Path | None] = {"ours": None} | ({"before": other} if other else {})
    seen: dict[str, list[Json]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, checkout in names.items():
            seen[name].append(_round(slack, loads, folder, count, name, checkout))
    return {name: _medians(found) | {"rounds": found} for name, found in seen.items()}


def _medians(rounds: Sequence[Json]) -> Json:
    return {key: round(statistics.median(one[key] for one in rounds), 2) for key in rounds[0]}


def _round(slack: Slack, loads: Loads, folder: Path, count: int, name: str, checkout: Path | None) -> Json:
    port = free_port()
    environ = {"COTORRA_HOME": str(folder / f"home-{name}"), "COTORRA_PORT": str(port), **slack_environment(slack)}
    if checkout is not None:
        environ["PYTHONPATH"] = str(checkout)
    service = Cotorra(f"cpu-{name}", ["serve"], environ, folder, port)
    with ExitStack() as stack:
        service.start()
        stack.callback(service.stop)
        service.wait_ready()
        _load(service, slack, loads, WARM_UP, WARM_UP)
        idle = _idle(service)
        first = _load(service, slack, loads, count, count, idle)
        whole = _load(service, slack, loads, count, count // TURNS, idle)
        follow_up = (whole * count - first * (count // TURNS)) / (count - count // TURNS)
    return {"first_ms": round(first, 2), "followup_ms": round(follow_up, 2), "idle_ms_per_s": round(idle, 2)}


def _idle(service: Cotorra) -> float:
    before = _cpu_ms(service.pid)
    time.sleep(IDLE_SECONDS)
    return (_cpu_ms(service.pid) - before) / IDLE_SECONDS


def _load(service: Cotorra, slack: Slack, loads: Loads, count: int, conversations: int, idle: float = 0.0) -> float:
    """CPU milliseconds a message, without what the process takes when nobody asks. Raises ``RuntimeError`` for a lost one."""
    slack.reset()
    began, before = time.monotonic(), _cpu_ms(service.pid)
    sent = loads.run([service.events_url], rate=RATE, count=count, conversations=conversations)
    threads = {one["ts"] for one in sent if one["acknowledged"]}
    shown = slack.wait_for(threads)
    spent = _cpu_ms(service.pid) - before - idle * (time.monotonic() - began)
    if len(threads) < count or not threads <= {reply.thread for reply in shown if reply.complete}:
        raise RuntimeError(f"{service.name}: not every message was answered; see its log")
    return spent / count


def _cpu_ms(pid: int) -> float:
    """User and system time of all threads of a process, in milliseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return 1000.0 * (int(fields[11]) + int(fields[12])) / TICKS
