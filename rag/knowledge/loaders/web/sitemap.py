"""Parses sitemaps (sitemaps.org, 0.9) and sitemap indexes, packed with gzip or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.parsers import expat

from rag.errors import KnowledgeError
from rag.knowledge.loaders.web.fetching import unpack

LARGEST = 50_000_000
"""Bytes unpacked, the protocol's own limit."""
ENTRIES = 50_000
"""Addresses in one file, the protocol's own limit."""
CHUNK = 65_536

_FOREIGN = ("image", "video", "news", "xhtml")
_ROOTS = ("urlset", "sitemapindex")


@dataclass(frozen=True, slots=True)
class Entry:
    """One address of a sitemap, with the page's time of change."""

    address: str
    updated: datetime | None


@dataclass(slots=True)
class Sitemap:
    """A parsed sitemap; if ``index`` is true, its entries are further sitemaps."""

    index: bool = False
    entries: list[Entry] = field(default_factory=list)


def is_sitemap(body: bytes, kind: str) -> bool:
    """Whether a body is to be read as a sitemap: gzip, or XML."""
    beginning = body[:1000].lower()
    return body[:2] == b"\x1f\x8b" or any(root.encode() in beginning for root in _ROOTS) or kind.endswith("/xml")


def read_sitemap(body: bytes) -> Sitemap:
    """Parses a sitemap. Raises ``KnowledgeError`` for other files.

    A document type is refused before any entity is expanded (protection against entity bombs); no sitemap needs one.
    """
    chunks = (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))
    reader = _Reader()
    try:
        for chunk in unpack(chunks, LARGEST) if body[:2] == b"\x1f\x8b" else chunks:
            reader.parser.Parse(chunk, False)
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise KnowledgeError(f"is no valid XML ({error})") from error
    except (LookupError, ValueError) as error:
        raise KnowledgeError(f"has an encoding that is not known ({error})") from error
    return reader.sitemap


class _Reader:
    def __init__(self) -> None:
        self.sitemap = Sitemap()
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self._path: list[str] = []
        self._values: dict[str, str] = {}

    def _doctype(self, *_: object) -> None:
        raise KnowledgeError("declares a document type, which no sitemap needs and attacks use; it was not read")

    def _start(self, name: str, _: object) -> None:
        # Elements of other namespaces keep their full name: <image:loc> is not the address of a page.
        space, _, local = name.rpartition(" ")
        self._path.append(name if any(foreign in space for foreign in _FOREIGN) else local)
        if len(self._path) == 1:
            self._root(local)
        elif len(self._path) == 2:
            self._values = {}

    def _root(self, name: str) -> None:
        if name not in _ROOTS:
            raise KnowledgeError(f"is no sitemap but <{name[:40]}>; name a sitemap or a page to start from")
        self.sitemap.index = name == "sitemapindex"

    def _characters(self, text: str) -> None:
        if len(self._path) == 3 and (name := self._path[2]) in {"loc", "lastmod"}:
            self._values[name] = (self._values.get(name, "") + text)[
                :5000
            ]  # bounded: a file may hold text of any length

    def _end(self, _: str) -> None:
        if len(self._path) == 2 and len(self.sitemap.entries) < ENTRIES and (address := self._values.get("loc")):
            self.sitemap.entries.append(Entry(address.strip(), moment(self._values.get("lastmod", ""))))
        self._path.pop()


def moment(text: str) -> datetime | None:
    """A W3C date or time, as in a sitemap; None if the text is none."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
