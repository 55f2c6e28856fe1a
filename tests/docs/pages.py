"""The handbook's pages as structure: headings, sections, tables, code and links, read with the CommonMark parser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

CHECKOUT = Path(__file__).resolve().parents[2]
Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = ("en", "es")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the handbook."""

    path: Path
    tokens: Sequence[Token]

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def headings(self) -> list[tuple[int, str]]:
        """Level and text of each heading."""
        following = zip(self.tokens, self.tokens[1:], strict=False)
        return [(int(one.tag[1]), inline.content) for one, inline in following if one.type == "heading_open"]

    def anchors(self) -> set[str]:
        return {slug(heading) for _, heading in self.headings()}

    def shape(self) -> list[str]:
        """What a translation must keep: headings, paragraphs, list items, table rows and code blocks, in order."""
        kept = {"paragraph_open", "list_item_open", "tr_open"}
        shape = []
        for token in self.tokens:
            if token.type == "heading_open" or token.type in kept:
                shape.append(token.tag)
            elif token.type == "fence":
                shape.append(f"code {token.info}")
        return shape

    def rows(self) -> list[list[str]]:
        """The cells of every table row, as Markdown."""
        return [_cells(tokens) for tokens in _between(self.tokens, "tr_open", "tr_close")]

    def fences(self, info: str) -> list[str]:
        return [token.content for token in self.tokens if token.type == "fence" and token.info == info]

    def code_spans(self) -> list[str]:
        return [child.content for child in self._children() if child.type == "code_inline"]

    def code(self) -> list[str]:
        """Every line of code, in spans and in blocks."""
        blocks = [token.content for token in self.tokens if token.type == "fence"]
        return [*self.code_spans(), *(line for block in blocks for line in block.splitlines())]

    def links(self) -> list[str]:
        return [unquote(str(child.attrs["href"])) for child in self._children() if child.type == "link_open"]

    def section(self, heading: str) -> str:
        """The Markdown below a heading of the second level, up to the next one."""
        parts = re.split(r"^## (.+)$", self.text, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]

    def _children(self) -> Iterator[Token]:
        for token in self.tokens:
            yield from token.children or ()


@cache
def pages(language: Language) -> dict[str, Page]:
    """Every page of a language by its file name."""
    parser = MarkdownIt("commonmark").enable("table")
    folder = CHECKOUT / "docs" / language
    return {
        path.name: Page(path=path, tokens=tuple(parser.parse(path.read_text(encoding="utf-8"))))
        for path in sorted(folder.glob("*.md"))
    }


def every_page() -> list[Page]:
    return [page for language in LANGUAGES for page in pages(language).values()]


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it: lower case, blanks to hyphens, no punctuation, letters of any script."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower()).replace(" ", "-")


def _between(tokens: Sequence[Token], opening: str, closing: str) -> Iterator[list[Token]]:
    inside: list[Token] | None = None
    for token in tokens:
        if token.type == opening:
            inside = []
        elif token.type == closing and inside is not None:
            yield inside
            inside = None
        elif inside is not None:
            inside.append(token)


def _cells(row: Sequence[Token]) -> list[str]:
    return [token.content for token in row if token.type == "inline"]
