"""Makes quotes whole: a list with all its items, a procedure with all its steps, a section's yes or no with what follows it.

What is too long for an answer is cut between two items, rows or steps, and a sign says how many more there are and where.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Protocol

from rag.answering.listing import LONGEST, Piece, fitting, glued, pieces_of, procedure, window
from rag.answering.quotes import Quotable, cited, units_of
from rag.answering.reach import Reach
from rag.answering.readable import quotable_markdown
from rag.answering.selection import Candidate, section
from rag.prompts.plain import plain_passage
from rag.prompts.sentences import Rest, the_rest
from rag.retrieval.sections import Section
from rag.text.blocks import parse
from rag.text.joining import Span, joined, number_of
from rag.types import Hit, Passage

LONGEST_CODE = 3000
"""Characters of code, which is not cut within a passage of it."""
ONE_ITEM = 600
"""Characters of a list from which on an item that answers alone is quoted alone."""
_YES_OR_NO = re.compile(r"\W*(?:yes|no|sí|si)\b(?=[^\w\s])", re.IGNORECASE)


class Question(Protocol):
    """What a question asks for; ``rag.answering.asked`` implements it."""

    def defines(self, passage: Passage, sentence: str) -> bool:
        """Whether a section's first sentence says what its heading names and the question asks about."""

    def rows(self, passage: Passage, table: Quotable) -> Sequence[int] | None:
        """The rows of a long table that are asked for; empty if it asks for none in particular, None if they are not there."""

    def names_a_row(self, passage: Passage, table: Quotable) -> bool:
        """Whether the question names a thing, by a number or a capital, that the table's head and headings do not name."""

    def is_met(self, passage: Passage, table: Quotable, text: str) -> bool:
        """Whether a text has what is asked for and the table's head and headings do not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """What is quoted of one section: ``blocks`` of Markdown with the marker of ``number``, in reading order.

    ``hit`` holds all that is quoted: its passage may be longer than the one that was retrieved.
    """

    number: int
    hit: Hit
    blocks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The units chosen from one section. ``opens``: its first sentence is quoted in any case."""

    candidates: Sequence[Candidate]
    section: Section
    language: str
    question: Question
    opens: bool = False


def excerpt(choice: Choice) -> Excerpt | None:
    """The units of one section with what they need to be understood; None if nothing of them answers."""
    best = max(choice.candidates, key=lambda one: one.score)
    own = [one.hit.passage for one in choice.candidates]
    reach = Reach(choice.section.passages, own)
    passages = reach.passages or [plain_passage(own[0])]
    spans = reach.spans or joined([parse(passages[0].text)])
    units, opening = units_of(span.block for span in spans), _opening(reach, choice.section)
    page = _Page(
        units=units, spans=spans, choice=choice, number=min(one.number for one in choice.candidates), passage=own[0]
    )
    page.find(choice.candidates, best, begins=opening is None)
    blocks = list(page.blocks())
    if not blocks or page.lacks_what_is_asked():
        return None
    if opening and page.wants(opening.text):
        blocks.insert(0, cited(page.number, opening.text, opening.lead))
        passages = [choice.section.passages[0], *passages]
    hit = min(choice.candidates, key=lambda one: one.number).hit
    return Excerpt(number=page.number, hit=_widened(hit, passages, own, "\n".join(blocks)), blocks=tuple(blocks))


def by_section(chosen: Sequence[Candidate]) -> list[list[Candidate]]:
    """The chosen units of each section, in the order of reading."""
    return [list(units) for _, units in groupby(chosen, key=section)]


def by_passage(chosen: Sequence[Candidate]) -> list[list[Candidate]]:
    """The chosen units of each retrieved passage, for a section of which no more is known."""
    return [list(units) for _, units in groupby(chosen, key=lambda one: one.number)]


def _opening(reach: Reach, known: Section) -> Quotable | None:
    """The section's first unit where it stands before what was read."""
    block = reach.opening() if known.begins else None
    units = units_of([block]) if block else []
    return units[0] if units and units[0].kind == "text" else None


def _widened(hit: Hit, passages: Sequence[Passage], own: Sequence[Passage], quoted: str) -> Hit:
    """The hit with the text of all passages that were retrieved or are quoted; the same where it has them already."""
    lines = {line.strip() for line in quoted.splitlines() if line.strip()}
    kept = [each for each in passages if any(each.text in one.text for one in own) or _is_quoted(each, lines)]
    if not kept or all(each.text in hit.passage.text for each in kept):
        return hit
    text = "\n\n".join(each.text for each in kept)
    return replace(hit, passage=replace(hit.passage, text=text, position=kept[0].position))


def _is_quoted(passage: Passage, lines: Collection[str]) -> bool:
    """Whether a line of a passage is quoted. The two lines that head each part of a table are no sign of that."""
    own = [line.strip() for line in passage.text.splitlines()]
    own = own[2:] if passage.text.startswith("|") else own
    return any(quotable_markdown(line) in lines or f"{line} [" in lines for line in own if line)


@dataclass(slots=True, kw_only=True)
class _Page:
    """The units that were read of a section, and which of them (by place) the answer quotes."""

    units: Sequence[Quotable]
    spans: Sequence[Span]
    choice: Choice
    number: int
    passage: Passage
    chosen: set[int] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)
    lost: list[Quotable] = field(default_factory=list)
    dropped: list[Quotable] = field(default_factory=list)

    def find(self, candidates: Sequence[Candidate], best: Candidate, *, begins: bool) -> None:
        """Finds the chosen units again among those of the whole blocks, and adds what belongs to them."""
        for one in candidates:
            place = _place(one.unit, self.units)
            if place is None:
                self.lost.append(one.unit)
            else:
                self.chosen.add(place)
        self.wanted = set(best.unit.contents)
        if begins and self.units and self.chosen and self.wants(self.units[0].text):
            self.chosen.add(0)
        for place in sorted(self.chosen):
            self._add_neighbours(place)
        self.chosen |= {at for at, unit in enumerate(self.units) if self._may_hold_the_row(unit)}

    def _may_hold_the_row(self, unit: Quotable) -> bool:
        """Whether a thing that the question names is one that a long table below the same heading lists, or lacks."""
        if not self.chosen or unit.kind != "table" or len(unit.text) <= LONGEST:
            return False
        return self.choice.question.names_a_row(self.passage, unit)

    def wants(self, sentence: str) -> bool:
        """Whether the section's first sentence must come with any other of it."""
        return bool(
            self.choice.opens or _YES_OR_NO.match(sentence) or self.choice.question.defines(self.passage, sentence)
        )

    def lacks_what_is_asked(self) -> bool:
        """Whether a table was left out because no row of it is asked for, and the sentences beside it do not answer either."""
        sentences = " ".join(self.units[place].text for place in self.chosen if self.units[place].kind != "table")
        met = (self.choice.question.is_met(self.passage, table, sentences) for table in self.dropped)
        return bool(self.dropped) and not any(met)

    def blocks(self) -> Iterator[str]:
        """The Markdown of the quotes, each block with one marker at its end."""
        before = ""
        for places, following in pairwise([*self._groups(), []]):
            units = [self.units[place] for place in places]
            if before:
                units[0], before = replace(units[0], lead=f"{before} {units[0].lead}"), ""
            if following and units[0].kind == "text" and self._is_led_to(places[-1], following[0]):
                before = self._sentences(units, places)
            elif units[0].kind == "table":
                yield from self._table(units[0])
            elif units[0].item or units[0].kind in ("list", "steps"):
                yield from self._listing(units)
            elif units[0].kind == "code":
                yield from self._code(units[0])
            else:
                yield cited(self.number, self._sentences(units, places))
        yield from (cited(self.number, unit.text, unit.lead) for unit in self.lost)

    def _add_neighbours(self, place: int) -> None:
        unit, following = self.units[place], self.units[place + 1 : place + 2]
        first = next((at for at, other in enumerate(self.units) if other.block == unit.block), place)
        if unit.kind == "text" and unit.block >= 0 and _YES_OR_NO.match(self.units[first].text):
            self.chosen.add(first)
        if unit.item and not self._answers_alone(place):
            self.chosen |= set(self._items(unit))
        if unit.kind == "text" and following and following[0].kind == "steps" and number_of(following[0].text) == 1:
            self.chosen.add(place + 1)
            place += 1
        if self.units[place].kind == "steps":
            self.chosen |= set(procedure(self.units, place))

    def _items(self, item: Quotable) -> list[int]:
        """The places of all items of the list that an item stands in."""
        return [at for at, other in enumerate(self.units) if other.item and other.block == item.block]

    def _answers_alone(self, place: int) -> bool:
        """Whether this is the only item chosen of a list that is long."""
        items = self._items(self.units[place])
        is_long = sum(len(self.units[at].text) for at in items) > ONE_ITEM
        return is_long and not self.choice.opens and len(self.chosen & set(items)) == 1

    def _groups(self) -> Iterator[list[int]]:
        """The chosen places, block by block; all of a procedure in one group."""
        places = sorted(self.chosen)
        while places:
            unit = self.units[places[0]]
            if unit.kind == "steps":
                group = [at for at in procedure(self.units, places[0]) if at in places]
            else:
                group = [at for at in places if self.units[at].block == unit.block]
            yield group
            places = [at for at in places if at not in group]

    def _is_led_to(self, place: int, following: int) -> bool:
        """Whether the sentence that introduces the following unit stands behind this one in the same paragraph."""
        unit, other = self.units[place], self.units[following]
        return (
            following == place + 1 and bool(other.lead) and other.block == unit.block + 1 and not _is_alone(other.lead)
        )

    def _sentences(self, units: Sequence[Quotable], places: Sequence[int]) -> str:
        text = units[0].words
        for unit, (before, place) in zip(units[1:], pairwise(places), strict=True):
            text += (" " if place == before + 1 else " … ") + unit.words
        return text

    def _listing(self, units: Sequence[Quotable]) -> Iterator[str]:
        """A list or a procedure, whole or cut between two items."""
        first, pieces = units[0], pieces_of(units)
        shown = window(pieces, self.wanted)
        is_whole = len(units) == 1 and not first.item and len(shown) == len(pieces)
        yield cited(self.number, first.text if is_whole else glued(shown), "" if first.item else first.lead)
        all_items = len(self._items(first)) if first.item else sum(piece.counts for piece in pieces)
        if missing := all_items - sum(piece.counts for piece in shown):
            rest: Rest = "steps" if first.kind == "steps" else "items"
            yield the_rest(self.choice.language, rest, missing, self.passage)

    def _table(self, table: Quotable) -> Iterator[str]:
        if len(table.text) <= LONGEST:
            yield cited(self.number, table.text, table.lead)
            return
        rows = self.choice.question.rows(self.passage, table)
        if rows is None:
            self.dropped.append(table)
            return
        places = rows or range(fitting([Piece(text=row) for row in table.parts], 0))
        head = table.text.split("\n")[:2]
        yield cited(self.number, "\n".join([*head, *(table.parts[place] for place in places)]), table.lead)
        yield the_rest(self.choice.language, "rows", len(table.parts) - len(places), self.passage)

    def _code(self, code: Quotable) -> Iterator[str]:
        if len(code.text) <= LONGEST_CODE:
            yield cited(self.number, code.text, code.lead)
            return
        # what was retrieved is a complete part of it, between fences of its own
        parts = (one.unit.text for one in self.choice.candidates if set(one.unit.parts) & set(code.parts))
        yield cited(self.number, next(parts, code.text), code.lead)
        yield the_rest(self.choice.language, "code", 0, self.passage)


def _is_alone(lead: str) -> bool:
    """Whether a lead is a line in bold or a question, each a paragraph of its own."""
    return lead.startswith("**") or lead.endswith("?")


def _place(unit: Quotable, units: Sequence[Quotable]) -> int | None:
    """The unit that has most of the contents of another, which may be a part of it."""
    contents = set(unit.contents)
    common = [len(contents & set(other.contents)) for other in units]
    if not any(common):
        return next((at for at, other in enumerate(units) if other.lead == unit.text), None)
    return common.index(max(common))
