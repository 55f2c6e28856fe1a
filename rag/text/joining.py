"""Joins what splitting into passages has cut: lists, tables and code that go on in the next passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.text.blocks import ITEM, Block

PART_FENCE = 4
"""Backticks or tildes from which on a fence may be that of a part: splitting lengthens the document's own, of three or more."""
_FENCE = re.compile(r"(?P<run>`{3,}|~{3,}).*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A block of a section; ``first`` and ``last`` number the passages (as they were given) that it was joined from."""

    block: Block
    first: int
    last: int


def joined(passages: Sequence[Sequence[Block]]) -> list[Span]:
    """The blocks of consecutive passages of one section, each whole again."""
    spans: list[Span] = []
    for number, blocks in enumerate(passages):
        for block in blocks:
            if spans and goes_on(spans[-1].block, block):
                spans[-1] = replace(spans[-1], block=_both(spans[-1].block, block), last=number)
            else:
                spans.append(Span(block=block, first=number, last=number))
    return spans


def goes_on(block: Block, following: Block) -> bool:
    """Whether two neighbouring blocks were one before splitting."""
    if block.kind != following.kind:
        return False
    if block.kind in ("list", "steps"):
        return bool(block.items and following.items) and _follows(block.items[-1], following.items[0])
    if block.kind == "table":
        return table_head(block) == table_head(following)
    return block.kind == "code" and _part_fence(block) == _part_fence(following) != ""


def number_of(item: str) -> int | None:
    """The number of a step; None for a bullet."""
    digits = re.match(r"\s*(\d{1,9})[.)](?:\s|$)", item)
    return int(digits[1]) if digits else None


def table_head(table: Block) -> list[str]:
    """The two lines that every part of a table repeats."""
    return table.text.split("\n")[:2]


def _follows(item: str, following: str) -> bool:
    """Bullets go on with the same sign, steps with the next number, or with the same where a page leaves counting to Markdown."""
    mark, other = (match[0].strip() if (match := ITEM.match(each)) else "" for each in (item, following))
    before, after = number_of(item), number_of(following)
    if before is None or after is None:
        return mark == other
    return mark[-1] == other[-1] and after in (before, before + 1)


def _part_fence(code: Block) -> str:
    opening = _FENCE.match(code.text)
    return opening[0] if opening and len(opening["run"]) >= PART_FENCE else ""


def _both(block: Block, following: Block) -> Block:
    if block.kind == "table":
        rows = following.text.split("\n")[2:]
        return replace(block, text="\n".join([block.text, *rows]))
    if block.kind == "code":
        body, rest = block.text.rsplit("\n", 1)[0], following.text.split("\n", 1)[1]
        return replace(block, text=f"{body}\n{rest}")
    return replace(block, text=f"{block.text}\n{following.text}", items=(*block.items, *following.items))
