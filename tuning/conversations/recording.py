"""What puts turns and feedback into the log, past what was forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, delete, select

from tuning.conversations import rows
from tuning.conversations.database import upsert
from tuning.conversations.forgetting import Tombstones, present_names, refuse_turns, turn_name
from tuning.conversations.records import LoggedFeedback, LoggedTurn
from tuning.conversations.tables import feedback, forgotten_turns, passages, turn_passages, turns

KeyOf = Callable[[str], str]
"""The keyed hash of a conversation's id."""


def record(connection: Connection, logged: Sequence[LoggedTurn], key: KeyOf, now: datetime) -> int:
    """Writes the turns that were not forgotten meanwhile, each under its conversation's present name."""
    names = present_names(connection, [turn.conversation for turn in logged])
    named = [replace(turn, conversation=names[turn.conversation]) for turn in logged]
    buried = Tombstones(
        connection, {name: key(name) for name in (*names.values(), *(turn_name(turn.turn_id) for turn in named))}
    )
    kept = [turn for turn in named if not _forgotten(turn, buried)]
    refuse_turns(connection, {turn.turn_id for turn in named} - {turn.turn_id for turn in kept}, now)
    kept = [_without_what_was_forgotten(turn, buried) for turn in kept]
    if kept:
        _store(connection, sorted(kept, key=lambda turn: turn.turn_id))
        _drop_forgotten_feedback(connection, {turn.turn_id: turn.conversation for turn in kept}, buried)
    return len(kept)


def _forgotten(turn: LoggedTurn, buried: Tombstones) -> bool:
    graves = (turn.conversation, turn_name(turn.turn_id))
    return any(buried.cover(grave, turn.speaker, turn.asked_at) for grave in graves)


def _without_what_was_forgotten(turn: LoggedTurn, buried: Tombstones) -> LoggedTurn:
    """A summary was made of what others said too."""
    forgotten = turn.summary and buried.touch(turn.conversation, turn.asked_at)
    return replace(turn, summary="", prompt_version="") if forgotten else turn


def give_feedback(connection: Connection, given: Sequence[LoggedFeedback], key: KeyOf) -> None:
    """Merges feedback into what is there, except what its speaker, or the conversation, was promised to be rid of."""
    ids = {one.turn_id for one in given}
    gone = set(
        connection.execute(select(forgotten_turns.c.turn_id).where(forgotten_turns.c.turn_id.in_(ids))).scalars()
    )
    welcome = [one for one in given if one.turn_id not in gone]
    if not welcome:
        return
    connection.execute(_merge_feedback(connection), [rows.feedback_row(one) for one in welcome])
    found = connection.execute(select(turns.c.turn_id, turns.c.conversation).where(turns.c.turn_id.in_(ids)))
    conversations = {row.turn_id: row.conversation for row in found}
    buried = Tombstones(connection, {name: key(name) for name in conversations.values()})
    _drop_forgotten_feedback(connection, conversations, buried)


def _store(connection: Connection, kept: Sequence[LoggedTurn]) -> None:
    ids = [turn.turn_id for turn in kept]
    if snapshots := rows.passage_rows(kept):
        connection.execute(upsert(connection, passages).on_conflict_do_nothing(), snapshots)
    connection.execute(_replace_turn(connection), [rows.turn_row(turn) for turn in kept])
    connection.execute(delete(turn_passages).where(turn_passages.c.turn_id.in_(ids)))
    if shown := [row for turn in kept for row in rows.shown_rows(turn)]:
        connection.execute(turn_passages.insert(), shown)
    connection.execute(delete(forgotten_turns).where(forgotten_turns.c.turn_id.in_(ids)))


def _replace_turn(connection: Connection) -> Any:
    statement = upsert(connection, turns)
    values = {column.name: statement.excluded[column.name] for column in turns.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=["turn_id"], set_=values)


def _merge_feedback(connection: Connection) -> Any:
    """The later rating wins. A text is replaced by a later text only; where there is none, an earlier one will do."""
    statement = upsert(connection, feedback)
    new, old = statement.excluded, feedback.c
    later = new.given_at >= old.given_at
    values = {name: case((later, new[name]), else_=old[name]) for name in ("rating", "given_at")}
    for name in ("reason", "better_answer"):
        counts = (new[name] != "") & (later | (old[name] == ""))
        values[name] = case((counts, new[name]), else_=old[name])
    return statement.on_conflict_do_update(index_elements=["turn_id", "speaker"], set_=values)


def _drop_forgotten_feedback(connection: Connection, conversations: dict[str, str], buried: Tombstones) -> None:
    """Removes feedback that was given before its speaker was forgotten in the turn's conversation."""
    found = connection.execute(select(feedback).where(feedback.c.turn_id.in_(conversations)))
    for row in found.all():
        if buried.cover(conversations[row.turn_id], row.speaker, row.given_at):
            one = (feedback.c.turn_id == row.turn_id) & (feedback.c.speaker == row.speaker)
            connection.execute(delete(feedback).where(one))
