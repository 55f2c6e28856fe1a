"""``cotorra conversations`` over a real log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.tuning.conftest import SECRET, feedback, turn
from tuning.cli import conversations
from tuning.conversations.log import ConversationLog
from tuning.errors import ExportFailed


class Stores:
    """The service's side of the commands: here the log is the only store."""

    def __init__(self, log: ConversationLog) -> None:
        self._log = log

    def log(self) -> ConversationLog:
        return self._log

    def forget(self, conversation: str, speaker: str | None) -> Mapping[str, int]:
        return {"memory": 0, "log": self._log.forget(conversation, speaker)}


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    log = ConversationLog(f"sqlite:///{tmp_path / 'log.sqlite3'}", SECRET)
    log.upgrade()
    return Stores(log)


@pytest.fixture
def talked(stores: Stores) -> Stores:
    stores.log().record([turn(question="Where is [bold]Save[/bold]?"), turn("t2", conversation="telegram:7:0")])
    stores.log().give_feedback([feedback(rating="down", reason="no button")])
    return stores


def run(stores: Stores, *arguments: str, text: str | None = None) -> Result:
    result = CliRunner().invoke(conversations, arguments, obj=stores, input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_list_shows_whole_ids(talked: Stores) -> None:
    output = run(talked, "list").output
    assert "slack:T1:C1:1.0" in output
    assert "telegram:7:0" in output


def test_list_and_show_speak_json(talked: Stores) -> None:
    listed = json.loads(run(talked, "list", "--json", "--limit", "1").output)
    assert [one["conversation"] for one in listed] == ["slack:T1:C1:1.0"]
    [shown] = json.loads(run(talked, "show", "slack:T1:C1:1.0", "--json").output)
    assert (shown["turn"]["turn_id"], shown["feedback"][0]["reason"]) == ("t1", "no button")


def test_show_prints_what_was_said_as_it_was_said(talked: Stores) -> None:
    first, *rest = run(talked, "show", "slack:T1:C1:1.0").output.splitlines()
    assert first.split()[:4] == ["2026-03-01", "12:00", "UTC", "answered"]
    assert rest == [
        "  Q: Where is [bold]Save[/bold]?",
        "  A: Press Save. [1]",
        "     [1] Settings <https://x.example/s#p>",
        "     down: no button",
    ]


def test_an_empty_log_says_so(stores: Stores) -> None:
    assert "nothing was logged yet" in run(stores, "list").output
    assert "holds nothing" in run(stores, "show", "x").output


def test_export_and_import_go_through_a_file_or_standard_output(talked: Stores, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert "2 turns written" in run(talked, "export", str(file)).output
    assert run(talked, "export").output == file.read_text(encoding="utf-8")
    assert len(run(talked, "export", "--conversation", "telegram:7:0").output.splitlines()) == 1
    assert "2 turns read" in run(talked, "import", str(file)).output


def test_export_into_a_folder_that_is_not_there_is_one_clear_error(talked: Stores, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="cannot be written: No such file"):
        run(talked, "export", str(tmp_path / "no" / "file"))


def test_forget_asks_first_and_then_says_what_each_store_held(talked: Stores) -> None:
    assert run(talked, "forget", "telegram:7:0", text="n\n").exit_code == 1
    assert talked.log().counts().turns == 2
    assert json.loads(run(talked, "forget", "telegram:7:0", "--yes", "--json").output) == {"memory": 0, "log": 1}
    assert "log" in run(talked, "forget", "slack:T1:C1:1.0", "--speaker", "U1", text="y\n").output
    assert talked.log().counts().turns == 0


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = "{'sqlalchemy', 'alembic', 'phonenumbers', 'pydantic', 'stdnum'}"
    probe = f"import sys, tuning.cli; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", probe], text=True).strip() == "set()"
