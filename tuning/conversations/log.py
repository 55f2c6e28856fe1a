"""The conversation log: every turn that was answered, what it showed, and what people thought of it.

Everything here blocks; call it in a thread. Texts are redacted and speakers become pseudonyms on the way in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import and_, func, select

from tuning.conversations import migrations, recording, rows, tables
from tuning.conversations.database import Database
from tuning.conversations.forgetting import (
    EVERYBODY,
    bury,
    present_names,
    refuse_turns,
    remove_feedback_of,
    remove_notes,
    remove_summaries,
    remove_turns,
    remove_unclaimed,
    rename_tombstones,
    rename_turns,
    turn_name,
)
from tuning.conversations.privacy import keyed_hash, pseudonym, redact_feedback, redact_turn
from tuning.conversations.records import ConversationSummary, LogCounts, LoggedFeedback, LoggedTurn, ReviewedTurn

PAGE = 200
"""Turns that are read at once where all of them are wanted."""


class ConversationLog:
    """The log in one database. Methods raise ``LogUnavailable`` or ``LogRefused``; safe to share between threads.

    ``secret`` keys the pseudonyms: with another one, people are strangers to what was logged before.
    """

    def __init__(self, url: str, secret: bytes, *, redact: bool = True) -> None:
        self._database = Database(url)
        self._secret = secret
        self._redact = redact

    def __repr__(self) -> str:
        return f"ConversationLog({self._database!r})"

    def upgrade(self) -> None:
        """Brings the schema up to date; several processes may do it at once. Raises ``DatabaseTooNew``."""
        with self._database.write(alone=True) as connection:
            migrations.upgrade(connection)

    def record(self, turns: Sequence[LoggedTurn]) -> int:
        """Writes turns, some hundred at once; one that was written before is replaced. Returns how many are kept.

        What was forgotten after it was asked is not written.
        """
        if not turns:
            return 0
        prepared = {turn.turn_id: self._prepared(turn) for turn in turns}
        with self._database.write() as connection:
            return recording.record(connection, list(prepared.values()), self._key, datetime.now(UTC))

    def give_feedback(self, feedback: Sequence[LoggedFeedback]) -> None:
        """Writes feedback, also on a turn that is not here yet. A person has one opinion of a turn: the latest rating.

        An empty reason or better answer erases none. Feedback on what was forgotten is not kept.
        """
        if not feedback:
            return
        prepared = [self._prepared_feedback(one) for one in feedback]
        prepared.sort(key=lambda one: (one.turn_id, one.speaker, one.given_at))
        with self._database.write() as connection:
            recording.give_feedback(connection, prepared, self._key)

    def conversations(self, limit: int = 50, before: datetime | None = None) -> list[ConversationSummary]:
        """The latest conversations first; ``before`` continues a list after its last one's ``last_at``."""
        last = func.max(tables.turns.c.asked_at)
        statement = (
            select(
                tables.turns.c.conversation,
                func.max(tables.turns.c.platform).label("platform"),
                func.count().label("turns"),
                func.min(tables.turns.c.asked_at).label("first_at"),
                last.label("last_at"),
            )
            .group_by(tables.turns.c.conversation)
            .order_by(last.desc(), tables.turns.c.conversation)
            .limit(limit)
        )
        if before is not None:
            statement = statement.having(last < before)
        with self._database.read() as connection:
            return [ConversationSummary(**row) for row in connection.execute(statement).mappings()]

    def show(self, conversation: str) -> list[ReviewedTurn]:
        """Every turn of a conversation with its passages and feedback, oldest first."""
        statement = select(tables.turns).order_by(tables.turns.c.asked_at, tables.turns.c.turn_id)
        with self._database.read() as connection:
            name = present_names(connection, [conversation])[conversation]
            return rows.reviewed(connection, statement.where(tables.turns.c.conversation == name))

    def turns(self, conversation: str | None = None, *, at_once: int = PAGE) -> Iterator[ReviewedTurn]:
        """Every turn, by its id, page by page: the log may be larger than memory."""
        statement = select(tables.turns).order_by(tables.turns.c.turn_id).limit(at_once)
        if conversation is not None:
            with self._database.read() as connection:
                name = present_names(connection, [conversation])[conversation]
            statement = statement.where(tables.turns.c.conversation == name)
        last = ""
        while True:
            with self._database.read() as connection:
                page = rows.reviewed(connection, statement.where(tables.turns.c.turn_id > last))
            yield from page
            if len(page) < at_once:
                return
            last = page[-1].turn.turn_id

    def counts(self) -> LogCounts:
        """How much the log holds."""
        sizes = select(
            select(func.count(tables.turns.c.conversation.distinct())).scalar_subquery().label("conversations"),
            *(
                select(func.count()).select_from(table).scalar_subquery().label(table.name)
                for table in (tables.turns, tables.passages, tables.feedback)
            ),
        )
        with self._database.read() as connection:
            return LogCounts(**connection.execute(sizes).mappings().one())

    def forget(self, conversation: str, speaker: str | None = None, before: datetime | None = None) -> int:
        """Removes what was asked up to ``before`` (now), by everybody or one speaker, with feedback and snapshots.

        Returns the number of turns removed. What was asked by then and arrives later is not written either. Summaries in what
        the others asked go too: they may hold the speaker's words; so do the speaker's notes, in every conversation.
        """
        until = before or datetime.now(UTC)
        who = EVERYBODY if speaker is None else pseudonym(self._secret, speaker)
        with self._database.write(alone=True) as connection:
            name = present_names(connection, [conversation])[conversation]
            bury(connection, self._key(name), who, until)
            there = and_(tables.turns.c.conversation == name, tables.turns.c.asked_at <= until)
            remove_summaries(connection, there)
            remove_notes(connection, name, who)
            if speaker is not None:
                remove_feedback_of(connection, name, who, until)
                there = and_(there, tables.turns.c.speaker == who)
            removed = remove_turns(connection, there, datetime.now(UTC))
        self._database.scrub()
        return removed

    def forget_turn(self, turn_id: str) -> bool:
        """Removes one turn with feedback and snapshots, and keeps it from being written again. False if it was not here."""
        now = datetime.now(UTC)
        with self._database.write(alone=True) as connection:
            bury(connection, self._key(turn_name(turn_id)), EVERYBODY, now)
            there = select(tables.turns.c.conversation).where(tables.turns.c.turn_id == turn_id).scalar_subquery()
            remove_summaries(connection, tables.turns.c.conversation == there)
            removed = remove_turns(connection, tables.turns.c.turn_id == turn_id, now)
            refuse_turns(connection, [turn_id], now)
        self._database.scrub()
        return removed > 0

    def rename(self, old: str, new: str) -> int:
        """A conversation got another id (a Telegram group became a supergroup). Returns how many turns moved."""
        with self._database.write(alone=True) as connection:
            rename_tombstones(connection, self._key(old), self._key(new))
            return rename_turns(connection, old, new)

    def prune(self, before: datetime) -> int:
        """Removes every turn asked before, and feedback whose turn never came. Returns the number of turns."""
        with self._database.write(alone=True) as connection:
            removed = remove_turns(connection, tables.turns.c.asked_at < before, datetime.now(UTC))
            remove_unclaimed(connection, before)
        self._database.scrub()
        return removed

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()

    def pseudonym(self, speaker: str) -> str:
        """The name under which the log knows a speaker."""
        return pseudonym(self._secret, speaker)

    def _key(self, conversation: str) -> str:
        return keyed_hash(self._secret, conversation)

    def _prepared(self, turn: LoggedTurn) -> LoggedTurn:
        known = replace(rows.storable_turn(turn), speaker=pseudonym(self._secret, turn.speaker))
        return redact_turn(known) if self._redact else known

    def _prepared_feedback(self, given: LoggedFeedback) -> LoggedFeedback:
        known = replace(rows.storable_feedback(given), speaker=pseudonym(self._secret, given.speaker))
        return redact_feedback(known) if self._redact else known
