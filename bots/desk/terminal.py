"""The commands that talk to a desk: the running service's, or one in this process where no service owns the home."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bots.desk import operations, rendering
from bots.desk.operation import Desk, LocalDesk, Operation
from bots.desk.seam import Asked, Complete, SyncedSource, Text
from bots.desk.socket import RemoteDesk
from bots.desk.sync_screen import sync_screen
from bots.operations.ownership import Ownership, control_socket
from bots.platforms.entries import PLATFORMS
from bots.settings import Settings, load_settings

if TYPE_CHECKING:
    from bots.library.library import Library

Q = TypeVar("Q")
R = TypeVar("R")

WAIT_SECONDS = 120.0
"""A service that reads a large library for the first time is worth waiting for."""


@asynccontextmanager
async def open_desk(wait: float = WAIT_SECONDS, *, to_sync: bool = False, to_ask: bool = False) -> AsyncIterator[Desk]:
    """The desk to talk to. Raises ``AlreadyRunning`` when the owner of the home does not get ready in ``wait`` seconds.

    ``to_sync``: the desk is wanted for a sync; otherwise documents that were never read are read before it is given.
    ``to_ask``: questions will be asked, so that the language model is loaded, where there is one.
    """
    settings = load_settings(PLATFORMS)
    ownership = Ownership(settings.home)
    try:
        if await _must_ask_owner(settings, ownership, wait):
            async with RemoteDesk(control_socket(settings.home)) as remote:
                yield remote
        else:
            async with _local_desk(settings, to_sync=to_sync, to_ask=to_ask) as desk:
                yield desk
    finally:
        ownership.release()


async def _must_ask_owner(settings: Settings, ownership: Ownership, wait: float) -> bool:
    """Takes the home, unless somebody has it: then waits until they listen."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    told = False
    while not await _listens(control_socket(settings.home)):
        if not settings.needs_home() or ownership.try_take():
            return False
        if loop.time() >= deadline:
            ownership.take()
        if not told:
            print("waiting for the running service to get ready…", file=sys.stderr)
            told = True
        await asyncio.sleep(0.1)
    return True


async def _listens(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def _local_desk(settings: Settings, *, to_sync: bool, to_ask: bool) -> AsyncIterator[Desk]:
    from bots.bootstrap import build_recorder, open_answering, open_service
    from bots.metrics import Metrics
    from bots.stores import open_stores

    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(settings))
        answering = await stack.enter_async_context(open_answering(settings, stores, Metrics(), writes=to_ask))
        if to_sync:
            await stack.enter_async_context(answering.library.working())
        elif await answering.search.passages() == 0:
            await _read_first(answering.library)
        yield LocalDesk(open_service(settings, stores, answering))
        await build_recorder(settings, stores, Metrics()).drain()


async def _read_first(library: Library) -> None:
    print("reading the documents for the first time…", file=sys.stderr)
    async with library.working():
        with sync_screen() as screen:
            async for event in library.sync():
                screen.show(event)


async def call(operation: Operation[Any, Q, R], request: Q) -> R:
    """The response of an operation that needs no language model."""
    async with open_desk() as desk:
        return await desk.call(operation, request)


async def ask(asked: Asked, *, as_json: bool) -> None:
    """Streams the answer, or prints one object."""
    complete: Complete | None = None
    async with open_desk(to_ask=True) as desk:
        async for event in desk.stream(operations.ask, asked):
            if isinstance(event, Complete):
                complete = event
            elif isinstance(event, Text) and not as_json:
                print(event.text, end="", flush=True)
    if complete is None:
        return
    if as_json:
        print(json.dumps(rendering.answer_object(complete), ensure_ascii=False))
    else:
        rendering.print_sources(complete.answer)


async def chat(audiences: frozenset[str]) -> None:
    async with open_desk(to_ask=True) as desk:
        await rendering.converse(desk, audiences)


async def sync(request: operations.Sync, *, as_json: bool) -> bool:
    """Whether everything could be read."""
    synced: list[SyncedSource] = []
    async with open_desk(to_sync=True) as desk:
        try:
            with sync_screen(quiet=as_json) as screen:
                async for event in desk.stream(operations.sync, request):
                    screen.show(event)
                    synced += [event] if isinstance(event, SyncedSource) else []
        except asyncio.CancelledError:
            if isinstance(desk, RemoteDesk):
                print("the running service goes on with the sync", file=sys.stderr)
            raise
    rendering.print_synced(synced, as_json=as_json)
    return not any(one.error or one.skipped for one in synced)


async def doctor(*, as_json: bool) -> bool:
    """Whether all is well."""
    from bots.operations.doctor import examine

    findings = await examine(load_settings(PLATFORMS))
    rendering.print_findings(findings, as_json=as_json)
    return all(finding.ok for finding in findings)
