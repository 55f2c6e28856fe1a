"""Whether what an answer quotes is whole: lists, the yes or no that opens a section, and no markup of the page in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rag.types import Answer
from tests.benchmarks.conversation import sets
from tests.benchmarks.conversation.bot import new_conversation
from tests.benchmarks.conversation.cited import is_of
from tests.benchmarks.conversation.judged import SHOWN_CHARACTERS, WORST
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one answer shows of the sections that it cites, and of the one that was asked for."""

    single: Single
    answer: Answer
    lists: tuple[Listed, ...]
    opened: tuple[tuple[Section, bool], ...]
    """The section cited first, where it opens with yes or no, and whether the answer keeps that."""
    complete: bool
    """Whether the list, or the opening sentence, of the section that was asked for is in the answer."""


async def measure(libraries: Libraries, part: Part, limit: int | None) -> Json:
    """Counts over all answers: lists cut without a sign, openings lost, answers with markup; and the shares quoted whole."""
    singles = sets.composition(part, limit)
    seen: list[Seen] = []
    for library in dict.fromkeys(one.library for one in singles):
        known = libraries.sections(library)
        async with libraries.open(library) as bot:
            for single in (one for one in singles if one.library == library):
                seen.append(_seen(single, await bot.ask(single.turn.question, new_conversation()), known))
    return _figures(seen)


def _seen(single: Single, answer: Answer, known: Mapping[str, Section]) -> Seen:
    opened = [one for one in list(cited(answer, known))[:1] if one.opens_with_yes_or_no()]
    wanted = [known[name] for name in single.turn.sections]
    return Seen(
        single=single,
        answer=answer,
        lists=tuple(listed(answer, known)),
        opened=tuple((section, keeps_opening(answer, section)) for section in opened),
        complete=any(is_complete(single.kind, answer, section) for section in wanted),
    )


def _figures(seen: Sequence[Seen]) -> Json:
    lists = [(one, each.single) for each in seen for one in each.lists]
    cut = [(one, single) for one, single in lists if not one.is_whole and not one.signed]
    opened = [(section, kept, each.single) for each in seen for section, kept in each.opened]
    lost = [(section, single) for section, kept, single in opened if not kept]
    marked = [(each, kinds) for each in seen if (kinds := markup(each.answer.text))]
    return {
        "cut_lists": len(cut),
        "lists_quoted": len(lists),
        "lists_whole": _share([one.is_whole for one, _ in lists]),
        "lost_yes_no": len(lost),
        "sections_with_yes_no": len(opened),
        "markup": len(marked),
        "list_asked_whole": _share([one.complete for one in seen if one.single.kind == "list"]),
        "opening_asked_kept": _share([one.complete for one in seen if one.single.kind == "opening"]),
        "answered": sum(bool(one.answer.sources) for one in seen),
        "n": len(seen),
        "wrong": {
            "cut_lists": [f"{_asked(single)} ({one.quoted} of {one.items})" for one, single in cut],
            "lost_yes_no": [f"{_asked(single)} ({section.name})" for section, single in lost],
            "markup": [_marked(one, kinds) for one, kinds in marked[:WORST]],
        },
    }


def _share(cases: Sequence[bool]) -> float:
    return round(sum(cases) / max(1, len(cases)), 4)


def _asked(single: Single) -> str:
    return f"{single.language}: {single.turn.question}"


def _marked(seen: Seen, kinds: Sequence[str]) -> Json:
    return {"asked": _asked(seen.single), "markup": list(kinds), "text": seen.answer.text[:SHOWN_CHARACTERS]}


def is_complete(kind: str, answer: Answer, section: Section) -> bool:
    """Whether all items of a section's list, or its first sentence, are in an answer that cites something."""
    if not answer.sources:
        return False
    if kind == "opening":
        return keeps_opening(answer, section)
    text = words(answer.text)
    return bool(section.items()) and all(holds(text, words(item)[:BEGINNING]) for item in section.items())


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
