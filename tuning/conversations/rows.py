"""Conversion between records and rows of the log's tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select

from rag.types import snapshot_digest
from tuning.conversations import tables
from tuning.conversations.records import LoggedFeedback, LoggedPassage, LoggedTurn, ReviewedTurn

# PostgreSQL cannot store NUL, and neither database a lone surrogate.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LISTS = ("cited", "recalled", "notes")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """The text with characters replaced that a database could not store and return unchanged."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def storable_turn(turn: LoggedTurn) -> LoggedTurn:
    return replace(
        turn,
        question=storable(turn.question),
        answer=storable(turn.answer),
        summary=storable(turn.summary),
        notes=tuple(map(storable, turn.notes)),
        passages=tuple(_storable_passage(passage) for passage in turn.passages),
    )


def storable_feedback(feedback: LoggedFeedback) -> LoggedFeedback:
    return replace(feedback, reason=storable(feedback.reason), better_answer=storable(feedback.better_answer))


def _storable_passage(passage: LoggedPassage) -> LoggedPassage:
    """The passage, unchanged if it can be stored; otherwise with its text replaced and the digest of the new text."""
    title, url, text = storable(passage.title), storable(passage.url), storable(passage.text)
    headings = tuple(storable(heading) for heading in passage.headings)
    if (title, headings, url, text) == (passage.title, passage.headings, passage.url, passage.text):
        return passage
    digest = snapshot_digest(title, headings, url, text)
    return replace(passage, digest=digest, title=title, headings=headings, url=url, text=text)


def turn_row(turn: LoggedTurn) -> dict[str, Any]:
    row = {field.name: getattr(turn, field.name) for field in fields(turn) if field.name != "passages"}
    # JSON columns take lists and dicts, and would give a tuple back as a list anyway.
    return row | {"seconds": dict(turn.seconds)} | {name: list(row[name]) for name in _LISTS}


def shown_rows(turn: LoggedTurn) -> list[dict[str, Any]]:
    return [
        {
            "turn_id": turn.turn_id,
            "rank": rank,
            "digest": passage.digest,
            "score": passage.score,
            "source": passage.source,
        }
        for rank, passage in enumerate(turn.passages)
    ]


def passage_rows(turns: Iterable[LoggedTurn]) -> list[dict[str, Any]]:
    """One row for each snapshot, sorted by digest: two writers that lock rows in one order cannot deadlock."""
    snapshots = {passage.digest: passage for turn in turns for passage in turn.passages}
    columns = [column.name for column in tables.passages.columns]
    rows = [{name: getattr(snapshots[digest], name) for name in columns} for digest in sorted(snapshots)]
    return [row | {"headings": list(row["headings"])} for row in rows]


def feedback_row(feedback: LoggedFeedback) -> dict[str, Any]:
    return asdict(feedback)


def reviewed(connection: Connection, statement: Select[Any]) -> list[ReviewedTurn]:
    """The turns that ``statement`` selects, in its order, each with its passages and feedback.

    Three queries for any number of turns.
    """
    turn_rows = connection.execute(statement).mappings().all()
    ids = [row["turn_id"] for row in turn_rows]
    snapshots = _by_turn(connection.execute(_passages(ids)).mappings().all())
    feedback = _by_turn(connection.execute(_feedback(ids)).mappings().all())
    return [
        ReviewedTurn(
            turn=_turn(row, snapshots.get(row["turn_id"], [])),
            feedback=tuple(LoggedFeedback(**entry) for entry in feedback.get(row["turn_id"], [])),
        )
        for row in turn_rows
    ]


def _passages(ids: Sequence[str]) -> Select[Any]:
    columns = [tables.turn_passages.c[name] for name in ("turn_id", "score", "source")]
    joined = tables.turn_passages.join(tables.passages)
    return (
        select(*columns, tables.passages)
        .select_from(joined)
        .where(tables.turn_passages.c.turn_id.in_(ids))
        .order_by(tables.turn_passages.c.turn_id, tables.turn_passages.c.rank)
    )


def _feedback(ids: Sequence[str]) -> Select[Any]:
    entries = tables.feedback.c
    order = (entries.turn_id, entries.given_at, entries.speaker)
    return select(tables.feedback).where(entries.turn_id.in_(ids)).order_by(*order)


def _by_turn(rows: Sequence[RowMapping]) -> dict[str, list[RowMapping]]:
    groups: dict[str, list[RowMapping]] = {}
    for row in rows:
        groups.setdefault(row["turn_id"], []).append(row)
    return groups


def _turn(row: RowMapping, snapshots: Sequence[RowMapping]) -> LoggedTurn:
    passages = tuple(_passage(passage) for passage in snapshots)
    return LoggedTurn(**{**row, **{name: tuple(row[name]) for name in _LISTS}, "passages": passages})


def _passage(row: RowMapping) -> LoggedPassage:
    values = {name: value for name, value in row.items() if name != "turn_id"}
    return LoggedPassage(**{**values, "headings": tuple(row["headings"])})
