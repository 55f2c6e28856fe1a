"""Export and import of the log as lines of JSON: one turn per line, with its passages and its feedback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pydantic import TypeAdapter, ValidationError

from rag.types import snapshot_digest
from tuning.conversations.records import LoggedPassage, ReviewedTurn
from tuning.conversations.rows import storable
from tuning.errors import ImportRefused

if TYPE_CHECKING:
    from tuning.conversations.log import ConversationLog

BATCH = 200
"""How many turns are imported in one transaction."""
_LINES: TypeAdapter[ReviewedTurn] = TypeAdapter(ReviewedTurn)


def export_turns(log: ConversationLog, file: TextIO, conversation: str | None = None) -> int:
    """Writes every turn, or those of one conversation. Returns the number of turns."""
    count = 0
    for reviewed in log.turns(conversation):
        file.write(_LINES.dump_json(reviewed).decode() + "\n")
        count += 1
    return count


def import_turns(log: ConversationLog, file: Path, *, at_once: int = BATCH) -> int:
    """Imports an export; doing it twice changes nothing. Returns how many turns were written.

    The whole file is checked before anything is written. Raises ``ImportRefused`` with the number of the bad line.
    What was forgotten here stays forgotten.
    """
    # Read twice, not kept in a list: an export may be larger than memory.
    for _ in read_turns(file):
        pass
    lines = read_turns(file)
    written = 0
    while batch := list(islice(lines, at_once)):
        written += _record(log, batch)
    return written


def read_turns(file: Path) -> Iterator[ReviewedTurn]:
    """Reads and checks the lines of an export. Raises ``ImportRefused``."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _read(line, f"{file}, line {number}")
    except OSError as error:
        raise ImportRefused(f"{file} cannot be read: {error.strerror}") from error


def _record(log: ConversationLog, batch: Sequence[ReviewedTurn]) -> int:
    written = log.record([reviewed.turn for reviewed in batch])
    log.give_feedback([entry for reviewed in batch for entry in reviewed.feedback])
    return written


def _read(line: bytes, place: str) -> ReviewedTurn:
    try:
        reviewed = _LINES.validate_json(line)
    except ValidationError as error:
        # Not str(error): pydantic quotes the input, which is what people wrote.
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise ImportRefused(f"{place}: {f'{key}: ' if key else ''}{first['msg']}") from None
    if complaint := _complaint(reviewed):
        raise ImportRefused(f"{place}: {complaint}")
    return reviewed


def _complaint(reviewed: ReviewedTurn) -> str | None:
    """The first violation that types alone do not detect, or None."""
    turn = reviewed.turn
    times = (turn.asked_at, *(entry.given_at for entry in reviewed.feedback))
    figures = (*turn.seconds.values(), *(passage.score for passage in turn.passages))
    wrong = {
        "a time has no zone; write it as 2026-01-31T12:00:00Z": any(time.tzinfo is None for time in times),
        "a time lies outside the years 1 to 9999 in UTC": not all(map(_in_range, times)),
        "an id or a name holds a NUL, which no log can store": any(storable(name) != name for name in _names(reviewed)),
        "feedback belongs to another turn": any(entry.turn_id != turn.turn_id for entry in reviewed.feedback),
        "a figure is not finite": not all(map(isfinite, figures)),
        "cited names a passage that was not shown": not all(0 <= rank < len(turn.passages) for rank in turn.cited),
        "dropped is no count": not 0 <= turn.dropped < 2**31,
        "a passage is not the one that its digest names": any(
            passage.digest != _digest(passage) for passage in turn.passages
        ),
    }
    return next((complaint for complaint, applies in wrong.items() if applies), None)


def _in_range(time: datetime) -> bool:
    try:
        time.astimezone(UTC)
    except (OverflowError, ValueError):
        return False
    return True


def _names(reviewed: ReviewedTurn) -> Iterator[str]:
    turn = reviewed.turn
    yield from (turn.turn_id, turn.conversation, turn.platform, turn.speaker, turn.language, turn.model, turn.reply_id)
    yield from (turn.adapter or "", turn.adapter_digest, turn.prompt_version, *turn.recalled)
    yield from (passage.source for passage in turn.passages)
    yield from (entry.speaker for entry in reviewed.feedback)


def _digest(passage: LoggedPassage) -> str:
    return snapshot_digest(passage.title, passage.headings, passage.url, passage.text)
