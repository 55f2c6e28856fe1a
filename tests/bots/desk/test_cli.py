"""``cotorra`` as a person or a program at a shell meets it: shapes, exit statuses, one line for every error."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bots.desk.operations import NewConversation, Search, Sync
from bots.desk.seam import SyncEvent, SyncProgress
from bots.errors import BotsError
from bots.operations.ownership import Ownership
from rag.errors import IndexUnavailable
from tests.benchmarks.processes import COTORRA, clean_environment
from tests.bots.fake_desk import FakeDesk, running

TOML = '[[knowledge.sources]]\nname = "kb"\npath = "docs"\n'
PAGE = "# Holidays\n\n## Days\n\nEverybody has 27 days of paid holiday a year.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that ended."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of an error."""
        [line] = self.err.splitlines()
        assert self.out == ""
        return line


@dataclass(frozen=True, slots=True)
class Shell:
    """A folder with cotorra.toml, documents and a home."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    async def __call__(self, *arguments: str, stdin: str = "", **environ: str) -> Ended:
        process = await self.start(*arguments, **environ)
        out, err = await process.communicate(stdin.encode())
        assert b"Traceback" not in err
        return Ended(status=process.returncode or 0, out=out.decode(), err=err.decode())

    async def start(self, *arguments: str, **environ: str) -> Process:
        settings = {"COTORRA_HOME": str(self.home), "COLUMNS": "200"}
        return await asyncio.create_subprocess_exec(
            COTORRA,
            *arguments,
            cwd=self.folder,
            env={**clean_environment(), **settings, **environ},
            preexec_fn=_hear_interrupts,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


def _hear_interrupts() -> None:
    """A job in the background inherits SIGINT ignored, and so would the commands that a test interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "holidays.md").write_text(PAGE, encoding="utf-8")
    (tmp_path / "cotorra.toml").write_text(TOML, encoding="utf-8")
    return Shell(tmp_path)


@pytest.fixture
async def desk(shell: Shell) -> AsyncIterator[FakeDesk]:
    """What a running service answers with."""
    desk = FakeDesk()
    async with running(desk, shell.home):
        yield desk


@pytest.fixture
def owned(shell: Shell) -> Iterator[None]:
    ownership = Ownership(shell.home)
    ownership.take()
    yield
    ownership.release()


async def test_on_a_fresh_machine_one_command_answers_from_the_documents(shell: Shell) -> None:
    ended = await shell("ask", "How many days of holiday do I have?", "--json")
    answer = json.loads(ended.out)
    assert ended.status == 0
    assert set(answer) == {"text", "sources", "answered", "conversation_id", "model", "adapter", "seconds"}
    [source] = answer["sources"]
    assert set(source) == {"number", "title", "url", "passage", "score"}
    assert (source["number"], source["title"], source["url"]) == (1, "Holidays: Days", "holidays.md#days")
    assert "27 days of paid holiday a year. [1]" in answer["text"]
    assert (answer["answered"], answer["model"], answer["adapter"]) == (True, "extractive", None)
    assert answer["conversation_id"].startswith("terminal:")
    assert set(answer["seconds"]) == {"condense", "retrieve", "answer", "ground"}
    assert not (shell.home / "redis" / "redis.sock").exists(), "the private Redis is stopped again"


async def test_ask_json_is_one_object(shell: Shell, desk: FakeDesk) -> None:
    ended = await shell("ask", "¿Una vez?", "--json", "--conversation", "terminal:1", "--audience", "board")
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(ended.out) == {
        "text": "Once. [1]",
        "sources": [
            {
                "number": 1,
                "title": "Page",
                "url": "https://help.example.com/Page",
                "passage": "Text.",
                "score": 0.5,
            }
        ],
        "answered": True,
        "conversation_id": "terminal:1",
        "model": "extractive",
        "adapter": None,
        "seconds": {"answer": 0.25},
    }


async def test_ask_prints_the_answer_and_its_sources(shell: Shell, desk: FakeDesk) -> None:
    ended = await shell("ask", "Once?")
    assert ended.out == "Once. [1]\n\n[1] Page (updated 2 January 2026)  https://help.example.com/Page\n"


async def test_chat_streams_remembers_and_starts_over(shell: Shell, desk: FakeDesk) -> None:
    ended = await shell("chat", stdin="Once?\nAgain?\n/new\nOnce?\n\n/quit\n")
    asked = [call[1] for call in desk.calls if call[0] == "ask"]
    first, second, third = (one.conversation for one in asked)  # type: ignore[attr-defined]
    assert first == second != third
    assert ("new", NewConversation(conversation=first)) in desk.calls
    assert (ended.status, ended.out.count("Once. [1]")) == (0, 3)


async def test_chat_goes_on_after_an_error(shell: Shell, desk: FakeDesk) -> None:
    desk.error = IndexUnavailable("Qdrant does not answer")
    ended = await shell("chat", stdin="Once?\nAgain?\n")
    assert (ended.status, len(desk.calls)) == (0, 2)
    assert ended.err.splitlines() == ["cotorra: Qdrant does not answer"] * 2


async def test_search_json_is_a_list_of_passages(shell: Shell, desk: FakeDesk) -> None:
    ended = await shell("search", "once", "--json", "--limit", "3", "--audience", "board")
    assert json.loads(ended.out) == [{"title": "Page", "url": "", "text": "Text.", "score": 0.5, "source": "kb"}]
    assert desk.calls == [("search", Search(query="once", limit=3, audiences=frozenset({"board"})))]


async def test_sync_names_what_it_skipped_in_its_exit_status(shell: Shell, desk: FakeDesk) -> None:
    ended = await shell("sync")
    assert ended.status == 1
    assert "kb: 2 added" in ended.out
    assert ended.err == "kb: skipped a.md: no UTF-8\n"


async def test_sync_json_is_a_list_of_sources_and_nothing_else(shell: Shell, desk: FakeDesk) -> None:
    ended = await shell("sync", "--json")
    [synced] = json.loads(ended.out)
    assert set(synced) == {
        "source", "added", "changed", "removed", "unchanged", "passages", "skipped", "seconds", "error",
    }  # fmt: skip
    assert (synced["added"], synced["skipped"]) == (2, [["a.md", "no UTF-8"]])
    assert (ended.status, ended.err) == (1, "")


async def test_a_sync_that_is_left_goes_on_in_the_service_and_says_so(shell: Shell) -> None:
    """Ctrl-C ends the command, which only watched."""

    class Slow(FakeDesk):
        async def sync(self, request: Sync) -> AsyncIterator[SyncEvent]:
            yield SyncProgress(source="kb", done=1, total=2, waiting=True)
            await asyncio.Event().wait()

    async with running(Slow(), shell.home):
        process = await shell.start("sync")
        assert process.stderr is not None
        assert b"a sync is under way" in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (out, err) == (b"", b"the running service goes on with the sync\n")
    assert process.returncode == 130


async def test_the_inbox_is_listed_and_put_back(shell: Shell, desk: FakeDesk) -> None:
    [aside] = json.loads((await shell("inbox", "list", "--json")).out)
    assert (aside["turn_id"], aside["error"], aside["tries"]) == ("t", "RuntimeError", 3)
    assert (await shell("inbox", "retry", "t")).out == "2 put back\n"


async def test_what_the_service_refuses_is_one_line_and_status_1(shell: Shell, desk: FakeDesk) -> None:
    desk.error = BotsError("no message x is set aside; `cotorra inbox list` shows those that are")
    for command in (("inbox", "retry", "x"), ("ask", "Once?", "--json"), ("conversations", "forget", "c", "--yes")):
        ended = await shell(*command)
        assert ended.status == 1
        assert ended.complaint == "cotorra: no message x is set aside; `cotorra inbox list` shows those that are"


@pytest.mark.parametrize(
    "arguments",
    [("dance",), ("ask",), ("ask", "x", "--jsn"), ("search", "x", "--limit", "0"), ("serve", "--port", "many")],
)
async def test_wrong_usage_is_status_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    ended = await shell(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert "Usage: cotorra" in ended.err


@pytest.mark.parametrize(
    ("arguments", "environ", "named"),
    [
        (("serve",), {"COTORRA_PORT": "many"}, "port (environment variable COTORRA_PORT)"),
        (("ask", "x"), {"COTORRA_RETRIEVAL__LIMIT": "0"}, "retrieval.limit"),
        (("serve", "--no-worker"), {}, "REDIS_URL"),
        (("worker",), {"REDIS_URL": "redis://127.0.0.1:1"}, "REDIS_URL and QDRANT_URL"),
        (("serve",), {"REDIS_URL": "http://127.0.0.1:1", "QDRANT_URL": "http://127.0.0.1:1"}, "REDIS_URL is no"),
        (("serve",), {"COTORRA_HOME": "cotorra.toml"}, "COTORRA_HOME"),
    ],
)
async def test_a_wrong_setting_is_one_line_and_status_1(
    shell: Shell, arguments: tuple[str, ...], environ: dict[str, str], named: str
) -> None:
    ended = await shell(*arguments, **environ)
    assert ended.status == 1
    assert ended.complaint.startswith("cotorra: ")
    assert named in ended.complaint


@pytest.mark.usefixtures("owned")
async def test_a_second_service_on_a_home_is_refused_with_the_setting_to_change(shell: Shell) -> None:
    ended = await shell("serve", "--port", "0")
    assert ended.status == 1
    assert "COTORRA_HOME" in ended.complaint
    assert str(shell.home) in ended.complaint


async def test_a_wrong_token_stops_the_start_with_one_line_that_hides_it(shell: Shell) -> None:
    ended = await shell("serve", "--port", "0", SLACK_BOT_TOKEN="xoxb-secret")
    assert ended.status == 1
    assert "SLACK_SIGNING_SECRET" in ended.err.splitlines()[-1]
    assert "xoxb-secret" not in ended.err


@pytest.mark.parametrize("arguments", ["--help", "ask --help", "conversations --help"])
def test_help_imports_nothing_heavy(arguments: str) -> None:
    program = f"""
import sys
from typer.testing import CliRunner
from bots.cli import app
result = CliRunner().invoke(app, {arguments.split()!r})
assert result.exit_code == 0, result.output
heavy = ("torch", "transformers", "langchain", "langchain_core", "qdrant_client", "sqlalchemy", "redis")
print([name for name in heavy if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
