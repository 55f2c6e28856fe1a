"""Finds web, mail and phone addresses in text, as chat clients do, and tells which of them lead to the same place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from typing import Final
from urllib.parse import unquote, urlsplit

JOINER = "\u2060"
"""WORD JOINER, invisible: after an "@", a "/" or a dot it keeps Telegram from making a mention, a command or a link."""

_INVISIBLE = re.compile(
    "[\u202a-\u202e\u2066-\u2069"  # turn the direction of writing
    "\u200b\u200e\u200f\u2060-\u2064\u206a-\u206f\ufeff\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"
    "\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff"  # private use, tags, further variation selectors
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
    "|(?<=[\x00-\x7f])[\u200c\u200d\ufe00-\ufe0f]|[\u200c\u200d](?=[\x00-\x7f])"
)
"""Invisible characters, which can only hide or split text; joiners between non-ASCII characters stay, since emoji need them."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DOT = "[.\u3002\uff0e\uff61]"
_HOST = rf"[\w-]{{1,63}}+(?:{_DOT}[\w-]{{1,63}}+)++"
_REST = r"[^\s<>\"'`*|^\ue000-\uf8ff]"
_CALLING = r"mailto|tel|sms|smsto|tg|skype|callto|whatsapp|facetime|sip|sips|xmpp|geo|market|intent|bitcoin|magnet"
_ADDRESS: Final = re.compile(
    rf"(?P<url>(?:[a-z][a-z0-9+.-]{{1,20}}:(?://|\\\\|/\\|\\/)|(?:{_CALLING}):(?=[^\s*_\[\]])){_REST}{{0,2000}}+)"
    rf"|(?P<mail>(?<![\w.+%-])[\w.+%-]{{1,64}}+[@\uff20\ufe6b]{_HOST})"
    rf"|(?P<bare>(?<!\w){_HOST}(?::\d{{1,5}})?+(?:[/?\#]{_REST}{{0,2000}}+)?+)"
    r"|(?P<phone>(?<![\w+])\+\d[\d ()./-]{5,20}\d(?!\w))",
    re.IGNORECASE,
)
"""Text that chat clients turn into a link without any Markdown."""

_TOPS = """
com org net edu gov mil int info biz name pro aero coop museum mobi asia jobs travel app dev page web cloud online site website
store shop xyz top club live life world today news blog wiki link click help support zip mov email chat bot example test invalid
local internal onion arpa eus gal cat tech space fun icu vip win bid loan work download review stream art design agency company
solutions services systems network digital media finance money bank
"""
_TOP = frozenset(_TOPS.split())
_FILES = frozenset(("py", "md", "sh", "rs", "pl", "ps", "cc", "ml", "so", "js", "ts", "go", "rb", "cs"))
"""Country domains that usually are the ending of a file name."""

_IMAGE = re.compile(r"!\[[^\[\]]{0,500}\]\([^()\n]{0,2000}\)|<img\b[^>]{0,2000}>", re.IGNORECASE)
_REACHABLE = re.compile(r"(?:https?://|mailto:|tel:)", re.IGNORECASE)
_SLASHES = re.compile(r"(?<=:)[/\\]{2}")
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_PORTS = re.compile(r":(?:80|443)\Z")


def visible_text(text: str) -> str:
    """The text without invisible characters."""
    return text if text.isascii() and not _CONTROL.search(text) else _INVISIBLE.sub("", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address in a text. ``kind`` is ``url``, ``mail``, ``bare`` (a host, perhaps with a path) or ``phone``."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def full(self) -> str:
        return f"{ {'mail': 'mailto:', 'phone': 'tel:'}.get(self.kind, '') }{self.text}"

    @property
    def host(self) -> str:
        return re.split(r"[/?]", address_key(self.full), maxsplit=1)[0]

    @property
    def is_sure(self) -> bool:
        """Whether it is certainly an address, and not a file name or a version."""
        return self.kind != "bare" or is_certain(self.text)


def find_addresses(text: str) -> Iterator[Address]:
    """The addresses of a text in order, without the punctuation around them."""
    end = 0
    while (match := _ADDRESS.search(text, end)) is not None:
        address = Address(kind=str(match.lastgroup), text=_trimmed(match[0]) or match[0][:1], start=match.start())
        yield address
        end = address.end


def _trimmed(address: str) -> str:
    """The address up to a closing bracket that it did not open, without the punctuation of the sentence."""
    depth = {")": 0, "]": 0}
    for index, char in enumerate(address):
        if char in "([":
            depth[")" if char == "(" else "]"] += 1
        elif char in depth:
            depth[char] -= 1
            if depth[char] < 0:
                address = address[:index]
                break
    return address.rstrip(".,:;!?_~…\\([")


def is_certain(bare: str) -> bool:
    """Whether a name with dots is certainly an address: not a file, a version, or two sentences without a space."""
    host = re.split(r"[/?#:]", bare, maxsplit=1)[0]
    last = re.split(_DOT, host)[-1]
    if (
        len(bare) > len(host)
        or host.lower().startswith("www.")
        or last.lower() in _TOP
        or last.lower().startswith("xn--")
    ):
        return not last.isdigit() or host.count(".") == 3
    # two letters are a country, except in a file name or, with a capital ("done.It"), between two sentences
    return len(last) == 2 and last.isascii() and last.isalpha() and host == host.lower() and last not in _FILES


def is_possible(bare: str) -> bool:
    """Whether a chat client might take a name with dots for an address: not ``3.5``, ``e.g`` or ``v1.2.3``."""
    last = re.split(_DOT, bare)[-1]
    return (len(last) > 1 and not last[0].isdigit()) or _IPV4.fullmatch(bare) is not None


@lru_cache(maxsize=4096)
def address_key(address: str) -> str:
    """A key that is equal for addresses of the same place; empty for schemes that must not be linked.

    http or https, the case of the host, a final slash, a fragment and percent-encoding make no difference. A query does, because
    it can carry text of the conversation to somebody else's server.
    """
    # NFKC: browsers resolve full-width letters and dots as their ASCII forms
    text = unicodedata.normalize("NFKC", unescape(visible_text(address))).strip().replace("。", ".")
    text = _SLASHES.sub("//", text)
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("mailto", "tel"):
        return f"{scheme.lower()}:{_contact(scheme.lower(), rest)}"
    if not colon or (scheme.lower() not in ("http", "https") and not rest.startswith("//")):
        text = f"https://{text.removeprefix('//')}"
    elif scheme.lower() not in ("http", "https"):
        return ""
    return _web(text)


def _contact(scheme: str, rest: str) -> str:
    """A mail address in lower case, or the digits of a phone number."""
    return unquote(rest).lower() if scheme == "mailto" else re.sub(r"[^\d+;=a-z]", "", rest.lower())


def _web(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    # "https://bank.example@evil.example" leads to the host after the @, and browsers read a backslash as a slash
    if not parts.netloc or "@" in parts.netloc or "\\" in parts.netloc:
        return ""
    path = unquote(parts.path).rstrip("/")
    query = f"?{unquote(parts.query)}" if parts.query else ""
    return f"{host_of(url, parts.netloc)}{path}{query}"


def host_of(url: str, netloc: str = "") -> str:
    """The host of a web address as DNS knows it: ASCII (IDNA), lower case, without the default port."""
    host = _PORTS.sub("", (netloc or urlsplit(url).netloc).lower())
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


@lru_cache(maxsize=1024)
def link_targets(text: str) -> Mapping[str, str]:
    """The link targets in a document's text by their keys; addresses of images do not count."""
    targets: dict[str, str] = {}
    for each in find_addresses(_IMAGE.sub(" ", unescape(visible_text(text)))):
        if (same_place := address_key(each.full)) and (target := _target(each)):
            targets.setdefault(same_place, target)
    return targets


def _target(address: Address) -> str:
    """The address as a link target; empty if its scheme is not one of the web, mail or phone."""
    full = f"https://{address.text}" if address.kind == "bare" else address.full
    if not _REACHABLE.match(full):
        return ""
    return address_key(full) if address.kind == "phone" else "".join(_QUOTED.get(char, char) for char in full)


_QUOTED = {char: f"%{ord(char):02X}" for char in "()<>\\\"' \t\n|"}
