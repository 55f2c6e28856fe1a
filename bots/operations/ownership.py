"""Ownership of a ``COTORRA_HOME``: one process at a time has it, since only one can open the embedded index."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

from bots.errors import AlreadyRunning, BotsError

SOCKET_PATH_LIMIT = 100
"""Bytes of a Unix socket's path. Linux allows 107; the rest is for a temporary suffix."""


class Ownership:
    """An exclusive lock on a home; released by the kernel when its process dies, however it dies."""

    def __init__(self, home: Path) -> None:
        self._file = home / "service.lock"
        self._descriptor: int | None = None

    def take(self) -> None:
        """Takes the lock. Raises ``AlreadyRunning``."""
        if not self.try_take():
            raise AlreadyRunning(
                f"another Cotorra process owns {self._file.parent}; stop it, use `cotorra worker` with REDIS_URL and "
                "QDRANT_URL for more processes, or set COTORRA_HOME to another folder"
            )

    def try_take(self) -> bool:
        """Takes the lock if it is free; True if it did. Raises ``BotsError`` where the home cannot be written."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Not inherited by child processes: a private Redis that lives on would keep the home owned.
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BotsError(
                f"{self._file.parent} cannot be written ({error.strerror}); make it writable or set COTORRA_HOME to a "
                "folder that is"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Releases the lock; safe to call twice."""
        # The file stays: to delete it would let two processes lock two files of the same name.
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def control_socket(home: Path) -> Path:
    """Where the owner of ``home`` listens for commands: in the home, or under the temporary folder if that is too long."""
    inside = home / "control.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"cotorra-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "control.sock"
