"""The second turn of a conversation: one that moves on, and one that has nothing to do with the first.

The bot plays both turns, so that its own first answer is the history of the second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from rag.types import Answer
from tests.benchmarks.conversation import sets
from tests.benchmarks.conversation.bot import new_conversation
from tests.benchmarks.conversation.cited import page_of, right_first, right_page_first
from tests.benchmarks.conversation.judged import Case, figures
from tests.benchmarks.conversation.libraries import Libraries
from tests.benchmarks.conversation.pages import Section
from tests.benchmarks.conversation.sets import Pair, Part
from tests.benchmarks.results import Json
from tests.benchmarks.retrieval.data import LANGUAGES

LIBRARIES = ("handbook", "fastapi")
Judge = Callable[[Pair, Answer, Answer, dict[str, Section]], dict[str, float]]


async def moving_on(libraries: Libraries, part: Part, limit: int | None) -> Json:
    """``right_first``: the right section is cited first. ``repeats``: the section cited first is the one before again."""
    cases = await _judged(libraries, sets.followups(part, limit), _moved)
    return {language: figures(cases, language, "right_first") for language in LANGUAGES}


async def off_topic(libraries: Libraries, part: Part, limit: int | None) -> Json:
    """``answered``: an unrelated question is answered although nothing in the library does.

    ``answered_after_an_answer`` counts only conversations whose first question was answered; ``elsewhere_first``, of the
    questions that another part of the library answers, those that cite it first.
    """
    cases = await _judged(libraries, sets.offtopic(part, limit), _answered)
    return {language: figures(cases, language, "answered", wrong_at=1.0) for language in LANGUAGES}


def _moved(pair: Pair, first: Answer, then: Answer, known: dict[str, Section]) -> dict[str, float]:
    return {
        "right_first": float(right_first(then, pair.then.sections, known)),
        "right_page_first": float(right_page_first(then, pair.then.sections)),
        "declined": float(not then.answered),
        "repeats": float(repeats(first, then)),
        "first_right": float(right_first(first, pair.first.sections, known)),
        "first_declined": float(not first.answered),
    }


def _answered(pair: Pair, first: Answer, then: Answer, known: dict[str, Section]) -> dict[str, float]:
    if pair.then.sections:
        return {"elsewhere_first": float(right_first(then, pair.then.sections, known))}
    after = {"answered_after_an_answer": float(bool(then.sources))} if first.sources else {}
    return {"answered": float(bool(then.sources)), **after, "repeats": float(repeats(first, then))}


def repeats(first: Answer, then: Answer) -> bool:
    """Whether the source cited first is of the section that the answer before cited first."""
    if not first.sources or not then.sources:
        return False
    one, other = first.sources[0].passage, then.sources[0].passage
    return (page_of(one), one.headings) == (page_of(other), other.headings)


async def _judged(libraries: Libraries, pairs: Sequence[Pair], judge: Judge) -> list[Case]:
    return [case async for case in _played(libraries, pairs, judge)]


async def _played(libraries: Libraries, pairs: Sequence[Pair], judge: Judge) -> AsyncIterator[Case]:
    for library in LIBRARIES:
        known = libraries.sections(library)
        async with libraries.open(library) as bot:
            for pair in (one for one in pairs if one.library == library):
                conversation = new_conversation()
                first = await bot.ask(pair.first.question, conversation)
                then = await bot.ask(pair.then.question, conversation)
                yield Case(
                    language=pair.language,
                    asked=(pair.first.question, pair.then.question),
                    wanted=pair.then.sections,
                    answer=then,
                    values=judge(pair, first, then, known),
                )
