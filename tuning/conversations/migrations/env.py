"""Alembic's environment. Migrations run on the given connection, inside that connection's transaction."""

from __future__ import annotations

from alembic import context

from tuning.conversations.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
