"""The ``cotorra`` command. Heavy imports wait until a command needs them: ``--help`` must feel instant."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from tuning.cli import conversations as conversations_app

if TYPE_CHECKING:
    from bots.desk import Complete, Desk
    from bots.settings import Settings

app = typer.Typer(
    name="cotorra",
    help="Answers in Slack, Telegram and the terminal from your own documents, with sources.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
inbox_app = typer.Typer(help="Messages set aside after repeated failure.", no_args_is_help=True)
app.add_typer(inbox_app, name="inbox")
app.add_typer(conversations_app, name="conversations")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Audience = Annotated[list[str] | None, typer.Option("--audience", help="Read as this audience; may be repeated.")]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; COTORRA_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; COTORRA_PORT.")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only receive; `cotorra worker` answers.")] = False,
) -> None:
    """Run the service: platforms with credentials, webhooks and a worker."""
    settings = _settings()
    _check_receiver_alone(settings, no_worker)
    _run_service(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        receive=True,
        work=not no_worker,
    )


@app.command()
def worker() -> None:
    """Run one more worker process beside a service (needs REDIS_URL and QDRANT_URL)."""
    from bots.errors import SettingsError

    settings = _settings()
    if not (settings.redis.url and settings.qdrant.url):
        raise SettingsError("a second process needs stores that both reach: set REDIS_URL and QDRANT_URL")
    _run_service(settings, host=settings.host, port=settings.worker.port, receive=False, work=True)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    as_json: Json = False,
    conversation: Annotated[str, typer.Option(help="Continue this conversation.")] = "",
    audience: Audience = None,
) -> None:
    """Ask one question and print the answer with its sources."""
    from bots.desk import Asked

    asked = Asked(text=question, conversation=conversation, audiences=frozenset(audience or ()))
    _run(_ask(asked, as_json=as_json))


@app.command()
def chat(audience: Audience = None) -> None:
    """Talk in the terminal; /new starts over, /quit leaves."""
    _run(_chat(frozenset(audience or ())))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Passages at most.")] = 5,
    audience: Audience = None,
) -> None:
    """Look into the index: the passages that a question would find."""
    _run(_search(query, limit=limit, audiences=frozenset(audience or ()), as_json=as_json))


@app.command()
def sync(source: Annotated[str | None, typer.Option(help="Only this source.")] = None, as_json: Json = False) -> None:
    """Bring the index up to date with the documents."""
    _run(_sync(source, as_json=as_json))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the configuration and every connection, and say what to do."""
    _run(_doctor(as_json=as_json))


@inbox_app.command("list")
def inbox_list(as_json: Json = False) -> None:
    """List the messages that were set aside."""
    _run(_inbox_list(as_json=as_json))


@inbox_app.command("retry")
def inbox_retry(
    reference: Annotated[str | None, typer.Argument(help="The message's reference; all when left out.")] = None,
) -> None:
    """Put messages back into their conversations' queues."""
    _run(_inbox_retry(reference))


def main() -> NoReturn:
    """The console script: errors of ours are one line on stderr and exit status 1."""
    from bots.errors import BotsError
    from rag.errors import RagError
    from tuning.errors import TuningError

    try:
        app()
    except (BotsError, RagError, TuningError) as error:
        print(f"cotorra: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1)


def _settings() -> Settings:
    from bots.settings import load_settings

    return load_settings()


def _run(work: Coroutine[Any, Any, None]) -> None:
    from bots import logs

    logs.configure("error", "console")
    asyncio.run(work)


def _check_receiver_alone(settings: Settings, no_worker: bool) -> None:
    from bots.errors import SettingsError

    if no_worker and not settings.redis.url:
        raise SettingsError(
            "--no-worker leaves messages to other processes: set REDIS_URL so that they reach the inbox"
        )


def _run_service(settings: Settings, *, host: str, port: int, receive: bool, work: bool) -> None:
    from bots import logs
    from bots.ownership import Ownership
    from bots.service import Service, run

    logs.configure(settings.log_level, settings.log_format, settings.secrets())
    ownership = Ownership(settings.home)
    if settings.needs_home():
        ownership.take()
    service = Service(settings, host=host, port=port, receive=receive, work=work)
    try:
        run(service.run)
    finally:
        ownership.release()


@asynccontextmanager
async def open_desk(settings: Settings, *, wait: float = 60.0) -> AsyncIterator[Desk]:
    """The running service's desk, or one in this process where no service owns the home."""
    from bots.control import RemoteDesk
    from bots.ownership import Ownership, control_socket

    socket = control_socket(settings.home)
    ownership = Ownership(settings.home)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        if await _answers(socket):
            remote = RemoteDesk(socket)
            try:
                yield remote
            finally:
                await remote.close()
            return
        if not settings.needs_home() or ownership.try_take():
            break
        if loop.time() >= deadline:
            ownership.take()
        await asyncio.sleep(0.1)
    try:
        async with _local_desk(settings) as desk:
            yield desk
    finally:
        ownership.release()


async def _answers(socket: Any) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def _local_desk(settings: Settings) -> AsyncIterator[Desk]:
    from bots.bootstrap import build_recorder, open_answering, open_stores, terminal_desk
    from bots.metrics import Metrics

    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(settings))
        answering = await stack.enter_async_context(open_answering(settings))
        if await answering.index.count() == 0:
            print("reading the documents for the first time…", file=sys.stderr)
            await answering.library.sync()
        yield terminal_desk(settings, stores, answering)
        await build_recorder(stores, Metrics()).drain()


async def _ask(asked: Any, *, as_json: bool) -> None:
    from bots.desk import Text
    from bots.rendering import answer_object, print_sources

    async with open_desk(_settings()) as desk:
        complete: Complete | None = None
        async for event in desk.ask(asked):
            if isinstance(event, Text):
                if not as_json:
                    print(event.text, end="", flush=True)
            else:
                complete = event
    assert complete is not None
    if as_json:
        print(json.dumps(answer_object(complete), ensure_ascii=False))
    else:
        print_sources(complete.answer)


async def _chat(audiences: frozenset[str]) -> None:
    from bots.rendering import converse

    async with open_desk(_settings()) as desk:
        await converse(desk, audiences)


async def _search(query: str, *, limit: int, audiences: frozenset[str], as_json: bool) -> None:
    from bots.rendering import print_found

    async with open_desk(_settings()) as desk:
        print_found(await desk.search(query, limit=limit, audiences=audiences), as_json=as_json)


async def _sync(source: str | None, *, as_json: bool) -> None:
    from bots.rendering import print_synced

    async with open_desk(_settings()) as desk:
        synced = await desk.sync(source)
    print_synced(synced, as_json=as_json)
    if any(one.error or one.skipped for one in synced):
        raise typer.Exit(1)


async def _doctor(*, as_json: bool) -> None:
    from bots.doctor import examine
    from bots.rendering import print_findings

    findings = await examine(_settings())
    print_findings(findings, as_json=as_json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _inbox_list(*, as_json: bool) -> None:
    from bots.rendering import print_set_aside

    async with open_desk(_settings()) as desk:
        print_set_aside(await desk.set_aside(), as_json=as_json)


async def _inbox_retry(reference: str | None) -> None:
    async with open_desk(_settings()) as desk:
        print(f"{await desk.retry(reference)} put back")
