"""Markdown of a document as it can stand in a message: it may point out of itself, but at nothing that it is not.

What a document says is not to be trusted: it may hold images that tell its author who reads, links that look like citations,
definitions that would turn every ``[1]`` of the answer into a link of theirs.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt

from rag.prompts.sentences import plain
from rag.types import TURNING

# Possessive quantifiers and "no run inside a run": a page full of backticks or brackets must not stall an answer.
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


def readable(markdown: str) -> str:
    """Links that lead nowhere from a message, and images, become their label; ``[1]`` is no citation, ``[1]:`` no definition."""
    return settled(_marked(TURNING.sub("", markdown)))


def settled(markdown: str) -> str:
    """Markdown in which the grammar finds no image, no definition and no link that leads nowhere; else its characters."""
    if _SUSPECT.search(markdown) and any(_astray(parser, markdown) for parser in _PARSERS):
        return plain(markdown)
    return markdown


def _marked(markdown: str) -> str:
    return _REWRITTEN.sub(_rewrite, markdown)


def _rewrite(match: re.Match[str]) -> str:
    if match["escape"] or match["code"]:
        return match[0]
    if match["ticks"]:  # without a partner here: it must find none in what follows the quote
        return "\\`" * len(match[0])
    if match["label"] is None:
        return f"\\{match[0]}"
    label = _marked(match["label"])
    reachable = match["target"].startswith(_REACHABLE) and not match["image"]
    return f"[{label}]{match['rest']}" if reachable and not _LIKE_A_CITATION.fullmatch(match["label"]) else label


def _parser(*, html: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": html}).enable("table")
    parser.validateLink = bool  # type: ignore[method-assign, assignment] # every link: what this one leaves out, another may show
    return parser


_PARSERS = tuple(_parser(html=html) for html in (False, True))
"""Messages are shown with and without HTML: a tag may hide a link from one, a code span from the other."""


def _astray(parser: MarkdownIt, markdown: str) -> bool:
    env: dict[str, Any] = {}
    tokens = [child for token in parser.parse(markdown, env) for child in token.children or ()]
    return bool(env.get("references")) or any(
        token.type == "image" or (token.type == "link_open" and not str(token.attrGet("href")).startswith(_REACHABLE))
        for token in tokens
    )
