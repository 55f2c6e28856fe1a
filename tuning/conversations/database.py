"""The log's database, SQLite or PostgreSQL: its engine, its transactions and the mapping of its errors."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from tuning.errors import DatabaseUrlWrong, LogRefused, LogUnavailable

BUSY_SECONDS = 30
"""How long a writer waits for another one in SQLite, which allows one writer at a time."""
CONNECT_SECONDS = 10
"""Limit for a new connection to PostgreSQL."""
LOCK = 0x636F746F
"""The number of our advisory lock in PostgreSQL: the letters "coto" in ASCII."""


class Database:
    """One database, SQLite or PostgreSQL. Blocking; safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = database_url(url)
        self.engine = _sqlite(self.url) if self.url.get_backend_name() == "sqlite" else _postgresql(self.url)
        # A read of several statements must see one state. In WAL mode every SQLite transaction does; in PostgreSQL the
        # default level sees other commits in between.
        self._reading = {"begin": "BEGIN"} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state. Raises ``LogUnavailable`` or ``LogRefused``."""
        with _mapped(self), self.engine.connect().execution_options(**self._reading) as connection:
            yield connection

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Connection]:
        """A transaction that is committed at the end. With ``alone`` there is no other writer until then.

        A caller that removes snapshots must be alone: another writer may just have found one of them and refer to it.
        """
        with _mapped(self), self.engine.begin() as connection:
            # SQLite needs no lock of ours: BEGIN IMMEDIATE lets one writer in at a time anyway.
            if not self._is_sqlite:
                shared = "" if alone else "_shared"
                connection.execute(text(f"SELECT pg_advisory_xact_lock{shared}(:lock)"), {"lock": LOCK})
            yield connection

    def scrub(self) -> None:
        """Empties SQLite's write-ahead log, in which deleted text could be read until it is overwritten."""
        if self._is_sqlite:
            with _mapped(self), self.engine.connect().execution_options(begin="") as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.engine.dispose()


def database_url(url: str) -> URL:
    """The URL with the driver that is installed with Cotorra. Raises ``DatabaseUrlWrong``."""
    # Neither error quotes the URL, nor has a cause that does: it may hold a password.
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseUrlWrong("DATABASE_URL is no URL; write sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise DatabaseUrlWrong(
        f"DATABASE_URL begins with {parsed.drivername}://; write sqlite:///FILE or postgresql://USER@HOST/NAME"
    )


def upsert(connection: Connection, table: Any) -> Any:
    """The dialect's INSERT with ON CONFLICT. Both dialects write it alike, but SQLAlchemy gives them no common type."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite_dialect).insert(table)


def _postgresql(url: URL) -> Engine:
    options = {"connect_timeout": CONNECT_SECONDS, "application_name": "cotorra"}
    # Parameters are what people wrote, and SQLAlchemy would quote them in its errors. A pre-ping notices a restarted server.
    return create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=options)


def _sqlite(url: URL) -> Engine:
    _create_private_file(Path(str(url.database)))
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_private_file(path: Path) -> None:
    """Creates the database file, readable by its owner only. SQLite gives its side files the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only a new file: closing any descriptor of a database drops the locks that this process has on it.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise LogUnavailable(f"the conversation log cannot be opened at {path}: {error.strerror}") from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Python's sqlite3 would begin transactions by itself, too late for a lock; _begin_sqlite does it.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    _enter_wal(connection)
    # The outbox forgets a turn once it is committed here, so a commit must outlive a power cut:
    # in WAL mode only FULL syncs at each commit. One sync a batch costs milliseconds.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is deleted is overwritten, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")


def _enter_wal(connection: Any) -> None:
    """Switches to WAL mode, in a loop: a change of the journal mode ignores busy_timeout.

    Processes that start at the same time would otherwise fail with "database is locked".
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """Begins a transaction, by default with the write lock.

    A transaction that reads first and writes later cannot wait for the lock: SQLite refuses it at once.
    """
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))


@contextmanager
def _mapped(database: Database) -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise LogUnavailable(f"{database!r} does not answer: {_first_line(error)}") from error
    except DBAPIError as error:
        # Only the type of the error: the server's message may quote the row.
        raise LogRefused(f"{database!r} refused a statement ({type(error.orig).__name__})") from error


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
