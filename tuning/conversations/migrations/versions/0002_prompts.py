"""Columns for the parts of a turn's prompt, and for how its answer was written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for column in (
        sa.Column("recalled", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("summary", sa.Text, nullable=False, server_default=""),
        sa.Column("notes", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("prompt_version", sa.String, nullable=False, server_default=""),
        sa.Column("adapter_digest", sa.String, nullable=False, server_default=""),
        sa.Column("dropped", sa.Integer, nullable=False, server_default="0"),
        sa.Column("interrupted", sa.Boolean, nullable=False, server_default=sa.false()),
    ):
        op.add_column("turns", column)
