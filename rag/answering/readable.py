"""Makes a document's Markdown safe to quote in a message: no images, no relative links, nothing that looks like a citation.

Documents are not trusted. One may contain images that tell its author who reads it, links that look like citations, or link
definitions that turn every ``[1]`` of the answer into a link to its own site.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt

from rag.prompts.sentences import plain
from rag.types import TURNING

# Possessive quantifiers, and no repetition within a repetition: on a page full of backticks or brackets backtracking would take
# minutes.
_REWRITTEN = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?P<code>(?<![`~])(?P<run>`++|~{3,}+).*?(?<![`~])(?P=run)(?![`~]))"
    r"|(?P<ticks>`++)"
    r"|(?P<image>!)?\[(?P<label>(?:[^\[\]\\\n]++|\\.|\[[^\[\]\n]*+\])*+)\]"
    r"(?P<rest>\(<?(?P<target>(?:[^()<>\s]++|\([^()<>\s]*+\))*+)>?(?:\s[^()\n]*+)?\))"
    r"|(?P<marker>\[\d{1,3}\])(?!:)"
    r"|(?P<definition>\[(?=[^\[\]]++\]:))"
    r"|(?P<address><(?!https?://|mailto:|tel:)[A-Za-z][A-Za-z0-9+.-]{1,31}:[^<>\s]*+>)",
    re.DOTALL,
)
_REACHABLE = ("https://", "http://", "mailto:", "tel:")
_LIKE_A_CITATION = re.compile(r"\W*(?:\d{1,3}\W*)?")
_SUSPECT = re.compile(r"!\[|\]\(|\]:|<[A-Za-z]")


def quotable_markdown(markdown: str) -> str:
    """Markdown without images and links that do not work in a message (their labels stay), and with ``[1]`` escaped."""
    return escaped_if_unsafe(_rewrite_all(TURNING.sub("", markdown)))


def escaped_if_unsafe(markdown: str) -> str:
    """The Markdown if a CommonMark parser finds no image, definition or unreachable link in it; otherwise all of it escaped."""
    if _SUSPECT.search(markdown) and any(_is_unsafe(parser, markdown) for parser in _PARSERS):
        return plain(markdown)
    return markdown


def _rewrite_all(markdown: str) -> str:
    return _REWRITTEN.sub(_rewrite, markdown)


def _rewrite(match: re.Match[str]) -> str:
    if match["escape"] or match["code"]:
        return match[0]
    if match["ticks"]:  # no partner in the quote, and it must find none in the text that follows
        return "\\`" * len(match[0])
    if match["label"] is None:
        return f"\\{match[0]}"
    label = _rewrite_all(match["label"])
    reachable = match["target"].startswith(_REACHABLE) and not match["image"]
    return f"[{label}]{match['rest']}" if reachable and not _LIKE_A_CITATION.fullmatch(match["label"]) else label


def _parser(*, html: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": html}).enable("table")
    parser.validateLink = bool  # type: ignore[method-assign, assignment] # every scheme: clients show links that this parser refuses
    return parser


_PARSERS = tuple(_parser(html=html) for html in (False, True))
"""Clients show messages with or without HTML: a tag hides a link from one kind, a code span from the other."""


def _is_unsafe(parser: MarkdownIt, markdown: str) -> bool:
    """Whether the parser finds an image, a link definition, or a link that cannot be opened from a message."""
    env: dict[str, Any] = {}
    tokens = [child for token in parser.parse(markdown, env) for child in token.children or ()]
    return bool(env.get("references")) or any(
        token.type == "image" or (token.type == "link_open" and not str(token.attrGet("href")).startswith(_REACHABLE))
        for token in tokens
    )
