"""A page in sections, as its Markdown says: what a question's section holds is computed from the page, never copied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*(?:\{\s*#([\w-]+)[^}]*\})?\s*$")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_ITEM = re.compile(r"(?:[*+-]|\d{1,3}[.)])\s+(.*)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)(?:\{[^}]*\})?")
_TAG = re.compile(r"<[^<>]+>")
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r".+?[.!?:](?=\s|$)", re.DOTALL)
_YES_OR_NO = re.compile(r"(?:yes|no|sí)\b[^\w\s]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands below it before the next one; ``headings`` is its path, the page's title first."""

    page: str
    anchor: str
    headings: tuple[str, ...]
    body: str

    @property
    def name(self) -> str:
        """As the sets name it."""
        return f"{self.page}#{self.anchor}"

    def items(self) -> list[str]:
        """The items of its first list, the nested ones not counted; none where there is no list of two."""
        found: list[str] = []
        for line in _prose(self.body):
            if match := _ITEM.match(line):
                found.append(match[1])
            elif found and line and not line[0].isspace():
                break
        return found if len(found) > 1 else []

    def opening(self) -> str:
        """Its first sentence."""
        text = " ".join(line for line in _first_paragraph(self.body))
        match = _SENTENCE.match(text)
        return match[0] if match else text

    def opens_with_yes_or_no(self) -> bool:
        """Whether its first word answers already."""
        return bool(_YES_OR_NO.match(self.opening()))


def sections(page: str, markdown: str) -> list[Section]:
    """The sections of a page, in order. A heading without an anchor of its own has the one that GitHub gives it."""
    found: list[Section] = []
    path: list[tuple[int, str]] = []
    anchor, body = "", list[str]()
    for line, is_code in _lines(markdown):
        match = None if is_code else _HEADING.match(line)
        if match is None:
            body.append(line)
            continue
        found.append(_section(page, anchor, path, body))
        level = len(match[1])
        path = [*(above for above in path if above[0] < level), (level, match[2])]
        anchor, body = match[3] or slug(match[2]), []
    return [*found, _section(page, anchor, path, body)][1:]


def _section(page: str, anchor: str, path: list[tuple[int, str]], body: list[str]) -> Section:
    headings = tuple(text for _, text in path)
    return Section(page=page, anchor=anchor, headings=headings, body="\n".join(body).strip("\n"))


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def words(text: str) -> tuple[str, ...]:
    """What can be compared of a Markdown text: its words in small letters, without the targets of links and without tags."""
    return tuple(_WORD.findall(_TAG.sub(" ", _LINK.sub(r"\1", text)).lower()))


def holds(text: tuple[str, ...], part: tuple[str, ...]) -> bool:
    """Whether the words of a part follow each other in a text."""
    return f" {' '.join(part)} " in f" {' '.join(text)} "


def _lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a block of code."""
    fence = ""
    for line in markdown.splitlines():
        match = _FENCE.match(line)
        if match and not fence:
            fence = match[1]
            yield line, True
        elif match and match[1].startswith(fence) and line.strip() == match[1]:
            fence = ""
            yield line, True
        else:
            yield line, bool(fence)


def _prose(body: str) -> Iterator[str]:
    return (line for line, is_code in _lines(body) if not is_code)


def _first_paragraph(body: str) -> Iterator[str]:
    begun = False
    for line in _prose(body):
        if line.strip():
            begun = True
            yield line.strip()
        elif begun:
            return
