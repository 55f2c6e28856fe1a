"""LangChain's plain retriever on the same pages, asked the last turn alone and with what the user said before it.

Its history-aware retriever needs a language model. It cites nothing, so its first passage counts as right where it holds the
beginning of the right section: its passages may be longer than ours, which can only help it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.benchmarks.conversation import sets
from tests.benchmarks.conversation.libraries import Libraries
from tests.benchmarks.conversation.pages import Section, words
from tests.benchmarks.conversation.sets import Pair, Part, Single
from tests.benchmarks.results import Json, say
from tests.benchmarks.retrieval.data import LANGUAGES, Asked
from tests.benchmarks.retrieval.figures import mean
from tests.benchmarks.retrieval.systems import Build, Shown, System

BEGINNING = 12
"""Words of a section that tell whether a passage holds its beginning."""
LIBRARIES = ("handbook", "fastapi")
Row = tuple[str, float, float]
"""A language, and whether the first passage holds the right section, and is of the right page."""


async def measure(libraries: Libraries, part: Part, limit: int | None, build: Build) -> Json:
    """``followup`` with the last turn and with the whole conversation, and ``paraphrase``."""
    pairs, singles = sets.followups(part, limit), sets.paraphrases(part, limit)
    rows: dict[str, list[Row]] = {"followup_last_turn": [], "followup_conversation": [], "paraphrase": []}
    for library in LIBRARIES:
        known = libraries.sections(library)
        with tempfile.TemporaryDirectory() as folder:
            system = build(Path(folder))
            passages = await system.load(libraries.pages(library))
            say(f"  {library}: {passages} passages")
            mine = [one for one in pairs if one.library == library]
            rows["followup_last_turn"] += await _pairs(system, mine, known, lambda one: one.then.question)
            rows["followup_conversation"] += await _pairs(system, mine, known, _conversation)
            rows["paraphrase"] += await _singles(system, [one for one in singles if one.library == library], known)
            await system.close()
    return {name: {language: _figures(found, language) for language in LANGUAGES} for name, found in rows.items()}


def _conversation(pair: Pair) -> str:
    return f"{pair.first.question}\n{pair.then.question}"


async def _pairs(
    system: System, pairs: Iterable[Pair], known: dict[str, Section], text: Callable[[Pair], str]
) -> list[Row]:
    return [await _row(system, one.language, text(one), one.then.sections, known) for one in pairs]


async def _singles(system: System, singles: Iterable[Single], known: dict[str, Section]) -> list[Row]:
    return [await _row(system, one.language, one.turn.question, one.turn.sections, known) for one in singles]


async def _row(
    system: System, language: str, text: str, names: Sequence[str], known: dict[str, Section]
) -> tuple[str, float, float]:
    found = await system.find(Asked(text=text), 1)
    right = any(begins_in(shown, known[name]) for shown in found for name in names)
    page = any(shown.path == known[name].page for shown in found for name in names)
    return language, float(right), float(page)


def begins_in(shown: Shown, section: Section) -> bool:
    """Whether a passage holds the beginning of a section."""
    begin = words(section.body)[:BEGINNING]
    return shown.path == section.page and f" {' '.join(begin)} " in f" {' '.join(words(shown.text))} "


def _figures(rows: Sequence[Row], language: str) -> Json:
    mine = [row for row in rows if row[0] == language]
    return mean("right_first", [row[1] for row in mine]) | mean("right_page_first", [row[2] for row in mine])
