"""Splits a passage into quotable units: sentences, list items, and blocks that only make sense as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rag.answering.readable import escaped_if_unsafe, quotable_markdown
from rag.prompts.sentences import plain
from rag.text.blocks import Block, BlockKind, parse
from rag.text.sentences import sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotable:
    """A unit of a passage, word for word. ``lead`` introduces ``text``; units of one Markdown block have the same ``block``.

    ``parts``: the items of a list, the rows of a table (without its head) or the lines of code; none for a sentence.
    """

    text: str
    lead: str = ""
    block: int = 0
    item: bool = False
    kind: BlockKind = "text"
    parts: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return f"{self.lead}\n\n{self.text}" if self.lead else self.text

    @property
    def contents(self) -> tuple[str, ...]:
        """What tells this unit from others, also where splitting has cut it."""
        return self.parts or (self.text,)


def cited(number: int, text: str, lead: str = "") -> str:
    """A quote with its citation marker at its end, or outside of a table or a code block."""
    # Behind a closing fence or a table's last bar the marker would become code or a cell.
    if not text.endswith(("```", "~~~", "|")) and not text.startswith(("```", "~~~", "|", "    ")):
        return f"{lead}\n\n{text} [{number}]" if lead else f"{text} [{number}]"
    return f"{lead} [{number}]\n\n{text}" if lead else f"{text}\n\n[{number}]"


def quotables(markdown: str) -> list[Quotable]:
    """The units of a passage in reading order."""
    return units_of(parse(markdown))


def units_of(blocks: Iterable[Block]) -> list[Quotable]:
    """The units of blocks in reading order; ``block`` counts the blocks.

    Numbered steps, tables and code stay whole, and so does a list after a colon: its items mean little without each other.
    """
    units: list[Quotable] = []
    lead = ""
    for index, block in enumerate(blocks):
        block_units = list(_units(block, index, lead))
        lead = ""
        if block_units and block.kind == "text" and (_announces(block_units[-1]) or _is_question(block_units)):
            lead = block_units.pop().words
        units += block_units
    return [*units, Quotable(text=lead, block=-1)] if lead and not (_is_name(lead) or _asks(lead)) else units


def _units(block: Block, index: int, lead: str, *, within_quote: bool = False) -> Iterator[Quotable]:
    if block.text.startswith(">") and not within_quote:
        for inner in parse(_unquoted(block.text)):
            yield from _units(inner, index, lead, within_quote=True)
            lead = ""
    elif block.kind == "text":
        for sentence in sentences(quotable_markdown(_unquoted(block.text))):
            yield Quotable(text=escaped_if_unsafe(sentence), lead=lead, block=index)
            lead = ""
    elif block.kind == "list" and not lead:
        for item in block.items:
            yield Quotable(text=quotable_markdown(item), block=index, item=True, kind="list")
    elif block.kind == "heading":
        yield Quotable(text=f"**{plain(block.text)}**", lead=lead, block=index)
    else:
        text = block.text if block.kind == "code" else quotable_markdown(block.text)
        yield Quotable(text=text, lead=lead, block=index, kind=block.kind, parts=_parts(block, text))


def _parts(block: Block, text: str) -> tuple[str, ...]:
    if block.kind in ("list", "steps"):
        return tuple(map(quotable_markdown, block.items))
    return tuple(text.split("\n")[2:] if block.kind == "table" else text.split("\n")[1:-1])


def _announces(unit: Quotable) -> bool:
    return unit.text.endswith((":", ":**")) or _is_name(unit.text)


def _is_question(units: Sequence[Quotable]) -> bool:
    """Whether a paragraph is a single question, as in an FAQ: the text below it is the answer."""
    return len(units) == 1 and _asks(units[0].text)


def _asks(text: str) -> bool:
    return text.endswith(("?", "?**"))


def _is_name(text: str) -> bool:
    """Whether the text is a line in bold: chunking writes the heading of a short section so when it merges it with the next."""
    return text.startswith("**") and text.endswith("**") and text.count("**") == 2


def _unquoted(text: str) -> str:
    return re.sub(r"(?m)^ {0,3}> ?", "", text)
