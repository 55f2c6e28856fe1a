"""Pages as they were last read, in one SQLite file: what did not change is neither sent nor read again."""

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
"""Seconds to wait for another process that writes."""

_SCHEMA = """
    create table if not exists pages (
        address text primary key, etag text, modified text, kind text, rules text, body text, facts text, crawl text
    ) without rowid;
    create table if not exists bodies (body text primary key, packed blob) without rowid;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A page as it was read. ``kind`` is its Content-Type, ``rules`` its X-Robots-Tag, ``body`` the hash of its bytes."""

    address: str
    etag: str = ""
    modified: str = ""
    kind: str = ""
    rules: str = ""
    body: str = ""


class Cache:
    """The pages of one source. A crash at any point leaves it as it was after some page; one thread at a time."""

    def __init__(self, folder: Path, crawl: str) -> None:
        """``crawl`` names the crawl that reads now: what it did not touch by its end is forgotten."""
        self._crawl = crawl
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = _opened(folder / FILE)
        except (OSError, sqlite3.Error) as error:
            raise KnowledgeError(
                f"cannot keep pages in {folder}: {error}; make the folder writable, or free some space"
            ) from error

    def close(self) -> None:
        self._database.close()

    def get(self, address: str) -> Stored | None:
        columns = "address, etag, modified, kind, rules, body"
        found = self._database.execute(f"select {columns} from pages where address = ?", (address,)).fetchone()  # noqa: S608
        return Stored(**dict(zip(columns.split(", "), found, strict=True))) if found else None

    def keep(self, page: Stored, content: bytes) -> Stored:
        """Stores a page that was sent, with its bytes; gives it back with their hash."""
        digest = hashlib.sha256(content).hexdigest()
        values = (page.address, page.etag, page.modified, page.kind, page.rules, digest, self._crawl)
        with self._database:
            self._database.execute("insert or ignore into bodies values (?, ?)", (digest, zlib.compress(content, 1)))
            self._database.execute(  # facts of the same bytes stay
                """insert into pages values (?1, ?2, ?3, ?4, ?5, ?6, null, ?7) on conflict do update set etag = ?2,
                modified = ?3, kind = ?4, rules = ?5, body = ?6, crawl = ?7,
                facts = case when body = ?6 and kind = ?4 then facts end""",
                values,
            )
        return replace(page, body=digest)

    def touch(self, page: Stored) -> Stored:
        """This crawl has seen that the page stays as it was, by the rules that it has now."""
        with self._database:
            self._database.execute(
                "update pages set crawl = ?, rules = ? where address = ?", (self._crawl, page.rules, page.address)
            )
        return page

    def forget(self, address: str) -> None:
        with self._database:
            self._database.execute("delete from pages where address = ?", (address,))

    def finish(self) -> None:
        """The crawl is complete: what it did not see goes."""
        with self._database:
            self._database.execute("delete from pages where crawl <> ?", (self._crawl,))
            self._database.execute("delete from bodies where body not in (select body from pages)")

    def body(self, page: Stored) -> bytes:
        return _body(self._database, page.body)

    def facts(self, page: Stored, read: Callable[[bytes], Facts]) -> Facts:
        """The facts of a page, read from its bytes once."""
        row = self._database.execute("select facts from pages where address = ?", (page.address,)).fetchone()
        if row and row[0] and (known := json.loads(row[0])).pop("version") == VERSION:
            return Facts(**{**known, "links": tuple(known["links"])})
        facts = read(self.body(page))
        text = json.dumps({"version": VERSION, **asdict(facts)})
        with self._database:
            self._database.execute("update pages set facts = ? where address = ?", (text, page.address))
        return facts


def stored_body(folder: Path, digest: str) -> bytes:
    """The bytes with this hash; any thread may ask. Raises ``KnowledgeError`` when the cache was removed."""
    try:
        with closing(
            sqlite3.connect(f"{(folder / FILE).absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY)
        ) as database:
            return _body(database, digest)
    except sqlite3.Error as error:
        raise KnowledgeError(f"cannot be read from {folder / FILE}: {error}; run cotorra sync again") from error


def _body(database: sqlite3.Connection, digest: str) -> bytes:
    found = database.execute("select packed from bodies where body = ?", (digest,)).fetchone()
    if found is None:
        raise KnowledgeError("changed while it was read; run cotorra sync again")
    return zlib.decompress(found[0])


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        for each in _files(path):  # no database, or damaged: everything in it can be read again
            each.unlink(missing_ok=True)
        return _connected(path)


def _files(path: Path) -> Iterable[Path]:
    return (path, path.with_name(f"{FILE}-wal"), path.with_name(f"{FILE}-shm"))


def _connected(path: Path) -> sqlite3.Connection:
    # A generator may be advanced by another thread each time, by one at a time.
    database = sqlite3.connect(path, timeout=BUSY, check_same_thread=False)
    try:
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
