"""Fixtures that every test may take. Servers are real; the environment names them, or they are started here."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from bots.keys import Keys
from bots.operations.private_redis import packaged_server
from rag.store.client import connect
from tests.models.trained import SECONDS, Trained


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server of this test session, or the one that COTORRA_TEST_REDIS_URL names (it is flushed).

    Tests that run in parallel get a database each of the one that is named.
    """
    if given := os.environ.get("COTORRA_TEST_REDIS_URL"):
        yield database_of_this_worker(given)
        return
    folder = Path(tempfile.mkdtemp(prefix="cotorra-test-"))
    path = folder / "redis.sock"
    command = [
        str(packaged_server()),
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--unixsocketperm",
        "700",
        "--save",
        "",
    ]
    with subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL) as server:
        url = f"unix://{path}"
        with BlockingRedis.from_url(url, retry=Retry(ConstantBackoff(0.01), 1000)) as client:
            client.ping()
        yield url
        server.terminate()
    shutil.rmtree(folder, ignore_errors=True)


def database_of_this_worker(url: str) -> str:
    """The same server, and the database whose number is the one that it names plus this worker's (0 without workers)."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return url if not worker else f"{url}{'&' if parts.query else '?'}db={worker}"
    return urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + worker}"))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """An asyncio client (bytes, as in the service) on an empty database."""
    async with connect(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
def keys() -> Keys:
    """Keys below a prefix of this test's own."""
    return Keys(f"test-{secrets.token_hex(4)}")


@pytest.fixture(scope="session")
def trained() -> Trained:
    """The language model to test with; the first to ask on a machine waits until it is built."""
    return Trained.of_this_machine()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who may have to wait for the model's training is not given up before it is over."""
    for item in items:
        if "trained" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
