"""Writes turns and feedback into the log, except those that were forgotten before they arrived."""

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
    """Writes the turns that were not forgotten meanwhile, under their conversation's present id. Returns how many."""
    names = present_names(connection, [turn.conversation for turn in logged])
    named = [replace(turn, conversation=names[turn.conversation]) for turn in logged]
    tombstones = Tombstones(
        connection, {name: key(name) for name in (*names.values(), *(turn_name(turn.turn_id) for turn in named))}
    )
    retained = [turn for turn in named if not _forgotten(turn, tombstones)]
    refuse_turns(connection, {turn.turn_id for turn in named} - {turn.turn_id for turn in retained}, now)
    retained = [_without_forgotten_summary(turn, tombstones) for turn in retained]
    if retained:
        # Sorted: two writers that lock rows in one order cannot deadlock.
        _store(connection, sorted(retained, key=lambda turn: turn.turn_id))
        _drop_forgotten_feedback(connection, {turn.turn_id: turn.conversation for turn in retained}, tombstones)
    return len(retained)


def _forgotten(turn: LoggedTurn, tombstones: Tombstones) -> bool:
    names = (turn.conversation, turn_name(turn.turn_id))
    return any(tombstones.cover(name, turn.speaker, turn.asked_at) for name in names)


def _without_forgotten_summary(turn: LoggedTurn, tombstones: Tombstones) -> LoggedTurn:
    """The turn, without its summary if anything in its conversation was forgotten after it was asked."""
    # A summary is made of what everybody said, so it goes whoever was forgotten.
    forgotten = turn.summary and tombstones.touch(turn.conversation, turn.asked_at)
    return replace(turn, summary="", prompt_version="") if forgotten else turn


def give_feedback(connection: Connection, entries: Sequence[LoggedFeedback], key: KeyOf) -> None:
    """Merges feedback with what is there, except feedback of forgotten speakers and on forgotten turns or conversations."""
    ids = {one.turn_id for one in entries}
    forgotten_ids = set(
        connection.execute(select(forgotten_turns.c.turn_id).where(forgotten_turns.c.turn_id.in_(ids))).scalars()
    )
    accepted = [one for one in entries if one.turn_id not in forgotten_ids]
    if not accepted:
        return
    connection.execute(_merge_feedback(connection), [rows.feedback_row(one) for one in accepted])
    # Written first and dropped after: only the turn, which may not be here yet, tells the conversation.
    known_turns = connection.execute(select(turns.c.turn_id, turns.c.conversation).where(turns.c.turn_id.in_(ids)))
    conversations = {row.turn_id: row.conversation for row in known_turns}
    tombstones = Tombstones(connection, {name: key(name) for name in conversations.values()})
    _drop_forgotten_feedback(connection, conversations, tombstones)


def _store(connection: Connection, retained: Sequence[LoggedTurn]) -> None:
    ids = [turn.turn_id for turn in retained]
    if snapshots := rows.passage_rows(retained):
        connection.execute(upsert(connection, passages).on_conflict_do_nothing(), snapshots)
    connection.execute(_replace_turn(connection), [rows.turn_row(turn) for turn in retained])
    connection.execute(delete(turn_passages).where(turn_passages.c.turn_id.in_(ids)))
    if references := [row for turn in retained for row in rows.shown_rows(turn)]:
        connection.execute(turn_passages.insert(), references)
    connection.execute(delete(forgotten_turns).where(forgotten_turns.c.turn_id.in_(ids)))


def _replace_turn(connection: Connection) -> Any:
    statement = upsert(connection, turns)
    values = {column.name: statement.excluded[column.name] for column in turns.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=["turn_id"], set_=values)


def _merge_feedback(connection: Connection) -> Any:
    """The later rating wins. A text is replaced only by a later text that is not empty; an empty one by any text."""
    statement = upsert(connection, feedback)
    new, old = statement.excluded, feedback.c
    later = new.given_at >= old.given_at
    values = {name: case((later, new[name]), else_=old[name]) for name in ("rating", "given_at")}
    for name in ("reason", "better_answer"):
        replaces = (new[name] != "") & (later | (old[name] == ""))
        values[name] = case((replaces, new[name]), else_=old[name])
    return statement.on_conflict_do_update(index_elements=["turn_id", "speaker"], set_=values)


def _drop_forgotten_feedback(connection: Connection, conversations: dict[str, str], tombstones: Tombstones) -> None:
    """Removes feedback that was given before its speaker was forgotten in the turn's conversation."""
    entries = connection.execute(select(feedback).where(feedback.c.turn_id.in_(conversations)))
    for row in entries.all():
        if tombstones.cover(conversations[row.turn_id], row.speaker, row.given_at):
            one = (feedback.c.turn_id == row.turn_id) & (feedback.c.speaker == row.speaker)
            connection.execute(delete(feedback).where(one))
