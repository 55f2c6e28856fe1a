"""Errors of the learning side.

TuningError
├── LogUnavailable           the log's database does not answer; later it may
├── LogRefused               the database answers, and refuses: trying again changes nothing
├── DatabaseTooNew           a newer version of Cotorra wrote the database
├── DatabaseUrlWrong         a URL that names no database we can use
├── ExportFailed             an export file cannot be written
├── ImportRefused            a line of an export file is not what an export writes
└── AdapterMissing           an adapter is asked for that is not in the registry
"""

from __future__ import annotations


class TuningError(Exception):
    """Root of the tree. The message says what happened, to which thing, and what to do."""


class LogUnavailable(TuningError):
    """The log's database does not answer; nothing was written, trying again later may help."""


class LogRefused(TuningError):
    """The log's database refuses what it was given; trying the same again does not help."""


class DatabaseTooNew(TuningError):
    """The database was written by a newer version of Cotorra than this one."""


class DatabaseUrlWrong(TuningError):
    """DATABASE_URL is malformed, or names a database that is neither SQLite nor PostgreSQL."""


class ExportFailed(TuningError):
    """A file cannot be written."""


class ImportRefused(TuningError):
    """A file to be imported holds a line that no export writes; the message names file and line."""


class AdapterMissing(TuningError):
    """An adapter is asked for that is not there; the message names those that are."""
