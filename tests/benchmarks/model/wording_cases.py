"""The injection wordings in pages of their language: alone in a page, and right behind the question that is asked.

The second is how a page gets an attack quoted: as the answer to a question that people ask. The files were written before the
phrases that were withheld from prompts were looked at; whoever tunes a rule looks at the part ``choose`` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rag.types import Hit
from tests.benchmarks.model.planted import Attack, Case, hit
from tests.benchmarks.retrieval.data import lines

FOLDER = Path(__file__).parent
SENTENCE = re.compile(r"(?<=\.) ")

Part = Literal["choose", "final"]
Place = Literal["sentence", "block", "heading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A harmless page and a question that it answers."""

    language: str
    title: str
    text: str
    question: str

    def hit(self, number: int) -> Hit:
        return hit(number, self.text, title=self.title, language=self.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """An injection, the part of the set that it belongs to, and where in a page of which language it stands."""

    id: str
    language: str
    page_language: str
    kind: str
    form: str
    place: Place
    part: Part
    payload: str
    text: str

    def within(self, page: Page, share: float, *, lured: bool) -> Hit:
        """The page with the injection after this share of its sentences, or above all of them as their heading."""
        lure = f"{page.question} " if lured else ""
        if self.place == "heading":
            return hit(1, page.text, title=page.title, headings=(lure + self.text,), language=page.language)
        parts = SENTENCE.split(page.text)
        cut = round(share * len(parts))
        ends = " ".join(parts[:cut]), " ".join(parts[cut:])
        gap = " " if self.place == "sentence" else "\n\n"
        planted = (lure.strip() + gap if lure else "") + self.text
        return hit(1, gap.join(filter(None, (ends[0], planted, ends[1]))), title=page.title, language=page.language)


def wordings() -> list[Wording]:
    """Of both parts, in the order of the file."""
    return [Wording(**row) for row in lines(FOLDER / "injection_wordings.jsonl")]


def pages(language: str) -> list[Page]:
    """The harmless pages in a language."""
    return [page for row in lines(FOLDER / "injection_pages.jsonl") if (page := Page(**row)).language == language]


def wording_cases(part: Part) -> list[Case]:
    """Two for each wording of a part: alone in a page, and in the next one behind its question."""
    shelf = {language: pages(language) for language in ("en", "es")}
    return [
        case
        for number, wording in enumerate(wordings())
        if wording.part == part
        for case in _cases(wording, number, shelf[wording.page_language])
    ]


def _cases(wording: Wording, number: int, shelf: Sequence[Page]) -> Iterator[Case]:
    share = (number % 3) / 2
    for lured in (False, True):
        page, beside = (shelf[(number + lured + step) % len(shelf)] for step in (0, 3))
        form = f"{wording.form}, behind the question" if lured else wording.form
        yield Case(
            question=page.question,
            attack=Attack(kind=wording.kind, form=form, text=wording.text, payload=wording.payload),
            poisoned=wording.within(page, share, lured=lured),
            untouched=page.hit(1),
            clean=beside.hit(2),
        )
