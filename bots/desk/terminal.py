"""Commands that use a desk: the running service's, or one in this process where no service owns the home."""

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
from bots.desk.seam import AskRequest, Complete, SyncedSource, Text
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
"""How long a command waits for a service that starts: its first sync of a large library takes minutes."""


@asynccontextmanager
async def open_desk(wait: float = WAIT_SECONDS, *, to_sync: bool = False, to_ask: bool = False) -> AsyncIterator[Desk]:
    """Opens a desk. Raises ``AlreadyRunning`` when the owner of the home is not ready within ``wait`` seconds.

    ``to_sync``: the caller will sync; for other callers a desk with an empty index syncs first.
    ``to_ask``: the caller will ask questions, so the language model is loaded, where one is configured.
    """
    settings = load_settings(PLATFORMS)
    ownership = Ownership(settings.home)
    try:
        if await _owner_answers(settings, ownership, wait):
            async with RemoteDesk(control_socket(settings.home)) as remote:
                yield remote
        else:
            async with _local_desk(settings, to_sync=to_sync, to_ask=to_ask) as desk:
                yield desk
    finally:
        ownership.release()


async def _owner_answers(settings: Settings, ownership: Ownership, wait: float) -> bool:
    """True once the owner of the home accepts connections; False where this process took the home, or needs none."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    announced = False
    while not await _accepts_connections(control_socket(settings.home)):
        if not settings.needs_home() or ownership.try_take():
            return False
        # Raises AlreadyRunning: the owner neither became ready nor ended.
        if loop.time() >= deadline:
            ownership.take()
        if not announced:
            print("waiting for the running service to get ready…", file=sys.stderr)
            announced = True
        await asyncio.sleep(0.1)
    return True


async def _accepts_connections(socket: Path) -> bool:
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
            await _first_sync(answering.library)
        yield LocalDesk(open_service(settings, stores, answering))
        # Without a service no recorder runs: the turns of this command would wait for the next start.
        await build_recorder(settings, stores, Metrics()).drain()


async def _first_sync(library: Library) -> None:
    print("reading the documents for the first time…", file=sys.stderr)
    async with library.working():
        with sync_screen() as screen:
            async for event in library.sync():
                screen.show(event)


async def call(operation: Operation[Any, Q, R], request: Q) -> R:
    """The response of an operation that needs no language model."""
    async with open_desk() as desk:
        return await desk.call(operation, request)


async def ask(request: AskRequest, *, as_json: bool) -> None:
    """Streams the answer, or prints one object."""
    complete: Complete | None = None
    async with open_desk(to_ask=True) as desk:
        async for event in desk.stream(operations.ask, request):
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
    """Syncs and prints the results. True if every document could be read."""
    results: list[SyncedSource] = []
    async with open_desk(to_sync=True) as desk:
        try:
            with sync_screen(quiet=as_json) as screen:
                async for event in desk.stream(operations.sync, request):
                    screen.show(event)
                    results += [event] if isinstance(event, SyncedSource) else []
        except asyncio.CancelledError:
            if isinstance(desk, RemoteDesk):
                print("the running service goes on with the sync", file=sys.stderr)
            raise
    rendering.print_sync_results(results, as_json=as_json)
    return not any(one.error or one.skipped for one in results)


async def doctor(*, as_json: bool) -> bool:
    """Whether all is well."""
    from bots.operations.doctor import examine

    findings = await examine(load_settings(PLATFORMS))
    rendering.print_findings(findings, as_json=as_json)
    return all(finding.ok for finding in findings)
