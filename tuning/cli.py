"""``cotorra conversations``. Heavy imports wait until a command needs them: ``--help`` must feel instant."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, cast

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tuning.conversations.log import ConversationLog
    from tuning.conversations.records import ReviewedTurn

conversations = typer.Typer(help="What was asked, answered and thought of it.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Conversation = Annotated[str, typer.Argument(help="The conversation's id, as `list` shows it.")]


class Access(Protocol):
    """What the commands need. The application that mounts them puts it into the Typer context (``ctx.obj``)."""

    def log(self) -> ConversationLog:
        """The conversation log, after bringing its schema up to date."""
        ...

    def forget(self, conversation: str, speaker: str | None) -> Mapping[str, int]:
        """Forgets in every store. Returns how much each one held, by its name."""
        ...


@conversations.command("list")
def list_conversations(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Conversations at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List the latest conversations."""
    from tuning.conversations.records import ConversationSummary

    summaries = _access(context).log().conversations(limit)
    if as_json:
        _print_json(list[ConversationSummary], summaries)
        return
    rows = [[one.conversation, one.platform, str(one.turns), f"{one.last_at:%Y-%m-%d %H:%M}"] for one in summaries]
    _print_table(["conversation", "platform", "turns", "last (UTC)"], rows, empty="nothing was logged yet")


@conversations.command()
def show(context: typer.Context, conversation: Conversation, as_json: Json = False) -> None:
    """Show a conversation's turns with their sources and feedback."""
    from tuning.conversations.records import ReviewedTurn

    turns = _access(context).log().show(conversation)
    if as_json:
        _print_json(list[ReviewedTurn], turns)
        return
    typer.echo("\n\n".join(map(_transcript, turns)) or "the log holds nothing of this conversation")


@conversations.command("export")
def export_conversations(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="File to write; standard output when left out.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Only this conversation.")] = None,
) -> None:
    """Write the log as lines of JSON."""
    from tuning.conversations.transfer import export_turns
    from tuning.errors import ExportFailed

    log = _access(context).log()
    if file is None:
        export_turns(log, sys.stdout, conversation)
        return
    try:
        with file.open("w", encoding="utf-8") as lines:
            count = export_turns(log, lines, conversation)
    except OSError as error:
        raise ExportFailed(f"{file} cannot be written: {error.strerror}") from error
    typer.echo(f"{count} turns written to {file}")


@conversations.command("import")
def import_conversations(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="What `export` wrote.")]
) -> None:
    """Read an export into the log; doing it twice changes nothing."""
    from tuning.conversations.transfer import import_turns

    typer.echo(f"{import_turns(_access(context).log(), file)} turns read from {file}")


@conversations.command()
def forget(
    context: typer.Context,
    conversation: Conversation,
    speaker: Annotated[str | None, typer.Option(help="Only what this person said: platform id or pseudonym.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a conversation, or one person in it, in memory, inbox, caches and log. There is no way back."""
    # An empty name is a script's empty variable: taken for "nobody named", it would delete the whole conversation.
    if speaker == "":
        raise typer.BadParameter("name a person, or leave --speaker out to forget the whole conversation")
    if not yes:
        typer.confirm(f"Forget {speaker or 'everything'} in {conversation} for good?", abort=True)
    forgotten = dict(_access(context).forget(conversation, speaker))
    if as_json:
        _print_json(dict[str, int], forgotten)
        return
    _print_table(["where", "forgotten"], [[place, str(count)] for place, count in forgotten.items()])


def _access(context: typer.Context) -> Access:
    return cast("Access", context.obj)


def _transcript(reviewed: ReviewedTurn) -> str:
    turn = reviewed.turn
    cited = [turn.passages[rank] for rank in turn.cited]
    lines = [
        f"{turn.asked_at:%Y-%m-%d %H:%M} UTC  {turn.outcome}  {turn.speaker}  {turn.turn_id}",
        f"  Q: {turn.question}",
        f"  A: {turn.answer}",
        *(f"     [{number}] {passage.title} <{passage.url}>" for number, passage in enumerate(cited, start=1)),
    ]
    for entry in reviewed.feedback:
        lines.append("     " + ": ".join(filter(None, (entry.rating, entry.reason, entry.better_answer))))
    return "\n".join(lines)


def _print_json(kind: Any, value: object) -> None:
    from pydantic import TypeAdapter

    typer.echo(TypeAdapter(kind).dump_json(value, indent=2).decode())


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str = "") -> None:
    from rich.console import Console

    Console().print(_table(columns, rows) if rows else empty)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE)
    for column in columns:
        # Wrapped, never cut off: a shortened id names nothing.
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, because rich would read brackets in a plain string as markup.
        table.add_row(*map(Text, row))
    return table
