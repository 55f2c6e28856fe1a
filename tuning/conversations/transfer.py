"""The log as lines of JSON: one turn a line, with the passages it showed and the feedback it got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pydantic import TypeAdapter, ValidationError

from rag.types import snapshot_digest
from tuning.conversations.records import LoggedPassage, ReviewedTurn
from tuning.errors import ImportRefused

if TYPE_CHECKING:
    from tuning.conversations.log import ConversationLog

BATCH = 200
_LINES: TypeAdapter[ReviewedTurn] = TypeAdapter(ReviewedTurn)


def export_turns(log: ConversationLog, file: TextIO, conversation: str | None = None) -> int:
    """Writes every turn, or those of one conversation. Returns how many there were."""
    count = 0
    for reviewed in log.turns(conversation):
        file.write(_LINES.dump_json(reviewed).decode() + "\n")
        count += 1
    return count


def import_turns(log: ConversationLog, file: Path) -> int:
    """Records an export; importing it twice changes nothing. Returns how many turns were kept.

    The whole file is checked before anything is written. Raises ``ImportRefused`` with the number of the bad line.
    What was forgotten here stays forgotten.
    """
    for _ in read_turns(file):
        pass
    lines = read_turns(file)
    kept = 0
    while batch := list(islice(lines, BATCH)):
        kept += _record(log, batch)
    return kept


def read_turns(file: Path) -> Iterator[ReviewedTurn]:
    """The lines of an export, checked. Raises ``ImportRefused``."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _read(line, f"{file}, line {number}")
    except OSError as error:
        raise ImportRefused(f"{file} cannot be read: {error.strerror}") from error


def _record(log: ConversationLog, batch: Sequence[ReviewedTurn]) -> int:
    kept = log.record([reviewed.turn for reviewed in batch])
    log.give_feedback([given for reviewed in batch for given in reviewed.feedback])
    return kept


def _read(line: bytes, place: str) -> ReviewedTurn:
    try:
        reviewed = _LINES.validate_json(line)
    except ValidationError as error:
        # Not the error itself: it quotes what people wrote.
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise ImportRefused(f"{place}: {f'{key}: ' if key else ''}{first['msg']}") from None
    if complaint := _complaint(reviewed):
        raise ImportRefused(f"{place}: {complaint}")
    return reviewed


def _complaint(reviewed: ReviewedTurn) -> str | None:
    """What types alone do not tell."""
    turn = reviewed.turn
    if any(time.tzinfo is None for time in (turn.asked_at, *(given.given_at for given in reviewed.feedback))):
        return "a time has no zone; write it as 2026-01-31T12:00:00Z"
    if any(given.turn_id != turn.turn_id for given in reviewed.feedback):
        return "feedback belongs to another turn"
    if not all(map(isfinite, (*turn.seconds.values(), *(passage.score for passage in turn.passages)))):
        return "a figure is not finite"
    if not all(0 <= rank < len(turn.passages) for rank in turn.cited):
        return "cited names a passage that was not shown"
    if any(passage.digest != _digest(passage) for passage in turn.passages):
        return "a passage is not the one that its digest names"
    return None


def _digest(passage: LoggedPassage) -> str:
    return snapshot_digest(passage.title, passage.headings, passage.url, passage.text)
