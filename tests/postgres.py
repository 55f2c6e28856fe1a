"""A private PostgreSQL server for the session, and a schema of its own for each test.

Import both fixtures in the ``conftest.py`` of the folder that needs them.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from sqlalchemy import make_url


def programs() -> Path | None:
    """The folder of initdb and pg_ctl. Debian keeps them out of the path."""
    known = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    known += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in known if (folder / "pg_ctl").is_file()), None)


def _missing() -> NoReturn:
    complaint = "no PostgreSQL server is installed (apt-get install postgresql)"
    if os.environ.get("CI") == "true":
        pytest.fail(complaint)
    pytest.skip(complaint)


def _owner() -> str | None:
    """PostgreSQL refuses to run as root; then somebody without rights must do it."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL database: COTORRA_TEST_DATABASE_URL, or that of a server which is started here."""
    if given := os.environ.get("COTORRA_TEST_DATABASE_URL"):
        yield given
        return
    with serving(programs() or _missing()) as url:
        yield url


@contextmanager
def serving(folder_of_programs: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the context."""
    folder = Path(tempfile.mkdtemp(prefix="cotorra-postgres-"))
    owner = _owner()
    if owner:
        shutil.chown(folder, owner)
    data = str(folder / "data")
    # Sockets only; nothing is synced, for nothing here outlives the session.
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
    _as(
        owner,
        folder_of_programs / "initdb",
        "-D",
        data,
        "-U",
        "cotorra",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-sync",
    )
    _as(
        owner, folder_of_programs / "pg_ctl", "-D", data, "-w", "-l", str(folder / "server.log"), "-o", options, "start"
    )
    try:
        yield f"postgresql://cotorra@/postgres?host={folder}"
    finally:
        _as(owner, folder_of_programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty schema."""
    schema = f"test_{secrets.token_hex(6)}"
    url = make_url(postgres_server).set(drivername="postgresql")
    plain = url.render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield url.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


def _as(owner: str | None, *command: str | Path) -> None:
    # Not a pipe: the server inherits it, and the read would last as long as the server does.
    subprocess.run(command, check=True, user=owner, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
