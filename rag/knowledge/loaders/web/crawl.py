"""A web site as a source: from its sitemap, or from a start page along its links."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urljoin
from uuid import uuid4

from rag.errors import KnowledgeError
from rag.knowledge.loaders.conversion.converter import Converter
from rag.knowledge.loaders.documents import Candidate, Unreadable, reason
from rag.knowledge.loaders.web.addresses import Site, folder, origin
from rag.knowledge.loaders.web.cache import Cache, Stored
from rag.knowledge.loaders.web.connection import Clock, SystemClock
from rag.knowledge.loaders.web.document import candidate, document_id, is_aside, kind_of, largest
from rag.knowledge.loaders.web.entrance import Entrance
from rag.knowledge.loaders.web.fetching import Fetcher, Unanswered
from rag.knowledge.loaders.web.frontier import HOPS, Frontier, Wanted
from rag.knowledge.loaders.web.page import Facts, read_page, robots_rules
from rag.knowledge.loaders.web.reading import Missing, Moved, Reader
from rag.settings import SourceSettings

SILENCES = 5
"""Pages in a row that are not answered; then the site is down, and asking for the others would not help it."""

Result = Candidate | Unreadable
Found = Iterator[Result]


@dataclass(frozen=True, slots=True)
class _Copy:
    wanted: Wanted
    page: Stored
    facts: Facts
    original: str


def crawl(source: SourceSettings, cache: Path, *, clock: Clock | None = None) -> Found:
    """The pages of ``source.url``, read politely; blocking. ``cache`` keeps them for the next time.

    Raises ``KnowledgeError`` when the site as a whole cannot be read: nothing is known then about what vanished.
    """
    pages = Cache(cache, uuid4().hex)
    fetcher = Fetcher(rate=source.rate, clock=clock or SystemClock())
    converter = Converter()
    try:
        reader = Reader(fetcher, pages)
        entrance = Entrance(source.name, reader, fetcher, pages)
        yield from _Crawl(source, cache, pages, reader, entrance, converter).run()
        pages.finish()
    except sqlite3.Error as error:
        raise KnowledgeError(
            f"source {source.name!r}: pages cannot be kept in {cache}: {error}; free some space, or remove the folder"
        ) from error
    finally:
        converter.close()
        fetcher.close()
        pages.close()


class _Crawl:
    def __init__(
        self,
        source: SourceSettings,
        home: Path,
        cache: Cache,
        reader: Reader,
        entrance: Entrance,
        converter: Converter,
    ) -> None:
        self._source = source
        self._home = home
        self._cache = cache
        self._reader = reader
        self._entrance = entrance
        self._converter = converter
        self._frontier = Frontier(source.pages)
        self._site = Site(origin="", include=source.include, exclude=source.exclude)
        self._follows = False
        self._given: set[str] = set()
        self._contents: set[str] = set()
        self._copies: list[_Copy] = []
        self._silences = 0
        self._left_out = 0

    def run(self) -> Found:
        start = self._entrance.open(str(self._source.url))
        self._site = replace(self._site, origin=origin(start.address))
        if self._entrance.is_sitemap(start):
            self._list(start)
        else:
            self._site = replace(self._site, prefix=folder(start.address))
            yield from self._begin(start)
        while len(self._given) < self._source.pages and (wanted := self._frontier.next()):
            yield from self._visit(wanted)
        yield from self._without_original()
        yield from self._end(start)

    def _list(self, start: Stored) -> None:
        """All that the sitemap names, before the first page: a sitemap that fails is no reason to remove anything."""
        for entry in self._entrance.entries(start):
            address = self._site.page(entry.address, start.address)
            if address and self._site.covers(address):
                self._frontier.add(Wanted(address=address, listed=True, updated=entry.updated))
            if self._frontier.cut:
                break

    def _begin(self, start: Stored) -> list[Result]:
        """The start page leads on even where ``include`` leaves it out."""
        if kind_of(start) is None:
            raise self._failed(
                start, f"is {start.kind[:60] or 'of no known type'}; name a sitemap or a page of the site"
            )
        self._follows = True
        wanted = Wanted(address=start.address, listed=True)
        self._frontier.enter(wanted)
        return self._page(wanted, start)

    def _end(self, start: Stored) -> list[Result]:
        if not self._given and not self._left_out:
            raise self._failed(
                start,
                "leads to no page that may be read; look at include and exclude of the source, at robots.txt and at what "
                "the pages say about being indexed",
            )
        if not self._frontier.cut and not self._frontier:
            return []
        why = f"has more than {self._source.pages} pages or links without end; raise pages, or set include or exclude"
        return [Unreadable(path=start.address, reason=why, document=f"{document_id(self._source, start.address)}#rest")]

    def _visit(self, wanted: Wanted) -> list[Result]:
        if not self._entrance.allows(wanted.address):
            return self._kept(wanted, "is not allowed by robots.txt any more", listed=False)
        try:
            found = self._reader.read(wanted.address, largest(wanted.address))
            self._silences = 0
            return self._read(wanted, found)
        except Unanswered as error:
            self._count_silence(wanted, error)
            return [self._unreadable(wanted, str(error))]
        except sqlite3.Error:  # a full disk is no page's fault
            raise
        except Exception as error:  # noqa: BLE001 - a parser's limit: the other pages are read
            return [self._unreadable(wanted, reason(error))]

    def _read(self, wanted: Wanted, found: Stored | Moved | Missing) -> list[Result]:
        match found:
            case Moved(target):
                return self._moved(wanted, target)
            case Missing(status) if found.gone:
                self._cache.forget(wanted.address)
                return []
            case Missing(status):
                return self._kept(
                    wanted, f"answers {status}; let the crawler read it, or exclude it", listed=wanted.listed
                )
            case Stored():
                return self._page(wanted, found)

    def _moved(self, wanted: Wanted, target: str) -> list[Result]:
        address = self._site.page(target, wanted.address)
        if address is None or not self._site.covers(address):
            return self._kept(wanted, f"leads to {target[:200]}, which is not of this source", listed=wanted.listed)
        if address == wanted.address or wanted.hops >= HOPS:
            return self._kept(wanted, "leads on without end; correct its redirect", listed=True)
        self._cache.forget(wanted.address)
        self._frontier.add(replace(wanted, address=address, hops=wanted.hops + 1))
        return []

    def _page(self, wanted: Wanted, page: Stored) -> list[Result]:
        rules, kind = robots_rules(page.rules), kind_of(page)
        if kind is None and is_aside(page) and not wanted.listed:
            return []
        html = kind == "html"
        facts = self._cache.facts(page, partial(read_page, kind=page.kind)) if html else Facts(content=page.body)
        if "nofollow" not in rules:
            self._follow(wanted, facts)
        if facts.noindex or "noindex" in rules:
            return []
        original = self._original(page, facts)
        if original != page.address:
            self._frontier.add(replace(wanted, address=original))
            self._copies.append(_Copy(wanted, page, facts, original))
            return []
        return self._give(wanted, page, facts)

    def _follow(self, wanted: Wanted, facts: Facts) -> None:
        base = urljoin(wanted.address, facts.base)
        for link in facts.links if self._follows else ():
            address = self._site.page(link, base)
            if address and self._site.covers(address):
                self._frontier.add(Wanted(address=address, clicks=wanted.clicks + 1))

    def _original(self, page: Stored, facts: Facts) -> str:
        """The address by which the page wants to be known, if that is one of this source."""
        named = self._site.page(facts.canonical, urljoin(page.address, facts.base)) if facts.canonical else None
        return named if named and self._site.covers(named) else page.address

    def _without_original(self) -> list[Result]:
        """Pages that call themselves copies of one that was not there: then they are all there is."""
        results: list[Result] = []
        for copy in self._copies:
            if copy.original not in self._given:
                results += self._give(copy.wanted, copy.page, copy.facts)
                self._given.add(copy.original)
        return results

    def _give(self, wanted: Wanted, page: Stored, facts: Facts) -> list[Result]:
        if facts.content in self._contents or not self._site.covers(page.address):
            return []  # /docs/ and /docs/index.html, or a session in the address
        try:
            found = candidate(self._source, self._home, page, facts, wanted.updated, self._converter)
        except KnowledgeError as error:
            return [self._unreadable(wanted, str(error))]
        self._given.add(page.address)
        self._contents.add(facts.content)
        return [found]

    def _kept(self, wanted: Wanted, why: str, *, listed: bool) -> list[Result]:
        """A page that was read before stays; one that was not is worth a line only where it was ``listed``."""
        known = self._cache.get(wanted.address) is not None
        return [self._unreadable(wanted, why)] if known or listed else []

    def _unreadable(self, wanted: Wanted, why: str) -> Unreadable:
        """Its links of the last time are followed, so that what only it leads to is not taken for vanished."""
        self._left_out += 1
        if known := self._cache.get(wanted.address):
            self._cache.touch(known)
            if kind_of(known) == "html":
                self._follow(wanted, self._cache.facts(known, partial(read_page, kind=known.kind)))
        return Unreadable(path=wanted.address, reason=why, document=document_id(self._source, wanted.address))

    def _count_silence(self, wanted: Wanted, error: Unanswered) -> None:
        self._silences += 1
        if self._silences >= SILENCES:
            raise KnowledgeError(
                f"source {self._source.name!r}: {SILENCES} pages in a row did not answer, the last one {wanted.address}, "
                f"which {error}; nothing was removed, and the next sync tries again"
            ) from error

    def _failed(self, start: Stored, why: str) -> KnowledgeError:
        return KnowledgeError(f"source {self._source.name!r}: {start.address} {why}")
