"""Cleans Markdown: what a page says stays, what only its site generator reads goes. Code is never changed."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from rag.knowledge.loaders.cleaning.blocks import use_blocks
from rag.knowledge.loaders.cleaning.fragments import closing_names
from rag.knowledge.loaders.cleaning.inlines import use_inlines
from rag.knowledge.loaders.cleaning.rendering import Writer

LONGEST = 3_000
"""Characters of a paragraph that are parsed at once: the time for one grows with the square of its length."""
PASSES = 3
"""How often a page is read at most: HTML and boxes may hold Markdown that is seen only when they are opened."""


def clean(markdown: str, *, mdx: bool = False) -> str:
    """The Markdown of what a reader sees. ``mdx`` also takes text in braces as an expression, as MDX does."""
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    for _ in range(PASSES):
        before, text = text, _once(text, mdx=mdx)
        if text == before or not _may_hold_more(before):
            break
    return text


def _once(text: str, *, mdx: bool) -> str:
    env: dict[str, object] = {"mdx": mdx, "closed": closing_names(text), "notes": {}}
    tokens = _PARSER.parse(text, env)
    notes: dict[str, str] = env["notes"]  # type: ignore[assignment]
    writer = Writer(lines=text.split("\n"), notes=notes, closed=env["closed"])  # type: ignore[arg-type]
    return "\n\n".join(writer.page(tokens)) + ("\n" if text.endswith("\n") else "")


def _may_hold_more(text: str) -> bool:
    """Whether a page has blocks whose content was not read as Markdown in the first pass."""
    return bool(re.search(r"^\s*(?:<\w|```+\{|~~~+\{|:::+|\[\^|\{[%{])", text, re.MULTILINE))


def _parse_inlines(state: StateCore) -> None:
    """Markdown's own rule, except that a very long paragraph is parsed in pieces."""
    for token in state.tokens:
        if token.type == "inline":
            children: list[Token] = []
            for piece in _pieces(token.content):
                state.md.inline.parse(piece, state.md, state.env, children)
            token.children = children


def _pieces(text: str) -> list[str]:
    if len(text) <= LONGEST:
        return [text]
    pieces, start = [], 0
    while len(text) - start > LONGEST:
        window = text[start : start + LONGEST]
        cuts = [cut + 1 for mark in ("\n", ". ", "> ", " ") if (cut := window.rfind(mark, LONGEST // 4)) > 0]
        end = next((cut for cut in cuts if _is_whole(window[:cut])), cuts[-1] if cuts else LONGEST)
        pieces.append(window[:end])
        start += end
    return [*pieces, text[start:]]


def _is_whole(text: str) -> bool:
    """Whether no tag, link or code goes on behind the end of a text."""
    opened = (
        text.rfind("<") > text.rfind(">") or text.rfind("[") > text.rfind("]") or text.rfind("](") > text.rfind(")")
    )
    return not opened and text.count("`") % 2 == 0 and text.rfind("{") <= text.rfind("}")


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": 70}).enable("table").disable("text_join")
    use_blocks(parser)
    use_inlines(parser)
    parser.core.ruler.at("inline", _parse_inlines)
    return parser


_PARSER = _parser()
