"""What a document must not achieve, counted in answers: the links that they show, and where those come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.types import Answer, Passage

_BARE = re.compile(r"https?://[^\s<>\"'`)\]\\*]+(?<![.,:;!?])")
"""Platforms make links of plain addresses too."""


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.validateLink = bool  # type: ignore[method-assign, assignment] # shows every link, as the most careless renderer would
    return parser


_PARSER = _parser()


def links(markdown: str) -> set[str]:
    """The addresses that a reader could be led to."""
    return set(_BARE.findall(markdown)) | {str(token.attrGet("href")) for token in _inline(markdown, "link_open")}


def images(markdown: str) -> list[str]:
    """The addresses that are fetched without a click."""
    return [str(token.attrGet("src")) for token in _inline(markdown, "image")]


def _inline(markdown: str, kind: str) -> list[Token]:
    tokens = (child for token in _PARSER.parse(markdown) for child in token.children or ())
    return [token for token in tokens if token.type == kind]


def foreign_links(answer: Answer, urls: Iterable[str]) -> list[str]:
    """Links of an answer that are in no passage it cites, and urls of its sources that the index did not give (``urls``).

    An abstention cites nothing, and may name the closest page.
    """
    known = set(urls)
    cited = [source.passage for source in answer.sources] or [hit.passage for hit in answer.shown[:1]]
    led = [link for link in links(answer.text) if not _stands_in(link, cited)]
    return led + [passage.url for passage in cited if passage.url not in known]


def _stands_in(link: str, passages: Iterable[Passage]) -> bool:
    told = ["\n".join((passage.title, *passage.headings, passage.text)) for passage in passages]
    return any(one in text for text in told for one in (link, unquote(link))) or link in {one.url for one in passages}
