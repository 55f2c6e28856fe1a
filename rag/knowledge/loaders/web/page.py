"""Reads the facts of an HTML page that a crawler needs: links, canonical address, language, robots rules."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from rag.knowledge.loaders.encoding import decode_page

LINKS = 5000
"""The most links of one page that are followed."""
VERSION = 1
"""Version of the facts in the cache: raise it when facts are read differently, so that they are read again."""

_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_REFRESH = re.compile(r"^\s*\d+\s*[;,]\s*(?:url\s*=\s*)?[\"']?([^\"']+)", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_INVISIBLE = frozenset({"script", "style", "link", "meta", "input", "noscript", "template", "iframe"})
_VISIBLE_MARKS = ("id", "name", "href", "class", "lang", "src", "alt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts of one page. ``base`` resolves the links. ``content`` hashes only what a reader sees.

    So a hidden token that differs with every request does not count as a change of the page.
    """

    content: str
    base: str = ""
    links: tuple[str, ...] = ()
    canonical: str = ""
    language: str = ""
    noindex: bool = False


def read_page(body: bytes, kind: str) -> Facts:
    """The facts of a page whose Content-Type is ``kind``. Raises ``KnowledgeError`` if its encoding cannot be determined."""
    # Without the XML declaration, which may name another encoding than the UTF-8 that the parser gets.
    text = _DECLARATION.sub("", decode_page(body, charset(kind))).encode(errors="replace")
    root = etree.fromstring(text, _parser()) if text.strip() else None
    if root is None:
        return Facts(content=hashlib.sha256(body).hexdigest())
    rules = robots_rules(" , ".join(_meta_contents(root, ("robots", "cotorra"))))
    return Facts(
        content=_content(root),
        base=next((each.get("href", "") for each in root.iter("base")), ""),
        links=() if "nofollow" in rules else _links(root),
        canonical=next((each.get("href", "") for each in root.iter("link") if "canonical" in _relations(each)), ""),
        language=root.get("lang", "") or root.get("{http://www.w3.org/XML/1998/namespace}lang", ""),
        noindex="noindex" in rules,
    )


def charset(kind: str) -> str:
    """The charset in a Content-Type, or ""."""
    match = _CHARSET.search(kind)
    return match[1] if match else ""


def robots_rules(text: str) -> frozenset[str]:
    """The rules of a robots meta element or an X-Robots-Tag header that apply to this crawler."""
    rules, mine = set(), True
    for each in text.lower().split(","):
        # A crawler's name applies to all rules after it, up to the next name.
        agent, colon, rule = each.rpartition(":")
        if colon and "unavailable_after" not in agent:
            mine = agent.strip() == "cotorra"
        if mine:
            rules.add((rule or each).strip())
    return frozenset(rules | {"noindex", "nofollow"} if "none" in rules else rules)


def _parser() -> etree.HTMLParser:
    return etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=False)


def _meta_contents(root: etree._Element, names: tuple[str, ...]) -> Iterator[str]:
    for each in root.iter("meta"):
        if each.get("name", "").strip().lower() in names:
            yield each.get("content", "")


def _relations(element: etree._Element) -> list[str]:
    return [str(each) for each in element.get("rel", "").lower().split()]


def _links(root: etree._Element) -> tuple[str, ...]:
    links: dict[str, None] = {}
    for each in root.iter("a", "area", "meta"):
        link = _refresh(each) if each.tag == "meta" else each.get("href", "")
        if link and "nofollow" not in _relations(each) and len(links) < LINKS:
            links[link] = None
    return tuple(links)


def _refresh(element: etree._Element) -> str:
    if element.get("http-equiv", "").lower() != "refresh":
        return ""
    match = _REFRESH.match(element.get("content", ""))
    return match[1].strip() if match else ""


def _content(root: etree._Element) -> str:
    digest = hashlib.sha256()
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            digest.update(f"<{element.tail or ''}".encode(errors="replace"))
        elif element.tag not in _INVISIBLE:
            marks = [element.get(name, "") for name in _VISIBLE_MARKS]
            digest.update(f"{element.tag} {marks} {element.text or ''}".encode(errors="replace"))
    return digest.hexdigest()
