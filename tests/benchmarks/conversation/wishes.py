"""Wishes and courtesies: whether the bot hears them, and how often it takes an ordinary question for one.

Played over the pages of FastAPI, so that nothing in the library speaks about a bot.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from rag.types import Answer
from tests.benchmarks.conversation import sets
from tests.benchmarks.conversation.bot import Bot, new_conversation
from tests.benchmarks.conversation.judged import WORST
from tests.benchmarks.conversation.libraries import Libraries
from tests.benchmarks.conversation.sets import Part, Wish, in_language, spread
from tests.benchmarks.results import Json
from tests.benchmarks.retrieval.data import LANGUAGES, QUESTIONS, lines
from tests.benchmarks.retrieval.figures import mean

NEGATIVES = 300
"""Ordinary turns of each data set."""
SPANISH = ("fastapi_questions.es.jsonl", "fastapi_development.es.jsonl")
WORDS = 6
"""A turn of Doc2Dial of fewer words ("ok", "thanks") may well be a courtesy."""


async def measure(libraries: Libraries, part: Part, limit: int | None) -> Json:
    """``heard`` and ``false`` by language, and what was heard of each intent."""
    async with libraries.open("fastapi") as bot:
        return {language: await _in_language(bot, libraries.data, part, language, limit) for language in LANGUAGES}


async def _in_language(bot: Bot, data: Path, part: Part, language: str, limit: int | None) -> Json:
    wishes = in_language(sets.wishes(part, limit), language)
    answers = [await _play(bot, wish) for wish in wishes]
    right = [float(heard(wish.intent, answer)) for wish, answer in zip(wishes, answers, strict=True)]
    unheard = [
        {"intent": wish.intent, "text": wish.text, "outcome": answer.outcome, "answer": answer.text[:200]}
        for wish, answer, one in zip(wishes, answers, right, strict=True)
        if not one
    ]
    intents = dict.fromkeys(wish.intent for wish in wishes)
    each = {
        intent: round(sum(shares) / len(shares), 4)
        for intent in intents
        for shares in [[one for one, wish in zip(right, wishes, strict=True) if wish.intent == intent]]
    }
    return mean("heard", right) | {"by_intent": each, "unheard": unheard} | await _false(bot, data, language, limit)


async def _play(bot: Bot, wish: Wish) -> Answer:
    conversation = new_conversation()
    if wish.before:
        await bot.ask(wish.before, conversation)
    return await bot.ask(wish.text, conversation)


def heard(intent: str, answer: Answer) -> bool:
    """Whether the answer is one that this intent calls for.

    A person is looked for; what was offered comes with its source; all others get the bot's own words, from no document.
    """
    if intent == "person":
        return answer.outcome == "wants_person"
    if intent == "offer_yes":
        return bool(answer.sources)
    return is_own_words(answer) and answer.outcome != "wants_person"


def is_own_words(answer: Answer) -> bool:
    """Whether it is neither quoted from a document nor the sentence that the documents do not say."""
    return not answer.sources and answer.outcome != "abstained"


async def _false(bot: Bot, data: Path, language: str, limit: int | None) -> Json:
    texts = [text for texts in _ordinary(data, language) for text in spread(texts, limit or NEGATIVES)]
    taken = [(text, is_own_words(await bot.ask(text, new_conversation()))) for text in texts]
    figures = mean("false", [float(wrong) for _, wrong in taken])
    figures["n_false"] = figures.pop("n")
    return {**figures, "taken_for_wishes": [text for text, wrong in taken if wrong][:WORST]}


def _ordinary(data: Path, language: str) -> Iterable[list[str]]:
    """BANKING77's test part and the turns of Doc2Dial's dev part; in Spanish there are only our own questions on FastAPI."""
    if language == "es":
        return [[row["question"] for row in lines(QUESTIONS / name)] for name in SPANISH]
    with (data / "banking77" / "test.csv").open(encoding="utf-8", newline="") as file:
        banking = [row["text"] for row in csv.DictReader(file)]
    turns = [turn for one in lines(data / "doc2dial" / "dev.jsonl") for turn in one["turns"] if turn["role"] == "user"]
    return [banking, [turn["text"] for turn in turns if len(turn["text"].split()) >= WORDS]]
