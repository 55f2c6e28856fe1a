"""What of a passage can be quoted: sentences, list items, and blocks that only make sense whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.knowledge.blocks import Block, parse
from rag.knowledge.sentences import sentences

# Possessive quantifiers and "no run inside a run": a page full of backticks or brackets must not stall an answer.
_REWRITTEN = re.compile(
    r"(?P<code>(?<![`~])(?P<run>`++|~{3,}+).*?(?<![`~])(?P=run)(?![`~]))"
    r"|(?P<image>!)?\[(?P<label>[^\[\]\n]*+)\]\(<?(?P<target>(?:[^()<>\s]++|\([^()<>\s]*+\))*+)>?(?:\s[^()\n]*+)?\)"
    r"|(?P<marker>\[\d{1,3}\])(?!:)",
    re.DOTALL,
)
_REACHABLE = ("https://", "http://", "mailto:", "tel:")


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
        if found and block.kind == "text" and _announces(found[-1]):
            lead = found.pop().words
        units += found
    return [*units, Quotable(text=lead, block=-1)] if lead and not _is_name(lead) else units


def _units(block: Block, index: int, lead: str, *, quoted: bool = False) -> Iterator[Quotable]:
    if block.text.startswith(">") and not quoted:
        for inner in parse(_unquoted(block.text)):
            yield from _units(inner, index, lead, quoted=True)
            lead = ""
    elif block.kind == "text":
        for sentence in sentences(readable(_unquoted(block.text))):
            yield Quotable(text=sentence, lead=lead, block=index)
            lead = ""
    elif block.kind == "list" and not lead:
        for item in block.items:
            yield Quotable(text=readable(item), block=index, item=True)
    elif block.kind == "heading":
        yield Quotable(text=f"**{block.text}**", lead=lead, block=index)
    else:
        yield Quotable(text=block.text if block.kind == "code" else readable(block.text), lead=lead, block=index)


def _announces(unit: Quotable) -> bool:
    return unit.text.endswith((":", ":**")) or _is_name(unit.text)


def _is_name(text: str) -> bool:
    """A line in bold: the heading of a short section that was joined with its sibling."""
    return text.startswith("**") and text.endswith("**") and text.count("**") == 2


def _unquoted(text: str) -> str:
    return re.sub(r"(?m)^ {0,3}> ?", "", text)


def readable(markdown: str) -> str:
    """Text as it can stand in a message: links that lead nowhere from there become their label, ``[1]`` is no citation."""
    return _REWRITTEN.sub(_rewrite, markdown)


def _rewrite(match: re.Match[str]) -> str:
    if match["code"]:
        return match[0]
    if match["marker"]:
        return f"\\{match[0]}"
    reachable = match["target"].startswith(_REACHABLE) and not match["image"]
    return match[0] if reachable else match["label"]
