"""Telegram's HTML, parsed as strictly as the Bot API does it, with its error texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

LIMIT = 4096
_TAGS = {
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "code",
    "pre",
    "a",
    "blockquote",
    "tg-spoiler",
    "span",
}
_TOKEN = re.compile(r"<(?P<end>/)?(?P<name>[A-Za-z][A-Za-z0-9-]*)(?P<attributes>(?:\s+[a-z-]+=\"[^\"<>]*\")*)\s*>")
_ATTRIBUTE = re.compile(r"([a-z-]+)=\"([^\"]*)\"")
_ALLOWED = {"a": {"href"}, "code": {"class"}, "span": {"class"}, "blockquote": {"expandable"}}


class MarkupError(Exception):
    """What the Bot API says about a text that it refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A styled part of the visible text; ``kind`` is the tag, or what Telegram finds by itself (mention, hashtag, command)."""

    kind: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a reader sees."""

    text: str
    entities: tuple[Entity, ...]


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parse_html(html: str) -> Parsed:
    """Raises ``MarkupError``."""
    visible, entities = "", []
    opened: list[tuple[str, int, str]] = []
    position = 0
    while position < len(html):
        if html[position] != "<":
            end = html.find("<", position)
            end = len(html) if end < 0 else end
            visible += _text(html[position:end])
            position = end
            continue
        tag = _TOKEN.match(html, position)
        if tag is None:
            raise MarkupError(f"Unsupported start tag at byte offset {position}")
        name = tag["name"].lower()
        if tag["end"]:
            entities.append(_close(opened, name, visible, position))
        else:
            opened.append((name, len(visible), _url(name, tag["attributes"], position, opened)))
        position = tag.end()
    if opened:
        raise MarkupError(f'Can\'t find end tag corresponding to start tag "{opened[-1][0]}"')
    return Parsed(text=visible.strip(), entities=(*entities, *_found(visible, entities)))


def parse_plain(text: str) -> Parsed:
    return Parsed(text=text.strip(), entities=tuple(_found(text, [])))


def check(parsed: Parsed) -> None:
    """Raises ``MarkupError`` for a text that is empty or too long."""
    if not parsed.text:
        raise MarkupError("message text is empty")
    if utf16_length(parsed.text) > LIMIT:
        raise MarkupError("message is too long")


def _text(raw: str) -> str:
    if ">" in raw:
        raise MarkupError("Unescaped > in the text")
    if re.search(r"&(?!(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);)", raw):
        raise MarkupError("Unescaped & in the text")
    return unescape(raw)


def _close(opened: list[tuple[str, int, str]], name: str, visible: str, position: int) -> Entity:
    if not opened:
        raise MarkupError(f"Unexpected end tag at byte offset {position}")
    last, start, url = opened.pop()
    if last != name:
        raise MarkupError(f'Unmatched end tag at byte offset {position}, expected "</{last}>", found "</{name}>"')
    return Entity(kind=name, text=visible[start:], url=url)


def _url(name: str, attributes: str, position: int, opened: list[tuple[str, int, str]]) -> str:
    if name not in _TAGS:
        raise MarkupError(f'Unsupported start tag "{name}" at byte offset {position}')
    if name == "blockquote" and any(other == name for other, _, _ in opened):
        raise MarkupError("blockquotes can't be nested")
    found = dict(_ATTRIBUTE.findall(attributes))
    if set(found) - _ALLOWED.get(name, set()):
        raise MarkupError(f'Unsupported attribute of "{name}" at byte offset {position}')
    return unescape(found.get("href", ""))


_AUTOMATIC = {
    "mention": re.compile(r"(?<![\w@/])@\w{3,32}"),
    "hashtag": re.compile(r"(?<![\w#@/])#(?=\w*[^\W\d])\w+"),
    "bot_command": re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,32}\b(?!/)"),
}


def _found(visible: str, entities: list[Entity]) -> list[Entity]:
    """What Telegram links by itself, outside code."""
    code = [entity.text for entity in entities if entity.kind in ("pre", "code")]
    for block in sorted(code, key=len, reverse=True):
        visible = visible.replace(block, " " * len(block))
    return [
        Entity(kind=kind, text=match.group())
        for kind, pattern in _AUTOMATIC.items()
        for match in pattern.finditer(visible)
    ]
