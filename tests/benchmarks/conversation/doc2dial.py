"""Doc2Dial's dev conversations: played by the bot with its own answers as history, and again with a person's.

Each document is a source with an audience of its own, so that one can be taken away from who asks: a question that it alone
answers cannot be answered then, in a library that is the same otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rag.settings import SourceSettings
from rag.types import Exchange, Retrieval
from tests.benchmarks.conversation.bot import EVERYONE, Bot, new_conversation, open_bot
from tests.benchmarks.conversation.sets import spread
from tests.benchmarks.model.grounded import Turn, documents, turns
from tests.benchmarks.results import Json
from tests.benchmarks.retrieval.data import Asked, Grounded, Page
from tests.benchmarks.retrieval.figures import each, mean, separation
from tests.benchmarks.retrieval.measures import CHARACTERS, DEEP, characters_until, cut
from tests.benchmarks.retrieval.spans import Places
from tests.benchmarks.retrieval.systems import Shown

DEPTHS = (1, 5)
NAMES = ("recall1", "recall5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A turn: what was found with its document there and with it away, and whether the bot answered each time."""

    found: Retrieval
    answered: bool
    person: Retrieval
    without: Retrieval
    answered_without: bool
    span: Grounded


async def measure(data: Path, homes: Path, limit: int | None, embedding: str = "") -> Json:
    """Recall over what is found (k times 600 characters), answers that were declined or should have been, and the score's AUROC.

    ``limit`` is a number of conversations.
    """
    found = documents(data)
    async with _opened(found.pages, homes, embedding) as bot:
        everything = frozenset(_audience(page.path) for page in found.pages) | EVERYONE
        conversations = spread(list(_conversations(turns(data, "dev"))), limit)
        played = [turn for one in conversations for turn in await _play(bot, one, everything)]
    places = {path: Places(text) for path, text in found.texts.items()}
    return _figures(played, places) | {"conversations": len(conversations), "sync_s": round(bot.sync_seconds, 1)}


def _figures(played: Sequence[Played], places: Mapping[str, Places]) -> Json:
    own = [_recalled(one.span, one.found, places) for one in played]
    person = [_recalled(one.span, one.person, places) for one in played]
    return {
        "self": each(own, NAMES),
        "person": each(person, NAMES),
        **separation("auroc", [one.found.score for one in played], [one.without.score for one in played]),
        **mean("impossible_answered", [float(one.answered_without) for one in played]),
        **mean("declined", [float(not one.answered) for one in played]),
    }


def _recalled(span: Grounded, found: Retrieval, places: Mapping[str, Places]) -> list[float]:
    shown = [
        Shown(path=_path(hit.passage.source), text="\n".join((*hit.passage.headings[-1:], hit.passage.text)))
        for hit in found.hits
    ]
    cost = characters_until(span, cut(shown, CHARACTERS * max(DEPTHS)), dict(places))
    return [float(cost < CHARACTERS * depth) for depth in DEPTHS]


async def _play(bot: Bot, asked: Sequence[Turn], everything: frozenset[str]) -> list[Played]:
    """One conversation, from its first turn to its last. The same turn is asked with its document away first: on a copy."""
    conversation, played = new_conversation(), list[Played]()
    for turn in asked:
        text = turn.question.text
        rest = everything - {_audience(turn.span.path)}
        copy, beside = new_conversation(), new_conversation()
        await bot.remember(copy, [_for_all(one) for one in await bot.remembered(conversation)])
        await bot.remember(beside, [_for_all(one) for one in turn.history])
        without = await bot.find(text, copy, rest, DEEP)
        refused = await bot.ask(text, copy, rest)
        person = await bot.find(text, beside, everything, DEEP)
        found = await bot.find(text, conversation, everything, DEEP)
        answer = await bot.ask(text, conversation, everything)
        played.append(
            Played(
                found=found,
                answered=answer.answered,
                person=person,
                without=without,
                answered_without=bool(refused.sources),
                span=_grounded(turn),
            )
        )
    return played


def _for_all(exchange: Exchange) -> Exchange:
    """As a talk that used nothing but what everyone may read: who may read less sees it too."""
    return replace(exchange, audiences=tuple(sorted(EVERYONE)))


def _grounded(turn: Turn) -> Grounded:
    span = turn.span
    return Grounded(asked=Asked(text=turn.question.text), path=span.path, start=span.start, end=span.end)


def _conversations(asked: Sequence[Turn]) -> Iterator[list[Turn]]:
    """The turns of each conversation; of two answers to one question the first counts."""
    by_conversation: dict[str, dict[str, Turn]] = {}
    for turn in asked:
        by_conversation.setdefault(turn.conversation, {}).setdefault(turn.question.turn_id, turn)
    return (list(one.values()) for one in by_conversation.values())


@asynccontextmanager
async def _opened(pages: Sequence[Page], homes: Path, embedding: str) -> AsyncIterator[Bot]:
    folder = homes / "doc2dial-documents"
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        (folder / page.path).write_text(page.markdown, encoding="utf-8")
    sources = [
        SourceSettings(name=_audience(page.path), path=folder / page.path, audience=_audience(page.path))
        for page in pages
    ]
    async with open_bot(homes / "doc2dial", sources, embedding) as bot:
        yield bot


def _audience(path: str) -> str:
    return f"document-{path.removesuffix('.txt')}"


def _path(source: str) -> str:
    return f"{source.removeprefix('document-')}.txt"
