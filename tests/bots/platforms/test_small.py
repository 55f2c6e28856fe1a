"""A platform is a folder and one entry: a small one lives in ``small``, and the real service runs it over a real Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from bots.errors import SettingsError
from bots.operations.doctor import examine
from bots.platforms.entries import PLATFORMS
from bots.platforms.entry import PlatformEntry
from bots.service import Service
from bots.settings import Settings, load_settings
from tests.bots.fake_desk import FakeDesk, running
from tests.bots.platforms.small.entry import NOTICEBOARD
from tests.waiting import until
from tuning.console import ConsoleServices

ROOT = Path(__file__).resolve().parents[3]
ENTRIES: tuple[PlatformEntry[Any], ...] = (*PLATFORMS, NOTICEBOARD)
"""The one line of wiring."""

CONFIGURATION = """
[[knowledge.sources]]
name = "kb"
path = "docs"
[[knowledge.sources]]
name = "internal"
path = "internal"
audience = "employees"
[noticeboard]
internal = ["staff"]
contact = "Ring the bell."
[handover]
noticeboard_channel = "desk"
"""


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    for folder, text in (
        ("docs", "# Holidays\n\nEvery employee has 27 days of paid holiday a year.\n"),
        ("internal", "# Lift\n\nThe code of the lift is 4711.\n"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "page.md").write_text(text, encoding="utf-8")
    (tmp_path / "cotorra.toml").write_text(CONFIGURATION, encoding="utf-8")
    environ = {
        "NOTICEBOARD_TOKEN": "t",
        "REDIS_URL": redis_url,
        "COTORRA_HOME": str(tmp_path / "home"),
        "COTORRA_REDIS__PREFIX": f"test-small-{secrets.token_hex(4)}",
    }
    return load_settings(ENTRIES, environ, tmp_path)


@dataclass(slots=True)
class Boards:
    """The noticeboard as people see it."""

    client: httpx.AsyncClient
    pinned: int = 0

    async def pin(self, board: str, text: str) -> None:
        self.pinned += 1
        answer = await self.client.post(f"/noticeboard/{board}", json={"id": self.pinned, "text": text})
        assert answer.json() == {"new": True}

    async def notes(self, board: str) -> list[str]:
        notes: list[str] = (await self.client.get(f"/noticeboard/{board}")).json()
        return notes

    async def answer(self, board: str, count: int = 1) -> str:
        """The ``count``-th note of the bot, once it is there."""

        async def answered() -> bool:
            return len(await self.notes(board)) >= count

        await until(answered)
        return (await self.notes(board))[count - 1]

    async def ready(self) -> bool:
        return (await self.client.get("/readyz")).status_code == 200


@asynccontextmanager
async def serving(
    settings: Settings, console: Callable[[ConsoleServices], ASGIApp] | None = None
) -> AsyncIterator[Boards]:
    stop = asyncio.Event()
    service = Service(settings, host="127.0.0.1", port=0, receive=True, work=True, platforms=ENTRIES, console=console)
    life = asyncio.create_task(service.run(stop))
    try:
        await service.listening.wait()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=60) as client:
            boards = Boards(client)
            await until(boards.ready)
            yield boards
    finally:
        stop.set()
        await life


async def test_a_folder_and_an_entry_are_a_platform_of_the_service(settings: Settings) -> None:
    async with serving(settings) as boards:
        await boards.pin("hall", "How many days of paid holiday do employees have?")
        assert "27 days" in await boards.answer("hall")
        await boards.pin("hall", "What is the code of the lift?")
        assert (await boards.answer("hall", 2)).endswith("Ring the bell."), "its contact, where the bot does not know"
        await boards.pin("staff", "What is the code of the lift?")
        assert "4711" in await boards.answer("staff"), "its audiences: employees read this board"
        await boards.pin("hall", "I want to talk to a person")
        assert "I have asked a person" in await boards.answer("hall", 3)
        await boards.client.post("/noticeboard/hall/resume")
        assert "I am back" in await boards.answer("hall", 4)
        metrics = (await boards.client.get("/metrics")).text
    assert 'cotorra_messages_accepted_total{platform="noticeboard"} 5.0' in metrics
    assert "cotorra_noticeboard_boards 2.0" in metrics


async def test_a_console_reaches_syncs_handovers_and_messages_of_the_service(settings: Settings) -> None:
    given: list[ConsoleServices] = []

    def console(services: ConsoleServices) -> ASGIApp:
        given.append(services)
        return Starlette(routes=[Route("/", lambda _: PlainTextResponse("the console"))])

    hall = "noticeboard:hall"
    async with serving(settings, console) as boards:
        [services] = given
        assert (await boards.client.get("/console/")).text == "the console"
        assert services.knowledge.sources() == ["kb", "internal"]
        [report] = await services.knowledge.sync("kb")
        assert (report.source, report.error, report.unchanged + report.added) == ("kb", "", 1)
        assert not await services.posting.post(hall, "Is anybody there?", "1"), "no person was asked to come"
        await boards.pin("hall", "I want to talk to a person")
        await boards.answer("hall")
        assert await services.handover.with_person(hall)
        for _ in range(2):
            assert await services.posting.post(hall, "Grace here: try the *other* door.", "1")
        assert await boards.answer("hall", 2) == "Grace here: try the *other* door."
        assert await services.handover.resume(hall, "grace")
        assert "I am back" in await boards.answer("hall", 3), "the message was sent once"
        await until(lambda: _resumed(services, hall))
        assert not await services.handover.resume(hall, "grace")


async def _resumed(services: ConsoleServices, conversation: str) -> bool:
    return not await services.handover.with_person(conversation)


async def test_doctor_has_a_line_for_it_and_for_its_handover_channel(settings: Settings) -> None:
    async with running(FakeDesk(), settings.home):
        found = {finding.name: finding for finding in await examine(settings, ENTRIES)}
    assert (found["noticeboard"].ok, found["noticeboard"].fact) == (True, "boards 0")
    assert (found["handover"].ok, found["handover"].fact) == (True, "board desk")


async def test_doctor_says_what_connects_it(settings: Settings) -> None:
    section = NOTICEBOARD.section(settings).model_copy(update={"token": None})
    async with running(FakeDesk(), settings.home):
        found = await examine(settings.model_copy(update={"noticeboard": section}), ENTRIES)
    lines = {finding.name: finding for finding in found}
    assert "noticeboard" not in lines
    assert lines["handover"].fact == "handover.noticeboard_channel is set, but Noticeboard is not connected"
    assert lines["handover"].advice == "set NOTICEBOARD_TOKEN, or unset handover.noticeboard_channel"


def test_its_secret_is_never_printed(settings: Settings) -> None:
    assert "t" in settings.secrets()
    assert "'t'" not in repr(settings)


def test_people_are_asked_in_one_channel(settings: Settings, tmp_path: Path) -> None:
    environ = {"COTORRA_HANDOVER__SLACK_CHANNEL": "C1"}
    with pytest.raises(SettingsError, match=r"^handover .*slack_channel and noticeboard_channel"):
        load_settings(ENTRIES, environ, tmp_path)
    assert settings.handover.channel("noticeboard") == "desk"


def test_no_file_of_the_product_mentions_it() -> None:
    folders = ("bots", "tuning", "rag", "deploy", "docs")
    files = [
        file for folder in folders for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".md", ".toml")
    ]
    assert len(files) > 200
    assert not [file for file in files if "noticeboard" in file.read_text(encoding="utf-8").lower()]
