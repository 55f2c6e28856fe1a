"""Several worker processes over one Redis and one Qdrant server: they share a large source, and a killed one is replaced."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.library.runs import Runs
from rag.settings import QdrantSettings
from tests.benchmarks.processes import COTORRA, clean_environment
from tests.rag.collected import qdrant_server
from tests.waiting import until

DOCUMENTS = 40
PAGE = "# Page {number}\n\n" + "\n\n".join(
    f"## Section {section}\n\nPage {{number}} says in section {section} what nobody else says. " + "It goes on. " * 60
    for section in range(4)
)


@dataclass(slots=True)
class House:
    """A large source, and the processes that read it."""

    folder: Path
    redis_url: str
    qdrant: QdrantSettings
    processes: list[Process] = field(default_factory=list)

    def environment(self, name: str) -> dict[str, str]:
        return {
            **clean_environment(),
            "COTORRA_HOME": str(self.folder / name),
            "REDIS_URL": self.redis_url,
            "QDRANT_URL": self.qdrant.url or "",
            "COTORRA_QDRANT__COLLECTION": self.qdrant.collection,
            "COTORRA_WORKER__LEASE_SECONDS": "2",
            "COTORRA_PORT": "0",
        }

    async def start(self, command: str, name: str) -> Process:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                COTORRA, command, cwd=self.folder, env=self.environment(name), stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    async def cotorra(self, *arguments: str) -> tuple[int, str, str]:
        """A command on another host: its home is its own."""
        process = await asyncio.create_subprocess_exec(
            COTORRA,
            *arguments,
            cwd=self.folder,
            env=self.environment("elsewhere"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def house(tmp_path: Path, redis: Redis, redis_url: str) -> AsyncIterator[House]:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(DOCUMENTS):
        (docs / f"{number}.md").write_text(PAGE.format(number=number), encoding="utf-8")
    (tmp_path / "cotorra.toml").write_text('[[knowledge.sources]]\nname = "kb"\npath = "docs"\n', encoding="utf-8")
    with qdrant_server(tmp_path / "qdrant") as qdrant:
        house = House(folder=tmp_path, redis_url=redis_url, qdrant=qdrant)
        yield house
        for process in house.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_killed_worker_is_replaced_and_the_index_is_complete(house: House, redis: Redis) -> None:
    runs = Runs(redis, Keys())
    await house.start("worker", "one")
    await house.start("worker", "two")

    async def under_way() -> bool:
        state = await runs.state("kb")
        return state.running and state.done >= DOCUMENTS // 10

    await until(under_way, 250)
    planner = await _who_reads(house, redis)
    planner.send_signal(signal.SIGKILL)
    await planner.wait()

    async def complete() -> bool:
        return bool((await runs.state("kb")).succeeded)

    await until(complete, 250)
    status, out, err = await house.cotorra("sync", "--json")
    assert status == 0, err
    assert f'"unchanged": {DOCUMENTS}' in out
    status, out, _ = await house.cotorra("search", "Page 17 section 3", "--json", "--limit", "1")
    assert status == 0
    assert "17.md" in out


async def _who_reads(house: House, redis: Redis) -> Process:
    """The process that looks at the source: docket notes the worker that a task runs at, by host and process id."""
    noted: Any = await redis.hget("cotorra:queue:sources:runs:kb", "worker")
    assert noted is not None
    pid = int(noted.decode().rpartition("#")[2])
    [process] = [each for each in house.processes if each.pid == pid]
    return process
