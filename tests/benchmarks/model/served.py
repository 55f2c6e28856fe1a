"""The running service, started as its user would, asked through a loopback Slack, and what people there saw."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.judging import Shown
from tests.benchmarks.processes import free_port
from tests.benchmarks.stand import Cotorra, Loads, Slack, slack_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One whole reply; seconds since its question was first sent, to its first text and to its last."""

    text: str
    first_s: float
    full_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of some questions. ``lost``: acknowledged, but without a whole reply when the wait was over."""

    replies: tuple[Reply, ...]
    lost: int


def service(folder: Path, slack: Slack, environ: Mapping[str, str], name: str = "service") -> Cotorra:
    """``cotorra serve`` in a home of its own, with these settings; not started yet."""
    port = free_port()
    home = {"COTORRA_HOME": str(folder / name), "COTORRA_PORT": str(port)}
    return Cotorra(name, ["serve"], {**home, **slack_environment(slack), **environ}, folder, port)


def ask(slack: Slack, loads: Loads, one: Cotorra, *, rate: float, count: int | None, seconds: float) -> Asked:
    """Sends the load's questions, ``rate`` a second (0: all at once), and waits for the replies."""
    slack.reset()
    time.sleep(1.0)  # a load's messages are named by the second in which it starts
    sent = loads.run([one.events_url], rate=rate, count=count)
    began = {message["ts"]: message["first_sent"] for message in sent if message["acknowledged"]}
    by_thread: dict[str, list[Shown]] = defaultdict(list)
    for shown in slack.wait_for(set(began), seconds):
        by_thread[shown.thread].append(shown)
    whole = {ts: found for ts in began if (found := by_thread[ts]) and all(shown.complete for shown in found)}
    replies = tuple(_reply(found, began[ts]) for ts, found in whole.items())
    return Asked(replies=tuple(reply for reply in replies if reply is not None), lost=len(began) - len(whole))


def _reply(found: Sequence[Shown], began: float) -> Reply | None:
    states = [state for shown in found for state in zip(shown.states, shown.texts, strict=True) if state[1].strip()]
    if not states:
        return None
    return Reply(
        text="\n".join(shown.text for shown in found),
        first_s=min(at for at, _ in states) - began,
        full_s=max(at for at, _ in states) - began,
    )
