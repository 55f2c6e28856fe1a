"""Migrations of the log's schema, run from Python at every start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tuning.errors import DatabaseTooNew

if TYPE_CHECKING:
    from sqlalchemy import Connection


def upgrade(connection: Connection, to: str = "head") -> None:
    """Runs the missing migrations up to a revision, inside the caller's transaction. Only one caller at a time may do so."""
    config = Config()
    # Alembic reads options with configparser, which takes a percent sign for interpolation: it must be doubled.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    _refuse_unknown(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, to)


def _refuse_unknown(connection: Connection, scripts: ScriptDirectory) -> None:
    revisions = {script.revision for script in scripts.walk_revisions()}
    if unknown := set(MigrationContext.configure(connection).get_current_heads()) - revisions:
        raise DatabaseTooNew(
            f"the conversation log was written by a newer version of Cotorra (its revision {min(unknown)} is unknown "
            "here); install that version again, or name another database in DATABASE_URL"
        )
