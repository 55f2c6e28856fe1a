"""The schema is brought up to date at start, by as many processes as start."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Insert, insert

from tests.tuning.conftest import NOON, SECRET, feedback, passage, turn
from tuning.conversations import migrations
from tuning.conversations.database import Database
from tuning.conversations.log import ConversationLog
from tuning.conversations.tables import metadata
from tuning.errors import DatabaseTooNew

OLD: dict[str, Any] = {
    "conversation": "c", "platform": "p", "speaker": "", "language": "en", "question": "q", "answer": "a",
    "outcome": "answered", "model": "m", "adapter": None, "seconds": {}, "reply_id": "", "cited": (), "passages": (),
    "prompt_version": "",
}  # fmt: skip


def old_turn(turn_id: str) -> Insert:
    """A row as version 0.2 writes it."""
    row = OLD | {"turn_id": turn_id, "asked_at": NOON, "cited": []}
    return insert(metadata.tables["turns"]).values(
        {name: row[name] for name in row.keys() - {"passages", "prompt_version"}}
    )


START = """
import sys
from tuning.conversations.log import ConversationLog
log = ConversationLog(sys.argv[1], b"secret")
sys.stdin.readline()
log.upgrade()
print(log.counts().turns)
"""


def test_processes_that_start_at_once_migrate_once(url: str) -> None:
    command = [sys.executable, "-c", START, url]
    starting = [subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) for _ in range(3)]
    for process in starting:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(*process.communicate(), process.returncode) for process in starting] == [("0\n", "", 0)] * 3


def test_upgrading_again_changes_nothing(log: ConversationLog) -> None:
    log.record([turn()])
    log.upgrade()
    assert log.counts().turns == 1


def test_turns_of_the_version_before_stay_readable_and_it_may_go_on_writing(url: str) -> None:
    database = Database(url)
    with database.write(alone=True) as connection:
        migrations.upgrade(connection, "0001")
        connection.execute(old_turn("before"))
    log = ConversationLog(url, SECRET)
    log.upgrade()
    with database.write() as connection:
        connection.execute(old_turn("meanwhile"))
    log.record([turn("after", conversation="c", summary="told")])
    read = {seen.turn.turn_id: seen.turn for seen in log.show("c")}
    assert read["before"] == replace(turn("before"), **OLD)
    assert read["meanwhile"] == replace(turn("meanwhile"), **OLD)
    assert read["after"].summary == "told"
    log.close()
    database.engine.dispose()


def test_the_migrations_make_the_tables_that_the_code_uses(url: str, log: ConversationLog) -> None:
    with Database(url).read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_database_of_a_newer_version_is_refused_in_one_line(url: str, log: ConversationLog) -> None:
    with Database(url).write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseTooNew, match=r"^[^\n]*newer version of Cotorra .*9999[^\n]*$"):
        log.upgrade()


def test_writers_and_forgetters_at_once_break_nothing(url: str, log: ConversationLog) -> None:
    """Snapshots come and go under the writers' feet; each thread stands for a process of its own."""
    shown = tuple(passage(f"p{number}") for number in range(5))

    def write(worker: int) -> None:
        mine = ConversationLog(url, SECRET)
        for number in range(8):
            order = shown if worker % 2 else tuple(reversed(shown))
            mine.record([turn(f"t{number}-{extra}", conversation=f"c{worker}", passages=order) for extra in range(3)])
            mine.give_feedback([feedback(f"t{number}-1", speaker=f"U{worker}")])
            mine.forget(f"c{worker}", before=turn().asked_at.replace(year=2020 + number % 2 * 9))
        mine.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    for number in range(4):
        log.forget(f"c{number}")
    assert (log.counts().turns, log.counts().passages) == (0, 0)
