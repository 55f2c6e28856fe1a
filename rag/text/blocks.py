"""Parses Markdown (CommonMark with tables) into top-level blocks, each with its source text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

BlockKind = Literal["heading", "text", "list", "steps", "code", "table"]

ITEM = re.compile(r"[ \t]*(?:[*+-]|\d{1,9}[.)])[ \t]+")
"""The marker of a list's item, with the white space around it."""
_KINDS: dict[str, BlockKind] = {
    "heading_open": "heading",
    "bullet_list_open": "list",
    "ordered_list_open": "steps",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block. ``text`` is its Markdown, or the plain text of a heading; ``items`` is the Markdown of a list's outer items.

    ``anchor`` is the id that the document itself gives a heading, or empty; ``level`` is 1 to 6 for headings, else 0.
    """

    kind: BlockKind
    text: str
    level: int = 0
    anchor: str = ""
    items: tuple[str, ...] = ()


def parse(markdown: str) -> list[Block]:
    """The top-level blocks in order, without comments, rules and link definitions.

    Code is always between fences, even if the document indents it or forgets the closing fence: a quote of it must not swallow
    the text behind it.
    """
    # markdown-it counts a lone CR as a line break too, and its line numbers must fit ours
    markdown = markdown.replace("\r\n", "\n").replace("\r", "\n")
    lines = markdown.split("\n")
    tokens = _PARSER.parse(markdown)
    for token in tokens:
        if token.type == "fence":
            _ensure_closed(token, lines)
    return [block for index in range(len(tokens)) if (block := _block(tokens, index, lines)) is not None]


def _block(tokens: Sequence[Token], index: int, lines: Sequence[str]) -> Block | None:
    token = tokens[index]
    if token.level or token.map is None or token.nesting < 0 or token.type == "hr":
        return None
    kind = _KINDS.get(token.type, "text")
    if kind == "heading":
        return _heading(_plain(tokens[index + 1].content), int(token.tag[1:]))
    text = _fenced(token.content) if token.type == "code_block" else _source(token, lines)
    if token.type == "html_block" and text.startswith("<!--"):
        return None
    items = tuple(_items(tokens, index, lines)) if kind in ("list", "steps") else ()
    return Block(kind=kind, text=text, items=items)


def _heading(text: str, level: int) -> Block:
    attribute = _ID.search(text)
    anchor = attribute[1] if attribute else ""
    return Block(kind="heading", text=text[: attribute.start()] if attribute else text, level=level, anchor=anchor)


def _items(tokens: Sequence[Token], index: int, lines: Sequence[str]) -> Iterator[str]:
    for token in tokens[index + 1 :]:
        if token.level == 0:
            return
        if token.type == "list_item_open" and token.level == 1:
            yield _source(token, lines)


def _ensure_closed(fence: Token, lines: list[str]) -> None:
    """Adds the closing fence to ``lines`` if the document lacks it."""
    start, end = fence.map or (0, 0)
    last = lines[end - 1].strip(" \t>")
    if end - start > 1 and last.startswith(fence.markup) and not last.strip(fence.markup[0]):
        return
    before = lines[start].partition(fence.markup)[0]
    lines[end - 1] += "\n" + "".join(">" if char == ">" else " " for char in before) + fence.markup


def _fenced(code: str) -> str:
    # CommonMark: a fence must be longer than every run of backticks within it
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{code.rstrip()}\n{fence}"


def _source(token: Token, lines: Sequence[str]) -> str:
    start, end = token.map or (0, 0)
    return "\n".join(lines[start:end]).strip("\n").rstrip()


def _plain(heading: str) -> str:
    """The text of a heading as a reader sees it, without emphasis and link targets."""
    children: list[Token] = []
    _PARSER.inline.parse(heading, _PARSER, {}, children)
    contents = (" " if child.type in ("softbreak", "hardbreak") else child.content for child in children)
    return " ".join("".join(contents).split())


_ID = re.compile(r"\s*\{\s*#([\w:.-]+)\s*\}$")
"""``## Heading {#id}``, as Pandoc, MkDocs and many other tools write it."""
_PARSER = MarkdownIt("commonmark").enable("table").disable("inline")
"""Only headings are parsed within their lines, which saves half of the time."""
