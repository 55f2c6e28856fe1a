"""Conversion of what others made, in a process of its own: it may hang, crash or eat memory, and the others are read."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rag.errors import KnowledgeError
from rag.knowledge.loaders.kinds import LARGEST_TEXT, Kind

START_SECONDS = 120
"""For the first import of the libraries on a busy machine; it takes one to two seconds on an idle one."""
LARGEST_ANSWER = 200_000_000
_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A document as Markdown. ``title`` is the one that the file names apart from its text, or empty."""

    markdown: str
    title: str = ""


class Converter:
    """One child process, started when it is first needed, kept for the next file, replaced when it fails.

    ``seconds`` is the time for one file, ``memory`` (bytes) the child's address space; it ends by itself when it was
    idle for ``idle`` seconds or when this process ends. Safe to use from several threads, one file at a time.
    """

    def __init__(self, *, seconds: float = 60, memory: int = 2_000_000_000, idle: float = 30) -> None:
        self._seconds = seconds
        self._memory = memory
        self._idle = idle
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._rest: threading.Timer | None = None

    def convert(self, kind: Kind, content: bytes, *, url: str = "", charset: str = "") -> Converted:
        """Blocking. ``url`` makes links of a page absolute, ``charset`` is what its server said.

        Raises ``KnowledgeError`` with the reason why the document cannot be read.
        """
        with self._lock:
            self._wake()
            try:
                answer = self._exchange({"kind": kind, "url": url, "charset": charset}, content)
            finally:
                self._sleep()
        if error := answer.get("error"):
            raise KnowledgeError(error)
        if len(answer["markdown"]) > LARGEST_TEXT:
            raise KnowledgeError(
                f"has {len(answer['markdown']) / 1e6:.0f} million characters of text; at most "
                f"{LARGEST_TEXT // 1_000_000} million are read: split it"
            )
        return Converted(markdown=answer["markdown"], title=answer["title"])

    def close(self) -> None:
        """Ends the child; a later ``convert`` starts another."""
        with self._lock:
            self._wake()
            self._end()

    def _exchange(self, request: dict[str, str], content: bytes) -> dict[str, str]:
        process = self._process = self._process or self._started()
        stage = "start"
        try:
            with _killing(process, START_SECONDS) as expired:
                _send(process, json.dumps(request).encode())
                _send(process, content)
                _receive(process)
            stage = "read"
            with _killing(process, self._seconds) as expired:
                answer: dict[str, str] = json.loads(_receive(process))
        except (OSError, EOFError, ValueError) as error:
            self._end()
            raise KnowledgeError(self._failure(stage, expired.is_set(), process.returncode)) from error
        if answer.get("last"):
            self._end()
        return answer

    def _failure(self, stage: str, late: bool, status: int) -> str:
        if stage == "start":
            return f"could not be converted: the converter did not start (status {status}); see that it has memory"
        if late:
            return f"took longer than {self._seconds:g} seconds to convert; split it, or save it as Markdown"
        return f"broke its converter (status {status}); open it, save it again, or save it as Markdown"

    def _started(self) -> subprocess.Popen[bytes]:
        """The child gets no variable that may hold a secret, and the packages from where this process has them."""
        home = Path(__file__).parents[4]
        kept = {name: value for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if (value := os.environ.get(name))}
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "rag.knowledge.loaders.conversion.child", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, "PYTHONPATH": str(home), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # a Ctrl-C at the terminal is for this process, which ends the child in order
        )

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _sleep(self) -> None:
        self._rest = threading.Timer(self._idle, self.close)
        self._rest.daemon = True
        self._rest.start()


@contextmanager
def _killing(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kills the process after that time, which ends whatever waits for it; says so by the event."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        process.kill()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _send(process: subprocess.Popen[bytes], message: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
    process.stdin.write(_LENGTH.pack(len(message)) + message)
    process.stdin.flush()


def _receive(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    (length,) = _LENGTH.unpack(_exactly(process, _LENGTH.size))
    if length > LARGEST_ANSWER:
        raise ValueError(length)
    return _exactly(process, length)


def _exactly(process: subprocess.Popen[bytes], length: int) -> bytes:
    assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    content = process.stdout.read(length)
    if len(content) != length:
        raise EOFError
    return content
