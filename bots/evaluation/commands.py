"""``cotorra eval``. Heavy imports wait until a command needs them: ``--help`` must feel instant."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

evaluation = typer.Typer(help="Figures on questions of your own.", no_args_is_help=True)


@evaluation.callback()
def _group() -> None:
    """Without this callback Typer would make the only command, `retrieval`, the group itself."""


@evaluation.command()
def retrieval(
    file: Annotated[Path, typer.Argument(help="Questions and where they are answered, one JSON object a line.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="More for --compare.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Passages looked at for each question.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    compare: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Compare with this setting of retrieval changed.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Learn from the questions when to answer, and keep it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Calibrate on fewer questions than is wise.")] = False,
    audience: Annotated[list[str] | None, typer.Option(help="Read as this audience; may be repeated.")] = None,
    worst: Annotated[int, typer.Option(min=0, max=1000, help="Worst cases listed.")] = 10,
    source: Annotated[str, typer.Option(help="Look into this source only.")] = "",
) -> None:
    """Measure how well the passages are found that answer questions of your own."""
    if more and not compare:
        raise typer.BadParameter(f"{more[0]} is one argument too many; changes follow --compare")
    if compare and calibrate:
        raise typer.BadParameter("--calibrate learns under the settings in force; leave --compare out")
    if force and not calibrate:
        raise typer.BadParameter("--force is for --calibrate")
    # Imported here: `--help` must not wait for what the desk imports.
    from bots import logs
    from bots.evaluation.retrieval import EvaluationRequest, evaluate_retrieval
    from bots.evaluation.tables import print_evaluated
    from rag.evaluation.changes import read_changes

    request = EvaluationRequest(
        file=file,
        depth=limit,
        worst=worst,
        changes=read_changes([*(compare or ()), *(more or ())]),
        audiences=frozenset(audience or ()),
        source=source,
        calibrate=calibrate,
        force=force,
    )
    logs.configure("error", "console")
    print_evaluated(asyncio.run(evaluate_retrieval(request)), as_json=as_json)
