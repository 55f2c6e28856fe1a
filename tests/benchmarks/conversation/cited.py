"""Whether a passage that an answer cites is of the right section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rag.types import Answer, Passage
from tests.benchmarks.conversation.pages import Section, holds, words


def page_of(passage: Passage) -> str:
    """The path of a passage's page, as the sets name it. The handbook's source stands above the folders of languages."""
    return passage.document.removeprefix("handbook/")


def is_of(passage: Passage, section: Section) -> bool:
    """By the page and the path of headings.

    Short neighbours may share one passage under the heading above them: then its text has the section's own heading in it.
    """
    if page_of(passage) != section.page:
        return False
    wanted = _path(section.headings)
    given = _path(passage.headings)
    if given in (wanted, wanted[1:]):
        return True
    return given in (wanted[:-1], wanted[1:-1]) and holds(words(passage.text), wanted[-1])


def _path(headings: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(words(heading) for heading in headings)


def right_first(answer: Answer, names: Iterable[str], known: Mapping[str, Section]) -> bool:
    """Whether the source that is cited first is of one of the sections."""
    return bool(answer.sources) and any(is_of(answer.sources[0].passage, known[name]) for name in names)


def right_page_first(answer: Answer, names: Iterable[str]) -> bool:
    """Whether the source that is cited first is of the page of one of the sections."""
    pages = {name.partition("#")[0] for name in names}
    return bool(answer.sources) and page_of(answer.sources[0].passage) in pages
