"""Questions that stand alone: in a user's own words, across languages, and how many of them are declined."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.conversation import sets
from tests.benchmarks.conversation.bot import Bot, new_conversation
from tests.benchmarks.conversation.cited import is_of, page_of, right_first, right_page_first
from tests.benchmarks.conversation.judged import Case, figures
from tests.benchmarks.conversation.libraries import Libraries
from tests.benchmarks.conversation.pages import Section
from tests.benchmarks.conversation.sets import Part, Single, Turn
from tests.benchmarks.results import Json
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.data import LANGUAGES

DIRECTIONS = {"en": "en_es", "es": "es_en"}
"""Of a question's language: the question's, then the pages'."""


async def paraphrased(libraries: Libraries, part: Part, limit: int | None) -> Json:
    """``right_first``: the right section is cited first; ``recall1``: it is the passage that is found first, answered or not."""
    cases = await _asked(libraries, sets.paraphrases(part, limit))
    return {language: figures(cases, language, "right_first") for language in LANGUAGES}


async def across(libraries: Libraries, part: Part, limit: int | None) -> Json:
    """The same where the library holds only pages in the other language."""
    cases = await _asked(libraries, sets.across(part, limit))
    return {DIRECTIONS[language]: figures(cases, language, "recall1") for language in LANGUAGES}


async def declined(libraries: Libraries, part: Part, limit: int | None) -> Json:
    """How many single questions that the library answers are declined.

    They are the paraphrases, the first questions of the follow-ups, and those on FastAPI that bench-retrieval asks.
    """
    cases = await _asked(libraries, _answerable(libraries, part, limit))
    return {language: figures(cases, language, "declined", wrong_at=1.0) for language in LANGUAGES}


def _answerable(libraries: Libraries, part: Part, limit: int | None) -> list[Single]:
    firsts = [Single(language=one.language, library=one.library, turn=one.first) for one in sets.followups(part, limit)]
    _, questions = data.fastapi(libraries.data)
    on_fastapi = [
        Single(language=one.language, library="fastapi", turn=Turn(question=one.asked.text)) for one in questions
    ]
    halves = [sets.spread(sets.in_language(on_fastapi, language), limit) for language in LANGUAGES]
    return [*sets.paraphrases(part, limit), *firsts, *(one for half in halves for one in half)]


async def _asked(libraries: Libraries, singles: Sequence[Single]) -> list[Case]:
    cases: list[Case] = []
    for library in dict.fromkeys(one.library for one in singles):
        known = libraries.sections(library)
        async with libraries.open(library) as bot:
            cases += [await _case(bot, one, known) for one in singles if one.library == library]
    return cases


async def _case(bot: Bot, single: Single, known: dict[str, Section]) -> Case:
    wanted = single.turn.sections
    answer = await bot.ask(single.turn.question, new_conversation())
    values = {"declined": float(not answer.answered)}
    if wanted:
        passages = [hit.passage for hit in answer.shown]
        values |= {
            "right_first": float(right_first(answer, wanted, known)),
            "right_page_first": float(right_page_first(answer, wanted)),
            "recall1": float(any(is_of(passage, known[name]) for passage in passages[:1] for name in wanted)),
            "page_recall1": float(
                any(page_of(passage) == known[name].page for passage in passages[:1] for name in wanted)
            ),
        }
    return Case(language=single.language, asked=(single.turn.question,), wanted=wanted, answer=answer, values=values)
