"""The ``cotorra`` command. Commands import what they need when they run, so that ``--help`` is instant."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from bots.desk.log_access import LogAccess
from bots.evaluation.commands import evaluation
from tuning.cli import conversations

if TYPE_CHECKING:
    from bots.desk.operation import Operation
    from bots.settings import Settings

T = TypeVar("T")
Q = TypeVar("Q")
R = TypeVar("R")

app = typer.Typer(
    name="cotorra",
    help="Answers in Slack, Telegram and the terminal from your own documents, with sources.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
inbox = typer.Typer(help="Messages set aside after repeated failure.", no_args_is_help=True)
app.add_typer(inbox, name="inbox")
app.add_typer(conversations, name="conversations")
app.add_typer(evaluation, name="eval")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Audience = Annotated[list[str] | None, typer.Option("--audience", help="Read as this audience; may be repeated.")]


@app.callback()
def _mount(context: typer.Context) -> None:
    # The context closes after an error too, and with it a Redis that was started for the command.
    access = LogAccess()
    context.obj = access
    context.call_on_close(access.close)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; COTORRA_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; COTORRA_PORT.")] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only receive; `cotorra worker` answers.")] = False,
) -> None:
    """Run the service: platforms with credentials, webhooks and a worker."""
    from bots.errors import SettingsError

    settings = _settings()
    if no_worker and not settings.redis.url:
        raise SettingsError("--no-worker leaves messages to other processes: set REDIS_URL, so that they find them")
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
    if settings.needs_home():
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
    from bots.desk import terminal
    from bots.desk.seam import AskRequest

    asked = AskRequest(text=question, conversation=conversation, audiences=frozenset(audience or ()))
    _run(terminal.ask(asked, as_json=as_json))


@app.command()
def chat(audience: Audience = None) -> None:
    """Talk in the terminal; /new starts over, /quit leaves."""
    from bots.desk import terminal

    _run(terminal.chat(frozenset(audience or ())))


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Passages at most.")] = 5,
    audience: Audience = None,
) -> None:
    """Look into the index: the passages that a question would find."""
    from bots.desk import operations, rendering

    request = operations.Search(query=query, limit=limit, audiences=frozenset(audience or ()))
    passages = call(operations.search, request)
    rendering.print_passages(passages, as_json=as_json)


@app.command()
def sync(
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Remove documents even if most of a source vanished.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the index up to date with the documents."""
    from bots.desk import operations, terminal

    request = operations.Sync(source=source, allow_shrink=allow_shrink)
    if not _run(terminal.sync(request, as_json=as_json)):
        raise typer.Exit(1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the configuration and every connection, and say what to do."""
    from bots.desk import terminal

    if not _run(terminal.doctor(as_json=as_json)):
        raise typer.Exit(1)


@inbox.command("list")
def inbox_list(as_json: Json = False) -> None:
    """List the messages that were set aside."""
    from bots.desk import operations, rendering

    messages = call(operations.set_aside, None)
    rendering.print_aside(messages, as_json=as_json)


@inbox.command("retry")
def inbox_retry(
    reference: Annotated[str | None, typer.Argument(help="The message's reference; all when left out.")] = None,
) -> None:
    """Put messages back into their conversations' queues."""
    from bots.desk import operations

    count = call(operations.retry, operations.Retry(turn_id=reference))
    print(f"{count} put back")


def main() -> NoReturn:
    """The console script: our errors are one line on stderr with exit status 1; wrong usage exits with 2."""
    from bots.errors import BotsError
    from rag.errors import RagError
    from tuning.errors import TuningError

    try:
        app()
    except (BotsError, RagError, TuningError) as error:
        print(f"cotorra: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        sys.exit(130)
    # Reached after an error only: app() ends every other way by SystemExit.
    sys.exit(1)


def _settings() -> Settings:
    from bots.platforms.entries import PLATFORMS
    from bots.settings import load_settings

    return load_settings(PLATFORMS)


def _run(work: Coroutine[Any, Any, T]) -> T:
    from bots import logs

    logs.configure("error", "console")
    return asyncio.run(work)


def call(operation: Operation[Any, Q, R], request: Q) -> R:
    """Runs an operation in the service that owns the home, or here where none does."""
    from bots.desk import terminal

    return _run(terminal.call(operation, request))


def _run_service(settings: Settings, *, host: str, port: int, receive: bool, work: bool) -> None:
    from bots import logs
    from bots.operations.ownership import Ownership
    from rag.store.client import checked_url

    logs.configure(settings.log_level, settings.log_format, settings.secrets())
    if settings.redis.url:
        checked_url(settings.redis.url)
    ownership = Ownership(settings.home)
    owns = ownership.try_take()  # of processes that share a home, the first answers the commands that are given there
    # A process that works needs the home for embedded stores; one that only receives needs it for the private Redis.
    if not owns and (settings.needs_home() if work else not settings.redis.url):
        ownership.take()
    try:
        from bots.service import Service, run  # seconds: what is wrong above is said before

        run(Service(settings, host=host, port=port, receive=receive, work=work, owns_home=owns).run)
    finally:
        ownership.release()
