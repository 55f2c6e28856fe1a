"""Whatever the product itself suggests to ask is answered well: over the handbook, and over a library of ten passages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from bots.platforms.slack import words
from bots.platforms.telegram import texts
from rag.intents.notes import reply_text
from rag.settings import SourceSettings
from tests.benchmarks.conversation.bot import Bot, new_conversation, open_bot
from tests.docs.pages import CHECKOUT

TEN = "\n\n".join(f"## Room {number}\n\nRoom {number} has {number + 3} chairs and a screen." for number in range(1, 11))
QUOTED = re.compile(r"[“«]([^”»]+)[”»]")


def suggested() -> Iterator[str]:
    """Every prompt, hint and description of a command that is shown to people, in both languages."""
    manifest = yaml.safe_load((CHECKOUT / "deploy" / "slack-manifest.yaml").read_text(encoding="utf-8"))
    for prompt in manifest["features"]["agent_view"]["suggested_prompts"]:
        yield from (prompt["title"], prompt["message"])
    for command in manifest["features"]["slash_commands"]:
        yield from command["usage_hint"].split(" | ") if command["command"] == "/cotorra" else [command["usage_hint"]]
    for language in ("en", "es"):
        for prompt in words.prompts(language):
            yield from prompt.values()
        # the descriptions of what only a command does are no prompts
        described = dict(texts.menu(language, private=True))
        yield from (described[name] for name in ("start", "help", "sources", "person"))
        yield from QUOTED.findall(reply_text(language, "remembered"))


SUGGESTED = tuple(dict.fromkeys(each for each in suggested() if each not in ("new", "forget")))


@pytest.fixture(scope="module", params=["the handbook", "ten passages"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SourceSettings:
    if request.param == "the handbook":
        return SourceSettings(name="handbook", path=CHECKOUT / "docs" / "en")
    folder = tmp_path_factory.mktemp("library")
    (folder / "rooms.md").write_text(f"# Rooms\n\n{TEN}\n", encoding="utf-8")
    return SourceSettings(name="rooms", path=folder)


@pytest.fixture
async def bot(library: SourceSettings, tmp_path: Path) -> AsyncIterator[Bot]:
    async with open_bot(tmp_path, [library]) as opened:
        yield opened


def test_there_are_prompts_of_every_place() -> None:
    assert {"What can you do?", "¿De qué documentos salen tus respuestas?", "Hablar con una persona"} <= set(SUGGESTED)
    assert {"forget my notes", "olvida mis notas", "help"} <= set(SUGGESTED)


@pytest.mark.timeout(300)
async def test_every_suggested_prompt_is_answered_at_once_and_in_a_conversation(bot: Bot) -> None:
    conversation = new_conversation()
    await bot.ask("How many chairs has room 3?", conversation)
    for text in SUGGESTED:
        for place in (new_conversation(), conversation):
            answer = await bot.ask(text, place)
            assert answer.outcome != "abstained", (text, answer.text)
            assert answer.text.strip(), text
            assert not answer.sources or text in (
                "sources",
                "Where the last answer came from",
                "De dónde salió la última respuesta",
            ), text
