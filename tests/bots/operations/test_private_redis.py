"""The private Redis: one home, one server, and everything in it is still there afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from bots.errors import BotsError
from bots.operations.private_redis import PrivateRedis


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    PrivateRedis(tmp_path).stop()


def server_pid(home: Path) -> int:
    return int((home / "redis" / "redis.pid").read_text())


def kill(home: Path) -> None:
    """What a power cut does to the process: no file is tidied up."""
    os.kill(server_pid(home), signal.SIGKILL)


def test_it_listens_on_a_socket_of_its_owner_only_and_keeps_everything(home: Path) -> None:
    with Redis.from_url(PrivateRedis(home, "always").start()) as client:
        found = client.config_get()
        names = ("port", "appendonly", "appendfsync", "maxmemory-policy", "save")
        assert {name: found[name] for name in names} == {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
        }
    assert (home / "redis" / "redis.sock").stat().st_mode & 0o777 == 0o700
    assert (home / "redis").stat().st_mode & 0o777 == 0o700


def test_a_stop_and_a_start_keep_the_data(home: Path) -> None:
    server = PrivateRedis(home)
    with Redis.from_url(server.start()) as client:
        client.set("kept", "yes")
    server.stop()
    with Redis.from_url(server.start()) as client:
        assert client.get("kept") == b"yes"


def test_it_outlives_a_killed_parent_and_the_next_start_adopts_it(home: Path) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from redis import Redis
        from bots.operations.private_redis import PrivateRedis
        Redis.from_url(PrivateRedis(Path({str(home)!r}), "everysec").start()).set("kept", "yes")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    parent = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert parent.returncode == -signal.SIGKILL
    before = server_pid(home)
    with Redis.from_url(PrivateRedis(home, "always").start()) as client:
        assert server_pid(home) == before
        assert client.get("kept") == b"yes"
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_after_the_server_was_killed_a_start_clears_what_it_left_and_finds_the_data(home: Path) -> None:
    server = PrivateRedis(home)
    with Redis.from_url(server.start()) as client:
        client.set("kept", "yes")
    kill(home)
    assert (home / "redis" / "redis.sock").exists()
    with Redis.from_url(server.start()) as client:
        assert client.get("kept") == b"yes"


def test_a_file_torn_at_its_end_is_loaded_up_to_there(home: Path) -> None:
    server = PrivateRedis(home)
    with Redis.from_url(server.start()) as client:
        client.set("kept", "yes")
        client.set("torn", "x" * 100)
    kill(home)
    file = home / "redis" / "appendonly.aof"
    os.truncate(file, file.stat().st_size - 20)
    with Redis.from_url(server.start()) as client:
        assert client.get("kept") == b"yes"
        assert client.get("torn") is None


def test_a_file_damaged_in_its_middle_stops_the_start_with_what_redis_says(home: Path) -> None:
    server = PrivateRedis(home, patience=5)
    with Redis.from_url(server.start()) as client:
        client.set("one", "x" * 100)
        client.set("two", "x" * 100)
    kill(home)
    file = home / "redis" / "appendonly.aof"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"$100", b"!100", 1))
    with pytest.raises(BotsError, match=r"ended at once: .*[Bb]ad file format"):
        server.start()


def test_starts_at_the_same_moment_share_one_server(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        urls = {future.result() for future in [pool.submit(PrivateRedis(home).start) for _ in range(8)]}
    assert len(urls) == 1
    assert (home / "redis" / "redis.log").read_text().count("Redis is starting") == 1


def test_a_home_with_a_long_path_gets_a_socket_of_the_same_place_every_time(tmp_path: Path) -> None:
    home = tmp_path / ("deep/" * 20) / 'with "quotes" and spaces'
    server = PrivateRedis(home)
    try:
        url = server.start()
        assert len(url) < 100
        assert url.startswith(f"unix://{tempfile.gettempdir()}/cotorra-")
        assert PrivateRedis(home).start() == url
        assert (home / "redis" / "appendonly.aof").exists()
    finally:
        server.stop()


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "redis").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BotsError, match="is a link or belongs to somebody else"):
        PrivateRedis(tmp_path).start()


def test_a_server_that_cannot_be_reached_is_not_started_twice(home: Path) -> None:
    """A temporary-file cleaner took the socket away: a second server on the same file would destroy it."""
    server = PrivateRedis(home, patience=0.3)
    server.start()
    before = server_pid(home)
    (home / "redis" / "redis.sock").unlink()
    with pytest.raises(BotsError, match="does not answer"):
        server.start()
    assert server_pid(home) == before
    kill(home)


def test_stopping_what_does_not_run_does_nothing(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    server.start()
    server.stop()
    server.stop()
