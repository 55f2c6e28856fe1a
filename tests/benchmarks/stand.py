"""A test stand: a loopback Slack, what is measured, and loads from processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.judging import Json, Shown, replies
from tests.benchmarks.processes import COTORRA, Process, clean_environment, free_port

SECRET = "benchmark-signing-secret"
TOKEN = "xoxb-loopback"
CONVERSATIONS = 200
WAIT_SECONDS = 60.0


class Slack:
    """The loopback Slack as a process."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", "tests.loopback.slack", "--port", str(self._port)]
        self._process = Process("slack", command, {}, folder)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/"

    def __enter__(self) -> Slack:
        self._process.start()
        self._process.wait_for(f"http://127.0.0.1:{self._port}/_control/messages")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def replies(self) -> list[Shown]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/_control/messages", timeout=30) as response:
            return replies(json.load(response))

    def reset(self) -> None:
        url = f"http://127.0.0.1:{self._port}/_control/reset"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=30):
            pass

    def wait_for(self, threads: set[str], seconds: float = WAIT_SECONDS) -> list[Shown]:
        """The replies once every thread has a complete one, or after ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            shown = self.replies()
            answered = {reply.thread for reply in shown if reply.complete and reply.text.strip()}
            if threads <= answered or time.monotonic() >= deadline:
                return shown
            time.sleep(1.0)


class Loads:
    """Starts loads whose conversations and timestamps never meet those of an earlier one."""

    def __init__(self, folder: Path, texts: Sequence[str]) -> None:
        self._folder = folder
        self._texts = texts
        self._runs = 0
        self._first = 0

    def start(
        self, urls: Sequence[str], *, rate: float, count: int | None = None, conversations: int = CONVERSATIONS
    ) -> subprocess.Popen[str]:
        """``count`` events at ``rate`` a second (0: as fast as they are acknowledged); prints its record when it ends."""
        self._runs += 1
        file = self._folder / f"texts-{self._runs}.json"
        file.write_text(json.dumps(list(self._texts[:count])), encoding="utf-8")
        command = [sys.executable, "-m", "tests.benchmarks.slack_load", "--secret", SECRET, "--texts", str(file)]
        command += ["--conversations", str(conversations), "--first", str(self._first)]
        self._first += conversations
        command += ["--rate", str(rate), "--start", f"{time.time():.0f}"]
        for url in urls:
            command += ["--url", url]
        return subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True)

    def run(
        self, urls: Sequence[str], *, rate: float, count: int | None = None, conversations: int = CONVERSATIONS
    ) -> list[Json]:
        """The record of a whole load."""
        return finished(self.start(urls, rate=rate, count=count, conversations=conversations))


def finished(load: subprocess.Popen[str]) -> list[Json]:
    """Waits for a load to end and reads its record. Raises ``RuntimeError`` when it failed."""
    out, _ = load.communicate(timeout=1200)
    if load.returncode != 0:
        raise RuntimeError("the load failed")
    record: list[Json] = json.loads(out)
    return record


class Cotorra(Process):
    """A ``cotorra`` process with its health port."""

    def __init__(
        self, name: str, arguments: Sequence[str], environ: Mapping[str, str], folder: Path, port: int
    ) -> None:
        super().__init__(name, [str(COTORRA), *arguments], environ, folder)
        self.port = port

    @property
    def events_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/slack/events"

    def wait_ready(self) -> float:
        """Seconds until /readyz says yes."""
        return self.wait_for(f"http://127.0.0.1:{self.port}/readyz")

    def stage_means_ms(self) -> dict[str, float]:
        """The mean of each stage of the chain, from /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        sums = _by_stage(lines, "cotorra_stage_seconds_sum")
        counts = _by_stage(lines, "cotorra_stage_seconds_count")
        return {stage: round(1000 * sums[stage] / counts[stage], 2) for stage in sums if counts.get(stage)}


def _by_stage(lines: Sequence[str], name: str) -> dict[str, float]:
    found: dict[str, Any] = {}
    for line in lines:
        if line.startswith(name + "{"):
            found[line.split('stage="')[1].split('"')[0]] = float(line.rsplit(" ", 1)[1])
    return found


def slack_environment(slack: Slack) -> dict[str, str]:
    """Credentials for the loopback Slack over HTTP."""
    return {"SLACK_BOT_TOKEN": TOKEN, "SLACK_SIGNING_SECRET": SECRET, "SLACK_API_URL": slack.api_url}
