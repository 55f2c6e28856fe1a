"""What of a passage can be quoted: sentences, list items, and blocks that only make sense whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.answering.readable import readable, settled
from rag.prompts.sentences import plain
from rag.text.blocks import Block, parse
from rag.text.sentences import sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotable:
    """A unit of a passage, word for word. ``lead`` announces or names ``text``; neighbours share a ``block``."""

    text: str
    lead: str = ""
    block: int = 0
    item: bool = False

    @property
    def words(self) -> str:
        return f"{self.lead}\n\n{self.text}" if self.lead else self.text

    def cited(self, number: int) -> str:
        """The quote with its marker: at its end, or before a table or a code block, which no marker may touch."""
        if not self.text.endswith(("```", "~~~", "|")) and not self.text.startswith(("```", "~~~", "|", "    ")):
            return f"{self.words} [{number}]"
        return f"{self.lead} [{number}]\n\n{self.text}" if self.lead else f"{self.text}\n\n[{number}]"


def quotables(markdown: str) -> list[Quotable]:
    """The units of a passage in reading order.

    Numbered steps, tables and code stay whole, and so does a list that a colon announces.
    """
    units: list[Quotable] = []
    lead = ""
    for index, block in enumerate(parse(markdown)):
        found = list(_units(block, index, lead))
        lead = ""
        if found and block.kind == "text" and (_announces(found[-1]) or _heads(found)):
            lead = found.pop().words
        units += found
    return [*units, Quotable(text=lead, block=-1)] if lead and not (_is_name(lead) or _asks(lead)) else units


def _units(block: Block, index: int, lead: str, *, quoted: bool = False) -> Iterator[Quotable]:
    if block.text.startswith(">") and not quoted:
        for inner in parse(_unquoted(block.text)):
            yield from _units(inner, index, lead, quoted=True)
            lead = ""
    elif block.kind == "text":
        for sentence in sentences(readable(_unquoted(block.text))):
            yield Quotable(text=settled(sentence), lead=lead, block=index)
            lead = ""
    elif block.kind == "list" and not lead:
        for item in block.items:
            yield Quotable(text=readable(item), block=index, item=True)
    elif block.kind == "heading":
        yield Quotable(text=f"**{plain(block.text)}**", lead=lead, block=index)
    else:
        yield Quotable(text=block.text if block.kind == "code" else readable(block.text), lead=lead, block=index)


def _announces(unit: Quotable) -> bool:
    return unit.text.endswith((":", ":**")) or _is_name(unit.text)


def _heads(units: Sequence[Quotable]) -> bool:
    """A paragraph of one question: what stands below it answers."""
    return len(units) == 1 and _asks(units[0].text)


def _asks(text: str) -> bool:
    return text.endswith(("?", "?**"))


def _is_name(text: str) -> bool:
    """A line in bold: the heading of a short section that was joined with its sibling."""
    return text.startswith("**") and text.endswith("**") and text.count("**") == 2


def _unquoted(text: str) -> str:
    return re.sub(r"(?m)^ {0,3}> ?", "", text)
