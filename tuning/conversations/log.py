"""The conversation log: every answered turn, the passages that it showed, and the feedback of people.

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
    add_tombstone,
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
"""How many turns are read at once when all are listed."""


class ConversationLog:
    """The log in one database. Methods raise ``LogUnavailable`` or ``LogRefused``; safe to share between threads.

    ``secret`` is the key of the pseudonyms: with another one, the same people get other pseudonyms than before.
    """

    def __init__(self, url: str, secret: bytes, *, redact: bool = True) -> None:
        self._database = Database(url)
        self._secret = secret
        self._redact = redact

    def __repr__(self) -> str:
        return f"ConversationLog({self._database!r})"

    def upgrade(self) -> None:
        """Brings the schema up to date. Several processes may call it at the same time. Raises ``DatabaseTooNew``."""
        with self._database.write(alone=True) as connection:
            migrations.upgrade(connection)

    def record(self, turns: Sequence[LoggedTurn]) -> int:
        """Writes turns, a few hundred at most; a turn that was written before is replaced. Returns how many were written.

        A turn that was asked before a request to forget it is not written.
        """
        if not turns:
            return 0
        # By id: if a batch holds two records of one turn (a redelivery), the last one counts.
        prepared = {turn.turn_id: self._prepared(turn) for turn in turns}
        with self._database.write() as connection:
            return recording.record(connection, list(prepared.values()), self._key, datetime.now(UTC))

    def give_feedback(self, feedback: Sequence[LoggedFeedback]) -> None:
        """Writes feedback, also on a turn that is not here yet. Only the latest rating of a person on a turn is kept.

        An empty reason or better answer erases no earlier one. Feedback on a forgotten turn is not written.
        """
        if not feedback:
            return
        prepared = [self._prepared_feedback(one) for one in feedback]
        prepared.sort(key=lambda one: (one.turn_id, one.speaker, one.given_at))
        with self._database.write() as connection:
            recording.give_feedback(connection, prepared, self._key)

    def conversations(self, limit: int = 50, before: datetime | None = None) -> list[ConversationSummary]:
        """Conversations, the latest first. ``before`` continues a list: pass the ``last_at`` of its last entry."""
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
        """Every turn (of one conversation, or all), ordered by id and read page by page: the log may be larger than memory."""
        statement = select(tables.turns).order_by(tables.turns.c.turn_id).limit(at_once)
        if conversation is not None:
            with self._database.read() as connection:
                name = present_names(connection, [conversation])[conversation]
            statement = statement.where(tables.turns.c.conversation == name)
        last = ""
        while True:
            # By the last id and not by an offset: turns that are deleted or added meanwhile shift no page.
            with self._database.read() as connection:
                page = rows.reviewed(connection, statement.where(tables.turns.c.turn_id > last))
            yield from page
            if len(page) < at_once:
                return
            last = page[-1].turn.turn_id

    def counts(self) -> LogCounts:
        """The number of conversations, turns, passages and feedback entries."""
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
        """Removes turns asked up to ``before`` (default: now), of everybody or one speaker, with feedback and snapshots.

        Turns that were asked by then and arrive later are not written either. Also removed are the summaries in turns of other
        speakers, since they may hold the speaker's words, and the speaker's notes in every conversation. Returns the number of
        removed turns.
        """
        until = before or datetime.now(UTC)
        who = EVERYBODY if speaker is None else pseudonym(self._secret, speaker)
        with self._database.write(alone=True) as connection:
            name = present_names(connection, [conversation])[conversation]
            # The tombstone outlives the turns: the outbox may still hold some that were asked before.
            add_tombstone(connection, self._key(name), who, until)
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
        """Removes one turn with feedback and snapshots, and refuses it from now on. Returns False if it was not here."""
        now = datetime.now(UTC)
        with self._database.write(alone=True) as connection:
            add_tombstone(connection, self._key(turn_name(turn_id)), EVERYBODY, now)
            there = select(tables.turns.c.conversation).where(tables.turns.c.turn_id == turn_id).scalar_subquery()
            remove_summaries(connection, tables.turns.c.conversation == there)
            removed = remove_turns(connection, tables.turns.c.turn_id == turn_id, now)
            refuse_turns(connection, [turn_id], now)
        self._database.scrub()
        return removed > 0

    def rename(self, old: str, new: str) -> int:
        """Gives a conversation another id (a Telegram group became a supergroup). Returns the number of its turns."""
        with self._database.write(alone=True) as connection:
            rename_tombstones(connection, self._key(old), self._key(new))
            return rename_turns(connection, old, new)

    def prune(self, before: datetime) -> int:
        """Removes turns that were asked before then, and feedback whose turn never arrived. Returns the number of turns."""
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
        stored = replace(rows.storable_turn(turn), speaker=pseudonym(self._secret, turn.speaker))
        return redact_turn(stored) if self._redact else stored

    def _prepared_feedback(self, given: LoggedFeedback) -> LoggedFeedback:
        stored = replace(rows.storable_feedback(given), speaker=pseudonym(self._secret, given.speaker))
        return redact_feedback(stored) if self._redact else stored
