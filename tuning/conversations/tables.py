"""The log's tables. A conversation has no table of its own: it consists of the turns with its id.

Every change here needs a numbered migration in ``migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An aware datetime, stored in UTC to the microsecond. SQLite stores text without a zone, which sorts by time in one zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

turns = Table(
    "turns",
    metadata,
    Column("turn_id", String, primary_key=True),
    Column("conversation", String, nullable=False),
    Column("platform", String, nullable=False),
    Column("speaker", String, nullable=False),
    Column("language", String, nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("outcome", String, nullable=False),
    Column("model", Text, nullable=False),
    Column("adapter", Text),
    Column("seconds", JSON, nullable=False),
    Column("reply_id", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("cited", JSON, nullable=False),
    # Defaults in the database, because in a rolling update processes of the version before still insert rows.
    Column("recalled", JSON, nullable=False, server_default="[]"),
    Column("summary", Text, nullable=False, server_default=""),
    Column("notes", JSON, nullable=False, server_default="[]"),
    Column("prompt_version", String, nullable=False, server_default=""),
    Column("adapter_digest", String, nullable=False, server_default=""),
    Column("dropped", Integer, nullable=False, server_default="0"),
    Column("interrupted", Boolean, nullable=False, server_default=false()),
    Index("turns_by_conversation", "conversation", "asked_at"),
    Index("turns_by_time", "asked_at"),
)

passages = Table(
    "passages",
    metadata,
    Column("digest", String, primary_key=True),
    Column("title", Text, nullable=False),
    Column("headings", JSON, nullable=False),
    Column("url", Text, nullable=False),
    Column("text", Text, nullable=False),
)
"""Snapshots of passages, shared by all turns that showed the same one. A row never changes."""

turn_passages = Table(
    "turn_passages",
    metadata,
    Column("turn_id", ForeignKey("turns.turn_id", ondelete="CASCADE"), primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("digest", ForeignKey("passages.digest"), nullable=False),
    Column("score", Double, nullable=False),
    # Not part of the digest: the same page may reach the index through two sources.
    Column("source", Text, nullable=False),
    Index("turn_passages_by_digest", "digest"),
)

feedback = Table(
    "feedback",
    metadata,
    # No foreign key: feedback may arrive before the turn, which goes through the outbox.
    Column("turn_id", String, primary_key=True),
    Column("speaker", String, primary_key=True),
    Column("rating", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("better_answer", Text, nullable=False),
    Column("given_at", Instant, nullable=False),
)

renames = Table(
    "renames",
    metadata,
    Column("old", String, primary_key=True),
    Column("new", String, nullable=False),
)
"""Conversations that got another id from their platform, for turns that arrive under the old id."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("conversation", String, primary_key=True),
    Column("speaker", String, primary_key=True),
    Column("forgotten_at", Instant, nullable=False),
)
"""Requests to forget, by keyed hash of the conversation: a turn that was asked before one must not be written after it.

An empty speaker means everybody in the conversation.
"""

forgotten_turns = Table(
    "forgotten_turns",
    metadata,
    Column("turn_id", String, primary_key=True),
    Column("forgotten_at", Instant, nullable=False),
)
"""Ids of forgotten turns, so that feedback on them is not written either."""
