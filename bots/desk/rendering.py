"""Prints results on the terminal, for people or as JSON for programs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from bots.desk import operations
from bots.desk.operation import Desk
from bots.desk.seam import AsideMessage, AskRequest, Complete, FoundPassage, SyncedSource, Text
from bots.errors import BotsError
from rag.errors import RagError
from rag.prompts.sentences import dated
from rag.types import Answer

if TYPE_CHECKING:
    from bots.operations.finding import Finding


def answer_object(complete: Complete) -> dict[str, Any]:
    """The object of ``ask --json``."""
    answer = complete.answer
    return {
        "text": answer.text,
        "sources": [
            {
                "number": source.number,
                "title": source.title,
                "url": source.passage.url,
                "passage": source.passage.text,
                "score": round(source.score, 4),
            }
            for source in answer.sources
        ],
        "answered": answer.answered,
        "conversation_id": complete.conversation,
        "model": answer.model,
        "adapter": answer.adapter,
        "seconds": {stage: round(spent, 4) for stage, spent in answer.seconds.items()},
    }


def print_sources(answer: Answer) -> None:
    """The numbered sources under an answer that was streamed."""
    print()
    if answer.sources:
        print()
    for source in answer.sources:
        title = dated(source.title, source.passage, answer.language)
        print(f"[{source.number}] {title}  {source.passage.url}".rstrip())


async def converse(desk: Desk, audiences: frozenset[str]) -> None:
    """The loop of ``cotorra chat``. Ends at /quit or at the end of input; an error ends the turn only."""
    conversation = _new_conversation()
    print("Ask away. /new starts over, /quit leaves.")
    # In a thread: input() blocks, and the desk's background work runs on this event loop.
    while (line := await asyncio.to_thread(_read_line)) is not None:
        match line.strip():
            case "":
                continue
            case "/quit" | "/exit":
                return
            case "/new":
                await desk.call(operations.new, operations.NewConversation(conversation=conversation))
                conversation = _new_conversation()
                print("We start from scratch.")
            case question:
                await _turn(desk, AskRequest(text=question, conversation=conversation, audiences=audiences))


def _new_conversation() -> str:
    return f"terminal:{secrets.token_hex(8)}"


def _read_line() -> str | None:
    try:
        return input("\n> ")
    except EOFError:
        return None


async def _turn(desk: Desk, request: AskRequest) -> None:
    try:
        async for event in desk.stream(operations.ask, request):
            if isinstance(event, Text):
                print(event.text, end="", flush=True)
            else:
                print_sources(event.answer)
    except (BotsError, RagError) as error:
        print(f"cotorra: {error}", file=sys.stderr)


def print_passages(passages: Sequence[FoundPassage], *, as_json: bool) -> None:
    """Passages, best first."""
    if as_json:
        print_json([dataclasses.asdict(one) for one in passages])
        return
    if not passages:
        print("Nothing was found. `cotorra sync` brings the index up to date.")
    for number, one in enumerate(passages, start=1):
        print(f"{number}. {one.title}  ({one.score:.2f}, {one.source})\n   {one.url}".rstrip())
        # Line breaks of a document would tear the list apart.
        print("   " + " ".join(one.text.split())[:240])


def print_sync_results(results: Sequence[SyncedSource], *, as_json: bool) -> None:
    """One line for each source, and one for each document that was skipped."""
    if as_json:
        print_json([dataclasses.asdict(one) for one in results])
        return
    for one in results:
        if one.error:
            print(f"{one.source}: failed: {one.error}", file=sys.stderr)
            continue
        print(
            f"{one.source}: {one.added} added, {one.changed} changed, {one.removed} removed, {one.unchanged} unchanged; "
            f"{one.passages} passages in {one.seconds:.1f} s"
        )
        for path, reason in one.skipped:
            print(f"{one.source}: skipped {path}: {reason}", file=sys.stderr)


def print_aside(messages: Sequence[AsideMessage], *, as_json: bool) -> None:
    """Messages set aside, oldest first."""
    if as_json:
        print_json([{**dataclasses.asdict(one), "at": one.at.isoformat()} for one in messages])
        return
    if not messages:
        print("No message is set aside.")
        return
    table = Table("reference", "conversation", "since", "tries", "error")
    for one in messages:
        table.add_row(one.turn_id, one.conversation, f"{one.at:%Y-%m-%d %H:%M}", str(one.tries), one.error)
    Console().print(table)


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """The doctor's checks."""
    if as_json:
        print_json([dataclasses.asdict(one) for one in findings])
        return
    for one in findings:
        print(f"{'ok  ' if one.ok else 'FAIL'} {one.name}: {one.fact}")
        if one.advice:
            print(f"     -> {one.advice}")


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))
