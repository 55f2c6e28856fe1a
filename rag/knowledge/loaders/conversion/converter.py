"""Converts files in a child process, so that a file that hangs, crashes or exhausts memory does not affect the others."""

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
"""Limit for the first import of the libraries, on a busy machine; an idle one needs one to two seconds."""
LARGEST_ANSWER = 200_000_000
_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A document as Markdown. ``title`` comes from the file's properties; "" if they have none.

    ``missing`` says which part of the file could not be read; "" if all was.
    """

    markdown: str
    title: str = ""
    missing: str = ""


class Converter:
    """Owns one child process, which is started on demand, reused for further files and replaced after a failure.

    ``seconds`` limits the time for one file, ``memory`` (bytes) the child's address space. The child ends after ``idle``
    seconds without a file, or with this process. Several threads may use it; it converts one file at a time.
    """

    def __init__(self, *, seconds: float = 60, memory: int = 2_000_000_000, idle: float = 30) -> None:
        self._seconds = seconds
        self._memory = memory
        self._idle = idle
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle_timer: threading.Timer | None = None

    def convert(self, kind: Kind, content: bytes, *, url: str = "", charset: str = "") -> Converted:
        """Converts one file to Markdown. Blocks. ``url`` makes the links of a page absolute; ``charset`` is its server's.

        Raises ``KnowledgeError`` with the reason why the document cannot be read.
        """
        with self._lock:
            self._cancel_idle_timer()
            try:
                answer = self._exchange({"kind": kind, "url": url, "charset": charset}, content)
            finally:
                self._start_idle_timer()
        if error := answer.get("error"):
            raise KnowledgeError(error)
        if len(answer["markdown"]) > LARGEST_TEXT:
            raise KnowledgeError(
                f"has {len(answer['markdown']) / 1e6:.0f} million characters of text; at most "
                f"{LARGEST_TEXT // 1_000_000} million are read: split it"
            )
        return Converted(markdown=answer["markdown"], title=answer["title"], missing=answer.get("missing", ""))

    def close(self) -> None:
        """Ends the child process; a later ``convert`` starts a new one."""
        with self._lock:
            self._cancel_idle_timer()
            self._end()

    def _exchange(self, request: dict[str, str], content: bytes) -> dict[str, str]:
        process = self._process = self._process or self._start()
        stage = "start"
        try:
            with _kill_after(process, START_SECONDS) as expired:
                _send(process, json.dumps(request).encode())
                _send(process, content)
                _receive(process)
            stage = "read"
            with _kill_after(process, self._seconds) as expired:
                answer: dict[str, str] = json.loads(_receive(process))
        except (OSError, EOFError, ValueError) as error:
            self._end()
            raise KnowledgeError(self._failure(stage, expired.is_set(), process.returncode)) from error
        if answer.get("last"):  # it ran out of memory: a new process starts with an empty heap
            self._end()
        return answer

    def _failure(self, stage: str, late: bool, status: int) -> str:
        if stage == "start":
            return f"could not be converted: the converter did not start (status {status}); see that it has memory"
        if late:
            return f"took longer than {self._seconds:g} seconds to convert; split it, or save it as Markdown"
        return f"broke its converter (status {status}); open it, save it again, or save it as Markdown"

    def _start(self) -> subprocess.Popen[bytes]:
        """Starts the child with few environment variables (none can hold a secret) and this installation's packages."""
        home = Path(__file__).parents[4]
        environment = {name: value for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if (value := os.environ.get(name))}
        return subprocess.Popen(  # noqa: S603 - our own module
            # -P: a file in the working directory must not be imported instead of a library.
            [sys.executable, "-P", "-m", "rag.knowledge.loaders.conversion.child", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, "PYTHONPATH": str(home), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C reaches only this process, which then ends the child
        )

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()  # also reaps the process and closes its pipes
            self._process = None

    def _cancel_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _start_idle_timer(self) -> None:
        self._idle_timer = threading.Timer(self._idle, self.close)
        self._idle_timer.daemon = True
        self._idle_timer.start()


@contextmanager
def _kill_after(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kills the process after ``seconds``, which ends a blocking read from it; the event tells that this happened."""
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
    (length,) = _LENGTH.unpack(_read_exactly(process, _LENGTH.size))
    if length > LARGEST_ANSWER:
        raise ValueError(length)
    return _read_exactly(process, length)


def _read_exactly(process: subprocess.Popen[bytes], length: int) -> bytes:
    assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    content = process.stdout.read(length)
    if len(content) != length:
        raise EOFError
    return content
