"""Processes of a benchmark: started with a clean environment, waited for, and ended by their own id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

COTORRA = Path(sys.executable).with_name("cotorra")
START_SECONDS = 120.0


class Process:
    """One child with its standard error in a file."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._command = list(command)
        self._environ = {**clean_environment(), **environ}
        self._log = folder / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(self._command, env=self._environ, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        assert self._child is not None
        self._child.kill()
        self._child.wait(10)

    def stop(self, seconds: float = 40.0) -> None:
        """SIGTERM; SIGKILL when it does not end in time."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_for(self, url: str, seconds: float = START_SECONDS) -> float:
        """Seconds until ``url`` answers 200. Raises ``RuntimeError`` with the end of its log when it does not."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if not self.alive():
                break
            if answers(url):
                return time.monotonic() - began
            time.sleep(0.01)
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{self.name} did not answer at {url}:\n{tail}")

    def memory_mib(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def clean_environment() -> dict[str, str]:
    """The caller's environment without any setting of ours, so that a developer's own tokens stay out."""
    names = ("COTORRA_", "SLACK_", "TELEGRAM_", "REDIS_", "QDRANT_", "DATABASE_", "OPENAI_")
    return {name: value for name, value in os.environ.items() if not name.startswith(names)}


def answers(url: str) -> bool:
    """Whether a GET gives 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - a loopback address of our own
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
