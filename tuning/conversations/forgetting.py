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


def turn_name(turn_id: str) -> str:
    """The name under which a single turn is buried; no conversation begins so."""
    return f"turn {turn_id}"


class Tombstones:
    """What was forgotten of some conversations, or single turns. ``conversations`` maps each one's name to its keyed hash."""

    def __init__(self, connection: Connection, conversations: dict[str, str]) -> None:
        found = select(tombstones).where(tombstones.c.conversation.in_(set(conversations.values())))
        self._keys = conversations
        self._times = {(row.conversation, row.speaker): row.forgotten_at for row in connection.execute(found)}

    def cover(self, conversation: str, speaker: str, at: datetime) -> bool:
        """True if what the speaker said at that time was forgotten since."""
        times = (self._times.get((self._keys[conversation], who)) for who in (EVERYBODY, speaker))
        return any(time is not None and at <= time for time in times)

    def touch(self, conversation: str, at: datetime) -> bool:
        """True if anything of the conversation, whoever's it was, was forgotten since that time."""
        key = self._keys[conversation]
        return any(where == key and at <= time for (where, _), time in self._times.items())


def bury(connection: Connection, conversation: str, speaker: str, at: datetime) -> None:
    """Remembers that everything up to ``at`` is forgotten. ``conversation`` is its keyed hash."""
    statement = upsert(connection, tombstones).values(conversation=conversation, speaker=speaker, forgotten_at=at)
    later = {"forgotten_at": statement.excluded.forgotten_at}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["conversation", "speaker"],
            set_=later,
            where=tombstones.c.forgotten_at < statement.excluded.forgotten_at,
        )
    )


def remove_turns(connection: Connection, which: ColumnElement[bool], at: datetime) -> int:
    """Removes turns with all that hangs on them; the caller must be alone. Returns how many there were."""
    connection.execute(
        delete(forgotten_turns).where(forgotten_turns.c.turn_id.in_(select(turns.c.turn_id).where(which)))
    )
    gone = select(turns.c.turn_id, literal(at, turns.c.asked_at.type)).where(which)
    connection.execute(insert(forgotten_turns).from_select(["turn_id", "forgotten_at"], gone))
    connection.execute(delete(feedback).where(feedback.c.turn_id.in_(select(turns.c.turn_id).where(which))))
    removed = connection.execute(delete(turns).where(which)).rowcount
    remove_orphans(connection)
    return removed


def remove_summaries(connection: Connection, which: ColumnElement[bool]) -> None:
    """Takes out what summaries in other turns may tell of what is forgotten; their prompts cannot be made again then."""
    held = and_(which, turns.c.summary != "")
    connection.execute(update(turns).where(held).values(summary="", prompt_version=""))


def remove_notes(connection: Connection, conversation: str, speaker: str) -> None:
    """Takes the notes of ``speaker`` out of every turn; for EVERYBODY, of the only one who speaks in the conversation."""
    if speaker == EVERYBODY:
        there = select(turns.c.speaker).where(turns.c.conversation == conversation).distinct().limit(2)
        found = connection.execute(there).scalars().all()
        if len(found) != 1:
            return
        speaker = found[0]
    held = and_(turns.c.speaker == speaker, cast(turns.c.notes, String) != "[]")
    connection.execute(update(turns).where(held).values(notes=[], prompt_version=""))


def remove_orphans(connection: Connection) -> None:
    """Snapshots that no turn shows any more."""
    connection.execute(delete(passages).where(~exists().where(turn_passages.c.digest == passages.c.digest)))


def remove_unclaimed(connection: Connection, before: datetime) -> None:
    """Feedback whose turn never came, and marks that no feedback will meet any more."""
    waiting = ~exists().where(turns.c.turn_id == feedback.c.turn_id)
    connection.execute(delete(feedback).where(feedback.c.given_at < before, waiting))
    connection.execute(delete(forgotten_turns).where(forgotten_turns.c.forgotten_at < before))


def refuse_turns(connection: Connection, ids: Iterable[str], at: datetime) -> None:
    """Marks turns that came too late as gone, with the feedback that waited for them."""
    for turn_id in sorted(ids):
        row = upsert(connection, forgotten_turns).values(turn_id=turn_id, forgotten_at=at)
        connection.execute(row.on_conflict_do_nothing())
        connection.execute(delete(feedback).where(feedback.c.turn_id == turn_id))


def remove_feedback_of(connection: Connection, conversation: str, speaker: str, before: datetime) -> None:
    """What a speaker said about anybody's turns in the conversation."""
    there = select(turns.c.turn_id).where(turns.c.conversation == conversation)
    theirs = and_(feedback.c.speaker == speaker, feedback.c.given_at <= before, feedback.c.turn_id.in_(there))
    connection.execute(delete(feedback).where(theirs))


def present_names(connection: Connection, conversations: Iterable[str]) -> dict[str, str]:
    """Every conversation's id today, by the id that was asked for."""
    asked = set(conversations)
    found = connection.execute(select(renames).where(renames.c.old.in_(asked)))
    return {name: name for name in asked} | {row.old: row.new for row in found}


def rename_turns(connection: Connection, old: str, new: str) -> int:
    """Moves turns, and every earlier name with them. Returns how many turns moved."""
    connection.execute(update(renames).where(renames.c.new == old).values(new=new))
    # A name that is given back is a name again.
    connection.execute(delete(renames).where(renames.c.old == new))
    row = upsert(connection, renames).values(old=old, new=new)
    connection.execute(row.on_conflict_do_update(index_elements=["old"], set_={"new": new}))
    return connection.execute(update(turns).where(turns.c.conversation == old).values(conversation=new)).rowcount


def rename_tombstones(connection: Connection, old: str, new: str) -> None:
    """What was forgotten under the old name stays forgotten under the new one. Both are keyed hashes."""
    for row in connection.execute(select(tombstones).where(tombstones.c.conversation == old)).all():
        bury(connection, new, row.speaker, row.forgotten_at)
