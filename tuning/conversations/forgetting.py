"""What takes turns out of the log, and what keeps them from coming back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, String, and_, cast, delete, exists, insert, literal, select, update

from tuning.conversations.database import upsert
from tuning.conversations.tables import (
    feedback,
    forgotten_turns,
    passages,
    renames,
    tombstones,
    turn_passages,
    turns,
)

EVERYBODY = ""
"""The speaker of a tombstone that covers everybody."""


def turn_name(turn_id: str) -> str:
    """The name of a single turn among the tombstones. No conversation's id begins like this."""
    return f"turn {turn_id}"


class Tombstones:
    """The tombstones of some conversations or single turns: until when what was said there is forgotten.

    ``conversations`` maps each name to its keyed hash.
    """

    def __init__(self, connection: Connection, conversations: dict[str, str]) -> None:
        statement = select(tombstones).where(tombstones.c.conversation.in_(set(conversations.values())))
        self._keys = conversations
        self._times = {(row.conversation, row.speaker): row.forgotten_at for row in connection.execute(statement)}

    def cover(self, conversation: str, speaker: str, at: datetime) -> bool:
        """Whether what the speaker said at that time was forgotten later."""
        times = (self._times.get((self._keys[conversation], who)) for who in (EVERYBODY, speaker))
        return any(time is not None and at <= time for time in times)

    def touch(self, conversation: str, at: datetime) -> bool:
        """Whether anybody's words in the conversation were forgotten up to that time or a later one."""
        key = self._keys[conversation]
        return any(where == key and at <= time for (where, _), time in self._times.items())


def add_tombstone(connection: Connection, conversation: str, speaker: str, at: datetime) -> None:
    """Stores that everything up to ``at`` is forgotten. ``conversation`` is its keyed hash."""
    statement = upsert(connection, tombstones).values(conversation=conversation, speaker=speaker, forgotten_at=at)
    later = {"forgotten_at": statement.excluded.forgotten_at}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["conversation", "speaker"],
            set_=later,
            # Requests may arrive out of order: an earlier one must not shorten what a later one covers.
            where=tombstones.c.forgotten_at < statement.excluded.forgotten_at,
        )
    )


def remove_turns(connection: Connection, which: ColumnElement[bool], at: datetime) -> int:
    """Removes turns with their feedback and snapshots, and marks them as forgotten. The caller must be alone.

    Returns the number of turns.
    """
    # Marks that exist already would collide with the insert.
    connection.execute(
        delete(forgotten_turns).where(forgotten_turns.c.turn_id.in_(select(turns.c.turn_id).where(which)))
    )
    marks = select(turns.c.turn_id, literal(at, turns.c.asked_at.type)).where(which)
    connection.execute(insert(forgotten_turns).from_select(["turn_id", "forgotten_at"], marks))
    connection.execute(delete(feedback).where(feedback.c.turn_id.in_(select(turns.c.turn_id).where(which))))
    removed = connection.execute(delete(turns).where(which)).rowcount
    remove_orphans(connection)
    return removed


def remove_summaries(connection: Connection, which: ColumnElement[bool]) -> None:
    """Removes summaries from turns, because they may tell what is to be forgotten."""
    # Without its summary the prompt of a turn cannot be made again, and an empty version says so.
    affected = and_(which, turns.c.summary != "")
    connection.execute(update(turns).where(affected).values(summary="", prompt_version=""))


def remove_notes(connection: Connection, conversation: str, speaker: str) -> None:
    """Removes the notes of ``speaker`` from every turn; for EVERYBODY, those of a conversation's only speaker."""
    if speaker == EVERYBODY:
        # Who forgets a whole private conversation means their notes too; in a group, notes belong to their authors.
        statement = select(turns.c.speaker).where(turns.c.conversation == conversation).distinct().limit(2)
        speakers = connection.execute(statement).scalars().all()
        if len(speakers) != 1:
            return
        speaker = speakers[0]
    affected = and_(turns.c.speaker == speaker, cast(turns.c.notes, String) != "[]")
    connection.execute(update(turns).where(affected).values(notes=[], prompt_version=""))


def remove_orphans(connection: Connection) -> None:
    """Removes snapshots that no turn refers to any more."""
    connection.execute(delete(passages).where(~exists().where(turn_passages.c.digest == passages.c.digest)))


def remove_unclaimed(connection: Connection, before: datetime) -> None:
    """Removes feedback whose turn never arrived, and old marks of forgotten turns, for which no more feedback will come."""
    waiting = ~exists().where(turns.c.turn_id == feedback.c.turn_id)
    connection.execute(delete(feedback).where(feedback.c.given_at < before, waiting))
    connection.execute(delete(forgotten_turns).where(forgotten_turns.c.forgotten_at < before))


def refuse_turns(connection: Connection, ids: Iterable[str], at: datetime) -> None:
    """Marks turns as forgotten that arrive after the request to forget them, and removes feedback that waited for them."""
    for turn_id in sorted(ids):  # in one order: two writers that lock rows in one order cannot deadlock
        row = upsert(connection, forgotten_turns).values(turn_id=turn_id, forgotten_at=at)
        connection.execute(row.on_conflict_do_nothing())
        connection.execute(delete(feedback).where(feedback.c.turn_id == turn_id))


def remove_feedback_of(connection: Connection, conversation: str, speaker: str, before: datetime) -> None:
    """Removes a speaker's feedback on all turns of the conversation, whoever asked them."""
    there = select(turns.c.turn_id).where(turns.c.conversation == conversation)
    theirs = and_(feedback.c.speaker == speaker, feedback.c.given_at <= before, feedback.c.turn_id.in_(there))
    connection.execute(delete(feedback).where(theirs))


def present_names(connection: Connection, conversations: Iterable[str]) -> dict[str, str]:
    """The present id of each conversation, by the id that was asked for."""
    names = set(conversations)
    rows = connection.execute(select(renames).where(renames.c.old.in_(names)))
    return {name: name for name in names} | {row.old: row.new for row in rows}


def rename_turns(connection: Connection, old: str, new: str) -> int:
    """Gives turns another conversation id, and points earlier names to it. Returns the number of turns."""
    # So one look-up is enough, however often a conversation was renamed.
    connection.execute(update(renames).where(renames.c.new == old).values(new=new))
    # An id that is used again must not point elsewhere.
    connection.execute(delete(renames).where(renames.c.old == new))
    row = upsert(connection, renames).values(old=old, new=new)
    connection.execute(row.on_conflict_do_update(index_elements=["old"], set_={"new": new}))
    return connection.execute(update(turns).where(turns.c.conversation == old).values(conversation=new)).rowcount


def rename_tombstones(connection: Connection, old: str, new: str) -> None:
    """Copies tombstones to the new name, so that what was forgotten stays forgotten. Both names are keyed hashes."""
    for row in connection.execute(select(tombstones).where(tombstones.c.conversation == old)).all():
        add_tombstone(connection, new, row.speaker, row.forgotten_at)
