"""Tables for turns, their passages, feedback, and what was forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_turns()
    _create_snapshots()
    _create_feedback()
    _create_names_and_tombstones()


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("turn_id", sa.String, primary_key=True),
        sa.Column("conversation", sa.String, nullable=False),
        sa.Column("platform", sa.String, nullable=False),
        sa.Column("speaker", sa.String, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("adapter", sa.Text),
        sa.Column("seconds", sa.JSON, nullable=False),
        sa.Column("reply_id", sa.Text, nullable=False),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("cited", sa.JSON, nullable=False),
        sa.Index("turns_by_conversation", "conversation", "asked_at"),
        sa.Index("turns_by_time", "asked_at"),
    )


def _create_snapshots() -> None:
    op.create_table(
        "passages",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("headings", sa.JSON, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "turn_passages",
        sa.Column("turn_id", sa.String, sa.ForeignKey("turns.turn_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("rank", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String, sa.ForeignKey("passages.digest"), nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Index("turn_passages_by_digest", "digest"),
    )


def _create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("turn_id", sa.String, primary_key=True),
        sa.Column("speaker", sa.String, primary_key=True),
        sa.Column("rating", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("better_answer", sa.Text, nullable=False),
        sa.Column("given_at", INSTANT, nullable=False),
    )


def _create_names_and_tombstones() -> None:
    op.create_table(
        "renames",
        sa.Column("old", sa.String, primary_key=True),
        sa.Column("new", sa.String, nullable=False),
    )
    op.create_table(
        "tombstones",
        sa.Column("conversation", sa.String, primary_key=True),
        sa.Column("speaker", sa.String, primary_key=True),
        sa.Column("forgotten_at", INSTANT, nullable=False),
    )
    op.create_table(
        "forgotten_turns",
        sa.Column("turn_id", sa.String, primary_key=True),
        sa.Column("forgotten_at", INSTANT, nullable=False),
    )
