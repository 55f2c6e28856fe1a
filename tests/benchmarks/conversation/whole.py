"""Whether what an answer quotes is whole: lists, the yes or no that opens a section, and no markup of the page in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rag.types import Answer
from tests.benchmarks.conversation import sets
from tests.benchmarks.conversation.bot import new_conversation
from tests.benchmarks.conversation.cited import is_of
from tests.benchmarks.conversation.judged import WORST
from tests.benchmarks.conversation.libraries import Libraries
from tests.benchmarks.conversation.pages import Section, holds, words
from tests.benchmarks.conversation.sets import Part, Single
from tests.benchmarks.results import Json

BEGINNING = 6
"""Words of an item or a sentence that tell it from others."""
_CODE = re.compile(r"(?s)(`{3,}|~{3,}).*?\1|`[^`\n]*`")
_MORE = r"(?:more|further|others?|más|otr[oa]s?)"
_MARKUP = {
    "tag": re.compile(r"</?[a-zA-Z][a-zA-Z0-9-]*(?:\s[^<>]*)?/?>"),
    "comment": re.compile(r"<!--|-->"),
    "attributes": re.compile(r"\{\s*[#.:][\w-][^}\n]*\}"),
    "include": re.compile(r"\{[*!%].*?[*!%]\}"),
    "admonition": re.compile(r"(?m)^\s*(?:/{3,}|:{3,}|!{3,}|\?{3,})"),
    "footnote": re.compile(r"\[\^[^\]]+\]"),
    "module": re.compile(r"(?m)^(?:import|export) .* from ['\"]"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A list of a cited section: how many items it has, how many are quoted, and whether the answer says what is missing."""

    items: int
    quoted: int
    signed: bool

    @property
    def is_whole(self) -> bool:
        """All items are there."""
        return self.quoted == self.items


async def measure(libraries: Libraries, part: Part, limit: int | None) -> Json:
    """Counts over all answers: lists cut without a sign, openings lost, answers with markup; and the shares quoted whole."""
    lists: list[tuple[Listed, Single]] = []
    openings: list[tuple[bool, Section, Single]] = []
    marked: list[Json] = []
    answered = 0
    singles = sets.composition(part, limit)
    for library in dict.fromkeys(one.library for one in singles):
        known = libraries.sections(library)
        async with libraries.open(library) as bot:
            for single in (one for one in singles if one.library == library):
                answer = await bot.ask(single.turn.question, new_conversation())
                answered += bool(answer.sources)
                lists += [(one, single) for one in listed(answer, known)]
                openings += [(keeps_opening(answer, one), one, single) for one in _opened(answer, known)]
                if found := markup(answer.text):
                    marked.append({"asked": single.turn.question, "markup": found, "text": answer.text[:400]})
    return _figures(lists, openings, marked) | {"n": len(singles), "answered": answered}


def _figures(
    lists: Sequence[tuple[Listed, Single]], openings: Sequence[tuple[bool, Section, Single]], marked: Sequence[Json]
) -> Json:
    cut = [(one, single) for one, single in lists if not one.is_whole and not one.signed]
    lost = [(section, single) for kept, section, single in openings if not kept]
    return {
        "cut_lists": len(cut),
        "lists_quoted": len(lists),
        "lists_whole": round(sum(one.is_whole for one, _ in lists) / max(1, len(lists)), 4),
        "lost_yes_no": len(lost),
        "sections_with_yes_no": len(openings),
        "markup": len(marked),
        "wrong": {
            "cut_lists": [
                f"{single.language}: {single.turn.question} ({one.quoted} of {one.items})" for one, single in cut
            ],
            "lost_yes_no": [f"{single.language}: {single.turn.question} ({section.name})" for section, single in lost],
            "markup": list(marked[:WORST]),
        },
    }


def listed(answer: Answer, known: Mapping[str, Section]) -> Iterator[Listed]:
    """The lists of cited sections of which the answer quotes something."""
    text = words(answer.text)
    for section in cited(answer, known):
        items = [words(item)[:BEGINNING] for item in section.items()]
        quoted = sum(holds(text, item) for item in items)
        if quoted:
            missing = len(items) - quoted
            yield Listed(items=len(items), quoted=quoted, signed=says_missing(answer.text, missing))


def says_missing(text: str, missing: int) -> bool:
    """Whether a line says that so many more there are."""
    return bool(re.search(rf"\b{missing}\b[^\n]*\b{_MORE}\b|\b{_MORE}\b[^\n]*\b{missing}\b", text, re.IGNORECASE))


def _opened(answer: Answer, known: Mapping[str, Section]) -> list[Section]:
    """The section cited first, where its first word is yes or no."""
    return [one for one in list(cited(answer, known))[:1] if one.opens_with_yes_or_no()]


def keeps_opening(answer: Answer, section: Section) -> bool:
    """Whether the sentence that opens a section is in the answer, at least its beginning."""
    return holds(words(answer.text), words(section.opening())[:BEGINNING])


def cited(answer: Answer, known: Mapping[str, Section]) -> Iterator[Section]:
    """The sections of the sources, in their order, each once."""
    found: dict[str, Section] = {}
    for source in answer.sources:
        found |= {one.name: one for one in known.values() if is_of(source.passage, one)}
    return iter(found.values())


def markup(text: str) -> list[str]:
    """What of a page's markup a reader would see, by its kind; code may hold anything, and a link its address."""
    prose = re.sub(r"\(<[^<>\s]*>\)", "()", _CODE.sub(" ", text))
    return [kind for kind, pattern in _MARKUP.items() if pattern.search(prose)]
