"""A command that goes through the service is one function and one command: a small one is added here, and nothing else is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bots.desk.operation import Desk, LocalDesk, Operations
from bots.desk.socket import RemoteDesk, control_app
from bots.errors import BotsError
from bots.keys import Keys
from bots.operations.ownership import control_socket
from bots.queue.inbox import Inbox
from bots.server import HttpServer
from bots.settings import WorkerSettings
from rag.errors import IndexUnavailable
from tests.benchmarks.processes import clean_environment
from tests.bots.engine import message
from tuning.errors import LogUnavailable

ROOT = Path(__file__).parents[3]
OPERATIONS: Operations[Inbox] = Operations()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Which messages to count, and what to complain about instead."""

    at_least: int
    complaint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many wait, and since when this was known."""

    waiting: int
    places: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """An event with the fields of another: its name tells them apart."""

    waiting: int
    places: tuple[str, ...]
    at: datetime


NOON = datetime(2026, 5, 4, 12)
ERRORS = {"index": IndexUnavailable, "log": LogUnavailable, "service": BotsError}


@OPERATIONS.operation
async def waiting(inbox: Inbox, request: Waiting) -> Count:
    """The one function."""
    if request.complaint:
        raise ERRORS[request.complaint]("that failed; try again")
    backlog = await inbox.backlog()
    return Count(waiting=max(request.at_least, backlog.queued), places=("a", "b"), at=NOON)


@OPERATIONS.stream
async def watch(inbox: Inbox, request: Waiting) -> AsyncIterator[Count | Other]:
    count = await waiting.run(inbox, Waiting(at_least=request.at_least))
    yield count
    yield Other(waiting=count.waiting, places=count.places, at=count.at)
    if request.complaint:
        raise ERRORS[request.complaint]("that failed; try again")


@pytest.fixture
async def inbox(redis: Redis, keys: Keys) -> Inbox:
    inbox = Inbox(redis, keys, WorkerSettings())
    await inbox.accept(message(1))
    return inbox


@pytest.fixture(params=["here", "in the service"])
async def desk(request: pytest.FixtureRequest, inbox: Inbox, tmp_path: Path) -> AsyncIterator[Desk]:
    if request.param == "here":
        yield LocalDesk(inbox)
        return
    server = HttpServer(control_app(inbox, OPERATIONS), socket=tmp_path / "s")
    await server.start()
    async with RemoteDesk(tmp_path / "s") as remote:
        yield remote
    await server.stop()


async def test_a_new_operation_runs_here_and_through_the_service_alike(desk: Desk) -> None:
    assert await desk.call(waiting, Waiting(at_least=0)) == Count(waiting=1, places=("a", "b"), at=NOON)


async def test_events_come_back_as_what_they_were_even_if_their_fields_are_alike(desk: Desk) -> None:
    events = [event async for event in desk.stream(watch, Waiting(at_least=4))]
    assert events == [Count(waiting=4, places=("a", "b"), at=NOON), Other(waiting=4, places=("a", "b"), at=NOON)]


@pytest.mark.parametrize("complaint", sorted(ERRORS))
async def test_errors_of_all_three_packages_cross_in_their_own_words(desk: Desk, complaint: str) -> None:
    raised = BotsError if isinstance(desk, RemoteDesk) else ERRORS[complaint]
    with pytest.raises(raised, match=r"^that failed; try again$"):
        await desk.call(waiting, Waiting(at_least=0, complaint=complaint))
    with pytest.raises(raised, match=r"^that failed; try again$"):
        assert [event async for event in desk.stream(watch, Waiting(at_least=0, complaint=complaint))] == []


async def test_a_service_of_another_version_is_one_clear_line(inbox: Inbox, tmp_path: Path) -> None:
    older: Operations[Inbox] = Operations()
    server = HttpServer(control_app(inbox, older), socket=tmp_path / "s")
    await server.start()
    async with RemoteDesk(tmp_path / "s") as remote:
        with pytest.raises(BotsError, match="of the same version"):
            await remote.call(waiting, Waiting(at_least=0))
    await server.stop()


def test_two_operations_do_not_share_a_name() -> None:
    with pytest.raises(ValueError, match="two operations called waiting"):
        OPERATIONS.operation(waiting.run)


COMMAND = """
import typer
from bots import cli
from tests.bots.desk.test_operation import Waiting, waiting

app = typer.Typer()

@app.command()
def count(at_least: int) -> None:
    print(cli.call(waiting, Waiting(at_least=at_least)).waiting)

app()
"""


async def test_a_command_names_the_operation_and_nothing_else_is_touched(inbox: Inbox, tmp_path: Path) -> None:
    """The other file: a command of the command line, which asks the service that owns the home."""
    (tmp_path / "home").mkdir()
    server = HttpServer(control_app(inbox, OPERATIONS), socket=control_socket(tmp_path / "home"))
    await server.start()
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "7", cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
        env={**clean_environment(), "COTORRA_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    printed, _ = await command.communicate()
    await server.stop()
    assert (command.returncode, printed) == (0, b"7\n")
