"""Cache of the pages of one source in an SQLite file, so that unchanged pages are neither fetched nor parsed again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rag.errors import KnowledgeError
from rag.knowledge.loaders.web.page import VERSION, Facts

FILE = "web.sqlite"
LAYOUT = 1
BUSY = 30.0
"""Seconds to wait for a lock of another process."""

_SCHEMA = """
    create table if not exists pages (
        address text primary key, etag text, modified text, kind text, rules text, body text, facts text, crawl text
    ) without rowid;
    create table if not exists bodies (body text primary key, packed blob) without rowid;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A page in the cache. ``kind`` is its Content-Type, ``rules`` its X-Robots-Tag, ``body`` the sha256 (hex) of its bytes."""

    address: str
    etag: str = ""
    modified: str = ""
    kind: str = ""
    rules: str = ""
    body: str = ""


class Cache:
    """The pages of one source. Every page is one transaction, so a crash loses at most the last one. One thread at a time."""

    def __init__(self, folder: Path, crawl: str) -> None:
        """``crawl`` identifies this crawl: ``finish`` removes the pages that it did not touch."""
        self._crawl = crawl
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = _open(folder / FILE)
        except (OSError, sqlite3.Error) as error:
            raise KnowledgeError(
                f"cannot keep pages in {folder}: {error}; make the folder writable, or free some space"
            ) from error

    def close(self) -> None:
        self._database.close()

    def get(self, address: str) -> Stored | None:
        columns = "address, etag, modified, kind, rules, body"
        row = self._database.execute(f"select {columns} from pages where address = ?", (address,)).fetchone()  # noqa: S608
        return Stored(**dict(zip(columns.split(", "), row, strict=True))) if row else None

    def store(self, page: Stored, content: bytes) -> Stored:
        """Stores a fetched page with its bytes; returns the page with their hash."""
        digest = hashlib.sha256(content).hexdigest()
        values = (page.address, page.etag, page.modified, page.kind, page.rules, digest, self._crawl)
        with self._database:
            # Several addresses may have the same body, which is stored once.
            self._database.execute("insert or ignore into bodies values (?, ?)", (digest, zlib.compress(content, 1)))
            self._database.execute(  # facts of the same bytes stay
                """insert into pages values (?1, ?2, ?3, ?4, ?5, ?6, null, ?7) on conflict do update set etag = ?2,
                modified = ?3, kind = ?4, rules = ?5, body = ?6, crawl = ?7,
                facts = case when body = ?6 and kind = ?4 then facts end""",
                values,
            )
        return replace(page, body=digest)

    def touch(self, page: Stored) -> Stored:
        """Marks an unchanged page as seen by this crawl, and stores its current rules."""
        with self._database:
            self._database.execute(
                "update pages set crawl = ?, rules = ? where address = ?", (self._crawl, page.rules, page.address)
            )
        return page

    def forget(self, address: str) -> None:
        with self._database:
            self._database.execute("delete from pages where address = ?", (address,))

    def finish(self) -> None:
        """Removes the pages that this crawl did not touch; call it only after a complete crawl."""
        with self._database:
            self._database.execute("delete from pages where crawl <> ?", (self._crawl,))
            self._database.execute("delete from bodies where body not in (select body from pages)")

    def body(self, page: Stored) -> bytes:
        return _body(self._database, page.body)

    def facts(self, page: Stored, read: Callable[[bytes], Facts]) -> Facts:
        """The facts of a page; they are computed from its bytes with ``read`` once, then cached."""
        row = self._database.execute("select facts from pages where address = ?", (page.address,)).fetchone()
        if row and row[0] and (stored := json.loads(row[0])).pop("version") == VERSION:
            return Facts(**{**stored, "links": tuple(stored["links"])})
        facts = read(self.body(page))
        text = json.dumps({"version": VERSION, **asdict(facts)})
        with self._database:
            self._database.execute("update pages set facts = ? where address = ?", (text, page.address))
        return facts


def stored_body(folder: Path, digest: str) -> bytes:
    """The bytes with a given hash; may be called from any thread. Raises ``KnowledgeError`` if the cache was removed."""
    try:
        with closing(
            sqlite3.connect(f"{(folder / FILE).absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY)
        ) as database:
            return _body(database, digest)
    except sqlite3.Error as error:
        raise KnowledgeError(f"cannot be read from {folder / FILE}: {error}; run cotorra sync again") from error


def _body(database: sqlite3.Connection, digest: str) -> bytes:
    row = database.execute("select packed from bodies where body = ?", (digest,)).fetchone()
    if row is None:
        raise KnowledgeError("changed while it was read; run cotorra sync again")
    return zlib.decompress(row[0])


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        for each in _files(path):  # damaged, or no database: a cache can be filled again
            each.unlink(missing_ok=True)
        return _connect(path)


def _files(path: Path) -> Iterable[Path]:
    return (path, path.with_name(f"{FILE}-wal"), path.with_name(f"{FILE}-shm"))


def _connect(path: Path) -> sqlite3.Connection:
    # Each step of the crawl's generator may run in another thread, but never two at the same time.
    database = sqlite3.connect(path, timeout=BUSY, check_same_thread=False)
    try:
        # secure_delete: removed pages must not remain readable in the file.
        database.executescript("pragma journal_mode = wal; pragma synchronous = normal; pragma secure_delete = on;")
        (layout,) = database.execute("pragma user_version").fetchone()
        if layout != LAYOUT:
            database.executescript("drop table if exists pages; drop table if exists bodies;")
        database.executescript(f"{_SCHEMA} pragma user_version = {LAYOUT};")
        database.execute("select count(*) from pages").fetchone()
    except BaseException:
        database.close()
        raise
    return database
