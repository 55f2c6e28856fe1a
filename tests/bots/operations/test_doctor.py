"""``cotorra doctor``: every fault is named with its cure, on real servers."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from bots.operations.doctor import examine, redis_fault
from bots.operations.finding import Finding
from bots.operations.ownership import Ownership
from bots.operations.private_redis import PrivateRedis, packaged_server
from bots.platforms.slack.settings import SlackSettings
from bots.platforms.telegram.settings import TelegramSettings
from bots.settings import RedisSettings
from rag.settings import KnowledgeSettings, ModelSettings, SourceSettings
from tests.bots.configured import configured
from tests.bots.fake_desk import FakeDesk, running
from tests.loopback.openai import LoopbackOpenAI
from tests.loopback.slack import BOT_TOKEN, LoopbackSlack
from tests.loopback.telegram import LoopbackTelegram
from tests.loopback.telegram_values import TOKEN

StartRedis = Callable[..., str]


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[StartRedis]:
    """Starts a redis-server with these options, and returns its URL."""
    with ExitStack() as stack:

        def start(*options: str) -> str:
            socket = tmp_path / "r.sock"
            command = [str(packaged_server()), "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
            server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
            stack.callback(server.wait, 10)
            stack.callback(server.terminate)
            with Redis.from_url(f"unix://{socket}", retry=Retry(ConstantBackoff(0.01), 1000)) as client:
                client.ping()
            return f"unix://{socket}"

        yield start


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    """A home that a running service owns: then models and index are that service's business, and not loaded here."""
    async with running(FakeDesk(), tmp_path / "home"):
        yield tmp_path / "home"
    if (tmp_path / "home" / "redis").exists():
        PrivateRedis(tmp_path / "home").stop()


@pytest.fixture
def documents(tmp_path: Path) -> KnowledgeSettings:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "page.md").write_text("# Page\n\nSome text about nothing in particular.\n", encoding="utf-8")
    return KnowledgeSettings(sources=(SourceSettings(name="kb", path=folder),))


async def findings(home: Path, **settings: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in await examine(configured(home=home, **settings))}


def printed(found: Sequence[Finding]) -> str:
    return "\n".join(f"{one.fact} {one.advice}" for one in found)


async def test_a_running_service_is_recognised_and_its_stores_are_tried(home: Path) -> None:
    found = await findings(home)
    assert found["service"].ok
    assert found["stores"].ok
    assert found["home"] == Finding(name="home", ok=True, fact=str(home))
    assert Redis.from_url(PrivateRedis(home).url).ping(), "the service's Redis goes on"


async def test_an_owner_that_does_not_listen_yet_is_waited_for(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path)
    ownership.take()
    found = (await findings(tmp_path))["service"]
    assert not found.ok
    assert "/readyz" in found.advice
    ownership.release()
    PrivateRedis(tmp_path).stop()


async def test_the_embedded_default_is_tried_whole_and_left_as_it_was(
    tmp_path: Path, documents: KnowledgeSettings
) -> None:
    found = await findings(tmp_path / "home", knowledge=documents)
    assert found["source kb"].ok
    empty = found["index and model"]
    assert (empty.ok, empty.fact, empty.advice) == (False, "0 passages", "run `cotorra sync`")
    assert not (tmp_path / "home" / "redis" / "redis.sock").exists()
    assert Ownership(tmp_path / "home").try_take()


async def test_a_source_that_is_not_there_is_named_with_its_key(tmp_path: Path, home: Path) -> None:
    missing = KnowledgeSettings(sources=(SourceSettings(name="kb", path=tmp_path / "nowhere"),))
    found = (await findings(home, knowledge=missing))["source kb"]
    assert (found.ok, found.fact) == (False, f"{tmp_path / 'nowhere'} does not exist")
    assert "knowledge.sources.path" in found.advice


@pytest.mark.parametrize(
    ("place", "ok", "fact", "advice"),
    [
        (
            {"url": "https://user:pw@help.example.com/sitemap.xml?key=1"},
            True,
            "https://help.example.com/sitemap.xml",
            "",
        ),
        ({"url": "help.example.com"}, False, "help.example.com is no address of a site", "knowledge.sources.url"),
        ({"git": "https://example.com/docs.git"}, True, "https://example.com/docs.git", ""),
        ({"loader": "langchain_community.document_loaders.TextLoader"}, True, "TextLoader", ""),
        (
            {"loader": "langchain_community.document_loaders.NoLoader"},
            False,
            "is no document loader",
            "ConfluenceLoader",
        ),
        ({"loader": "nowhere.Loader"}, False, "cannot be imported", "install its package"),
    ],
)
async def test_every_kind_of_source_is_looked_at_without_reading_it(
    home: Path, place: dict[str, str], ok: bool, fact: str, advice: str
) -> None:
    configured = KnowledgeSettings(sources=(SourceSettings.model_validate({"name": "kb", **place}),))
    found = (await findings(home, knowledge=configured))["source kb"]
    assert found.ok is ok
    assert fact in found.fact
    assert advice in found.advice
    assert "pw" not in found.fact


async def test_a_git_source_needs_git(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    configured = KnowledgeSettings(sources=(SourceSettings(name="kb", git="https://example.com/docs.git"),))
    found = (await findings(home, knowledge=configured))["source kb"]
    assert (found.ok, found.advice) == (False, "install it")


async def test_the_server_of_a_language_model_is_one_of_the_connections(home: Path) -> None:
    with LoopbackOpenAI() as server:
        configured = ModelSettings(kind="openai", name="test-model", servers=(server.url,))
        found = (await findings(home, model=configured))["model"]
    assert found == Finding(name="model", ok=True, fact=f"{server.url} test-model, window of 4096 tokens")


async def test_a_home_that_cannot_be_written_ends_the_examination(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    found = await findings(tmp_path / "file" / "home")
    assert not found["home"].ok
    assert "COTORRA_HOME" in found["home"].advice
    assert "stores" not in found


async def test_a_redis_that_keeps_everything_is_fine(home: Path, start_redis: StartRedis) -> None:
    found = (await findings(home, redis=RedisSettings(url=start_redis("--appendonly", "yes"))))["redis"]
    assert found.ok
    assert "version 6.2" in found.fact


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        (("--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"), "set maxmemory-policy noeviction"),
        (("--appendonly", "yes", "--maxmemory-policy", "volatile-ttl"), "set maxmemory-policy noeviction"),
        (("--save", "", "--appendonly", "no"), "set appendonly yes"),
        (("--save", "900", "1"), ""),
        (("--save", "", "--rename-command", "CONFIG", ""), "set appendonly yes"),
    ],
)
async def test_a_redis_that_would_lose_messages_is_refused(
    home: Path, start_redis: StartRedis, options: tuple[str, ...], cure: str
) -> None:
    found = (await findings(home, redis=RedisSettings(url=start_redis(*options))))["redis"]
    assert found.ok is not bool(cure)
    assert cure in found.advice


@pytest.mark.parametrize(
    ("version", "old"), [("6.0.16", True), ("5.0.7", True), ("6.2.0", False), ("7.4.1", False), ("10.0.0", False)]
)
def test_a_redis_before_6_2_is_too_old(version: str, old: bool) -> None:
    assert ("6.2" in redis_fault({"redis_version": version}, "noeviction", persists=True)) is old


async def test_a_redis_that_is_not_there_is_named_without_its_password(home: Path, free_port: int) -> None:
    found = await findings(home, redis=RedisSettings(url=f"redis://user:hunter2@127.0.0.1:{free_port}/0"))
    assert (found["redis"].ok, found["stores"].ok) == (False, False)
    assert "Redis does not answer" in found["redis"].fact
    assert f"redis://127.0.0.1:{free_port}/0" in found["redis"].fact
    assert "REDIS_URL" in found["redis"].advice
    assert "hunter2" not in printed(list(found.values()))


def slack(api_url: str, token: str) -> SlackSettings:
    return SlackSettings(bot_token=SecretStr(token), signing_secret=SecretStr("s"), api_url=api_url)


async def test_slack_says_who_the_bot_is(home: Path) -> None:
    async with LoopbackSlack() as loopback:
        found = (await findings(home, slack=slack(loopback.api_url, BOT_TOKEN)))["slack"]
    assert found.ok
    assert "cotorra" in found.fact


async def test_the_channel_for_people_is_named(home: Path) -> None:
    async with LoopbackSlack() as loopback:
        loopback.workspace.channels["CHELP"] = {"name": "help", "is_ext_shared": True}
        found = await findings(home, slack=slack(loopback.api_url, BOT_TOKEN), handover={"slack_channel": "CHELP"})
    assert found["handover"].ok
    assert found["handover"].fact == "channel #help, read by people from outside too"


async def test_a_channel_for_people_that_slack_does_not_know_says_what_to_do(home: Path) -> None:
    async with LoopbackSlack() as loopback:
        loopback.workspace.missing.add("CHELP")
        found = await findings(home, slack=slack(loopback.api_url, BOT_TOKEN), handover={"slack_channel": "CHELP"})
    assert (found["slack"].ok, found["handover"].ok) == (True, False)
    assert found["handover"].fact == "handover.slack_channel (CHELP): Slack says channel_not_found"
    assert found["handover"].advice == "correct the id, or invite the bot to the channel"


async def test_a_channel_for_people_without_slack_says_what_to_do(home: Path) -> None:
    found = (await findings(home, handover={"slack_channel": "CHELP"}))["handover"]
    assert not found.ok
    assert "SLACK_BOT_TOKEN" in found.advice


async def test_a_wrong_slack_token_says_what_to_do_and_not_the_token(home: Path) -> None:
    async with LoopbackSlack() as loopback:
        found = await findings(home, slack=slack(loopback.api_url, "xoxb-wrong"))
    assert not found["slack"].ok
    assert "SLACK_BOT_TOKEN" in found["slack"].fact
    assert "invalid_auth" in found["slack"].fact
    assert found["slack"].advice
    assert "xoxb-wrong" not in printed(list(found.values()))


async def test_slack_credentials_that_do_not_belong_together_are_one_finding(home: Path) -> None:
    found = await findings(home, slack=SlackSettings(bot_token=SecretStr("xoxb-1")))
    fault = next(one for one in found.values() if not one.ok)
    assert "SLACK_SIGNING_SECRET" in fault.fact + fault.advice


@pytest.mark.parametrize(("token", "fine"), [(TOKEN, True), ("1:wrong", False)])
async def test_telegram_says_who_the_bot_is_or_what_is_wrong(home: Path, token: str, fine: bool) -> None:
    telegram = LoopbackTelegram()
    await telegram.start()
    found = await findings(home, telegram=TelegramSettings(bot_token=SecretStr(token), api_url=telegram.api_url))
    await telegram.stop()
    assert found["telegram"].ok is fine
    assert ("CotorraBot" if fine else "TELEGRAM_BOT_TOKEN") in found["telegram"].fact
    assert token not in printed(list(found.values()))


async def test_a_platform_that_cannot_be_reached_is_a_finding(home: Path, free_port: int) -> None:
    found = await findings(home, slack=slack(f"http://127.0.0.1:{free_port}/api/", BOT_TOKEN))
    assert not found["slack"].ok
    assert "cannot be reached" in found["slack"].fact
