"""``cotorra serve`` as a process on an embedded home, between a loopback Slack and a loopback Telegram."""

from __future__ import annotations

import asyncio
import json
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession

from bots.keys import Keys
from bots.operations.private_redis import PrivateRedis
from bots.queue.inbox import Backlog, Inbox
from bots.settings import WorkerSettings
from rag.store.client import connect
from tests.benchmarks.processes import COTORRA, clean_environment, free_port
from tests.bots.platforms.slack.scene import said
from tests.loopback.slack import BOT_TOKEN, LoopbackSlack
from tests.loopback.slack_delivery import HttpDelivery, callback
from tests.loopback.slack_state import Json, Message
from tests.loopback.telegram import LoopbackTelegram
from tests.loopback.telegram_people import Person
from tests.loopback.telegram_values import TOKEN, Shown
from tests.waiting import until

SECRET = "signing-secret"
WEBHOOK_SECRET = "webhook-secret"
PATIENCE = 60.0
"""Seconds: the machine may be busy with something else."""

PAGES = {
    "holidays.md": "# Holidays\n\nEvery employee has 27 days of paid holiday a year.\n",
    "contractors.md": "# Contractors\n\nContractors have no paid holiday, but may take unpaid leave.\n",
    "passwords.md": "# Passwords\n\nOpen Settings and press *Reset password*; a link arrives by e-mail.\n",
    "vacaciones.md": "# Vacaciones\n\nCada empleado tiene 27 días de vacaciones pagadas al año.\n",
}
CONFIGURATION = """\
[[knowledge.sources]]
name = "kb"
path = "docs"
base_url = "https://help.example.com/"
"""
HOLIDAY = "How many days of paid holiday do employees have?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A question in a Slack DM, and where its answer will stand."""

    channel: str
    ts: str

    @property
    def conversation(self) -> str:
        return f"slack:T1:{self.channel}:{self.ts}"


@dataclass(slots=True, kw_only=True)
class Stage:
    """The service and everything around it. The service may be started again after it ended."""

    folder: Path
    slack: LoopbackSlack
    telegram: LoopbackTelegram
    session: ClientSession
    environ: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: Process | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def delivery(self) -> HttpDelivery:
        return HttpDelivery(self.session, f"{self.url}/slack/events", SECRET)

    async def start(self, ready: str = "/readyz") -> None:
        """Returns once ``ready`` says yes."""
        with (self.folder / "service.log").open("ab") as log:
            self.process = await self.spawn("serve", stdout=log, stderr=log)
        process = self.process

        async def answers() -> bool:
            assert process.returncode is None, (self.folder / "service.log").read_text()[-2000:]
            return (await self.status(ready)) == 200

        await until(answers)

    async def spawn(self, *arguments: str, **pipes: Any) -> Process:
        """Another ``cotorra`` process on the same home."""
        environ = {**clean_environment(), **self.settings(), **self.environ}
        return await asyncio.create_subprocess_exec(COTORRA, *arguments, cwd=self.folder, env=environ, **pipes)

    def settings(self) -> dict[str, str]:
        return {
            "COTORRA_HOME": str(self.home),
            "COTORRA_PORT": str(self.port),
            "COTORRA_LIMITS__USER_PER_MINUTE": "1000",
            "COTORRA_WORKER__LEASE_SECONDS": "3",
            "COTORRA_KNOWLEDGE__EVERY_MINUTES": "0.05",
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_SIGNING_SECRET": SECRET,
            "SLACK_API_URL": self.slack.api_url,
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": self.telegram.api_url,
        }

    async def status(self, path: str) -> int:
        """0 when nobody listens."""
        try:
            async with self.session.get(self.url + path) as answer:
                return answer.status
        except ClientError:
            return 0

    async def text(self, path: str) -> str:
        async with self.session.get(self.url + path) as answer:
            return await answer.text()

    async def cotorra(self, *arguments: str) -> str:
        """What a command prints; it has to succeed."""
        process = await self.spawn(*arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def shown(self, conversation: str) -> list[Json]:
        """The turns of a conversation, as the log has them."""
        found: list[Json] = json.loads(await self.cotorra("conversations", "show", conversation, "--json"))
        return found

    async def handled(self) -> None:
        """Returns once nothing waits and nothing is in work."""
        await self._until(lambda backlog: not backlog.queued)

    async def recorded(self) -> None:
        """Returns once the log has everything; after a SIGKILL that takes as long as the dead recorder's lease lasts."""
        await self._until(lambda backlog: not backlog.queued and not backlog.outbox)

    async def _until(self, true: Callable[[Backlog], bool]) -> None:
        async with connect(PrivateRedis(self.home).url) as redis:
            inbox = Inbox(redis, Keys(), WorkerSettings())

            async def found() -> bool:
                return true(await inbox.backlog())

            await until(found)

    async def asks(self, text: str, channel: str = "D1", *, tries: int = 1) -> Sent:
        """A direct message in Slack, acknowledged."""
        event = said(text, channel=channel)
        assert await self.delivery.event(callback(event), tries=tries) == 200
        return Sent(channel=channel, ts=event["ts"])

    def answers(self, sent: Sent) -> list[Message]:
        return self.slack.workspace.replies(sent.channel, sent.ts)

    async def answer(self, sent: Sent) -> Message:
        """The one answer to a question, once it is complete."""
        await until(lambda: any(complete(message) for message in self.answers(sent)))
        [message] = self.answers(sent)
        return message

    async def told(self, chat: int = 77) -> Shown:
        """The bot's last message in a Telegram chat, once it has its buttons."""
        await until(lambda: any(shown.keyboard for shown in self.telegram.visible(chat)[-1:]))
        return self.telegram.visible(chat)[-1]

    def person(self, **who: Any) -> Person:
        return Person(telegram=self.telegram, **who)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


def complete(message: Message) -> bool:
    """An answer has its buttons when nothing more will come."""
    return not message.streaming and bool(message.furniture)


@asynccontextmanager
async def staged(folder: Path, **environ: str) -> AsyncIterator[Stage]:
    """Both platforms and the documents; the service is not started yet, and ended at the end."""
    (folder / "docs").mkdir(parents=True)
    for name, text in PAGES.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    (folder / "cotorra.toml").write_text(CONFIGURATION, encoding="utf-8")
    telegram = LoopbackTelegram()
    await telegram.start()
    async with LoopbackSlack() as slack, ClientSession() as session:
        stage = Stage(folder=folder, slack=slack, telegram=telegram, session=session, environ=environ)
        try:
            yield stage
        finally:
            if stage.process is not None:
                await stage.stop()
                await asyncio.to_thread(PrivateRedis(stage.home).stop)
            await telegram.stop()
