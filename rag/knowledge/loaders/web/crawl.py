"""Crawls a web site as a source: the pages of its sitemap, or from a start page along its links."""

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
from rag.knowledge.loaders.web.document import candidate, document_id, is_asset, kind_of, largest
from rag.knowledge.loaders.web.entrance import Entrance
from rag.knowledge.loaders.web.fetching import Fetcher, Unanswered
from rag.knowledge.loaders.web.frontier import HOPS, Frontier, Target
from rag.knowledge.loaders.web.page import Facts, read_page, robots_rules
from rag.knowledge.loaders.web.reading import Missing, Moved, Reader
from rag.settings import SourceSettings

SILENCES = 5
"""Unanswered pages in a row after which the site counts as down and the crawl stops."""

Result = Candidate | Unreadable
Results = Iterator[Result]


@dataclass(frozen=True, slots=True)
class _Copy:
    target: Target
    page: Stored
    facts: Facts
    original: str


def crawl(source: SourceSettings, cache: Path, *, clock: Clock | None = None) -> Results:
    """The pages of ``source.url``, within the limits of robots.txt and ``source.rate``. Blocks. ``cache`` stores the pages.

    Raises ``KnowledgeError`` when the site as a whole cannot be read, so that no page counts as vanished.
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
        self._documents: set[str] = set()
        self._contents: set[str] = set()
        self._copies: list[_Copy] = []
        self._silences = 0
        self._unreadable_count = 0

    def run(self) -> Results:
        start = self._entrance.open(str(self._source.url))
        self._site = replace(self._site, origin=origin(start.address))
        if self._entrance.is_sitemap(start):
            self._list(start)
        else:
            self._site = replace(self._site, prefix=folder(start.address))
            yield from self._begin(start)
        while len(self._documents) < self._source.pages and (target := self._frontier.next()):
            yield from self._visit(target)
        yield from self._without_original()
        yield from self._end(start)

    def _list(self, start: Stored) -> None:
        """Queues all entries of the sitemap before the first page is read: a sitemap that fails must remove no document."""
        for entry in self._entrance.entries(start):
            address = self._site.page(entry.address, start.address)
            if address and self._site.covers(address):
                self._frontier.add(Target(address=address, listed=True, updated=entry.updated))
            if self._frontier.truncated:
                break

    def _begin(self, start: Stored) -> list[Result]:
        """Reads the start page; its links are followed even if ``include`` excludes the page itself."""
        if kind_of(start) is None:
            raise self._error(
                start, f"is {start.kind[:60] or 'of no stored type'}; name a sitemap or a page of the site"
            )
        self._follows = True
        target = Target(address=start.address, listed=True)
        self._frontier.mark(target)
        return self._page(target, start)

    def _end(self, start: Stored) -> list[Result]:
        if not self._documents and not self._unreadable_count:
            raise self._error(
                start,
                "leads to no page that may be read; look at include and exclude of the source, at robots.txt and at what "
                "the pages say about being indexed",
            )
        if not self._frontier.truncated and not self._frontier:
            return []
        why = f"has more than {self._source.pages} pages or links without end; raise pages, or set include or exclude"
        return [Unreadable(path=start.address, reason=why, document=f"{document_id(self._source, start.address)}#rest")]

    def _visit(self, target: Target) -> list[Result]:
        if not self._entrance.allows(target.address):
            return self._retain(target, "is not allowed by robots.txt any more", listed=False)
        try:
            page = self._reader.read(target.address, largest(target.address))
            self._silences = 0
            return self._read(target, page)
        except Unanswered as error:
            self._count_silence(target, error)
            return [self._unreadable(target, str(error))]
        except sqlite3.Error:  # a full disk concerns the whole crawl, not this page
            raise
        except Exception as error:  # noqa: BLE001 - a parser may raise anything; only this page is unreadable
            return [self._unreadable(target, reason(error))]

    def _read(self, target: Target, page: Stored | Moved | Missing) -> list[Result]:
        match page:
            case Moved(location):
                return self._moved(target, location)
            case Missing(status) if page.is_final:
                self._cache.forget(target.address)
                return []
            case Missing(status):
                return self._retain(
                    target, f"answers {status}; let the crawler read it, or exclude it", listed=target.listed
                )
            case Stored():
                return self._page(target, page)

    def _moved(self, target: Target, location: str) -> list[Result]:
        address = self._site.page(location, target.address)
        if address is None or not self._site.covers(address):
            return self._retain(target, f"leads to {location[:200]}, which is not of this source", listed=target.listed)
        if address == target.address or target.hops >= HOPS:
            return self._retain(target, "leads on without end; correct its redirect", listed=True)
        self._cache.forget(target.address)
        self._frontier.add(replace(target, address=address, hops=target.hops + 1))
        return []

    def _page(self, target: Target, page: Stored) -> list[Result]:
        rules, kind = robots_rules(page.rules), kind_of(page)
        if kind is None and is_asset(page) and not target.listed:
            return []
        html = kind == "html"
        facts = self._cache.facts(page, partial(read_page, kind=page.kind)) if html else Facts(content=page.body)
        if "nofollow" not in rules:
            self._follow(target, facts)
        if facts.noindex or "noindex" in rules:
            return []
        original = self._original(page, facts)
        if original != page.address:
            # Maybe no page links to the canonical address.
            self._frontier.add(replace(target, address=original))
            self._copies.append(_Copy(target, page, facts, original))
            return []
        return self._emit(target, page, facts)

    def _follow(self, target: Target, facts: Facts) -> None:
        base = urljoin(target.address, facts.base)
        for link in facts.links if self._follows else ():
            address = self._site.page(link, base)
            if address and self._site.covers(address):
                self._frontier.add(Target(address=address, clicks=target.clicks + 1))

    def _original(self, page: Stored, facts: Facts) -> str:
        """The page's canonical address if it belongs to this source, else the page's own address."""
        named = self._site.page(facts.canonical, urljoin(page.address, facts.base)) if facts.canonical else None
        return named if named and self._site.covers(named) else page.address

    def _without_original(self) -> list[Result]:
        """The copies whose canonical page does not exist; the first of each is used instead."""
        results: list[Result] = []
        for copy in self._copies:
            if copy.original not in self._documents:
                results += self._emit(copy.target, copy.page, copy.facts)
                self._documents.add(copy.original)  # further copies of the same original are left out
        return results

    def _emit(self, target: Target, page: Stored, facts: Facts) -> list[Result]:
        if facts.content in self._contents or not self._site.covers(page.address):
            return []  # the same page at two addresses: /docs/ and /docs/index.html, or with a session id
        try:
            document = candidate(self._source, self._home, page, facts, target.updated, self._converter)
        except KnowledgeError as error:
            return [self._unreadable(target, str(error))]
        self._documents.add(page.address)
        self._contents.add(facts.content)
        return [document]

    def _retain(self, target: Target, why: str, *, listed: bool) -> list[Result]:
        """Reports a page as unreadable if it was read before (so it stays in the index) or is ``listed``."""
        stored = self._cache.get(target.address) is not None
        return [self._unreadable(target, why)] if stored or listed else []

    def _unreadable(self, target: Target, why: str) -> Unreadable:
        """Reports an unreadable page and follows its cached links: pages that only it links to must not count as vanished."""
        self._unreadable_count += 1
        if stored := self._cache.get(target.address):
            self._cache.touch(stored)
            if kind_of(stored) == "html":
                self._follow(target, self._cache.facts(stored, partial(read_page, kind=stored.kind)))
        return Unreadable(path=target.address, reason=why, document=document_id(self._source, target.address))

    def _count_silence(self, target: Target, error: Unanswered) -> None:
        self._silences += 1
        if self._silences >= SILENCES:
            raise KnowledgeError(
                f"source {self._source.name!r}: {SILENCES} pages in a row did not answer, the last one {target.address}, "
                f"which {error}; nothing was removed, and the next sync tries again"
            ) from error

    def _error(self, start: Stored, why: str) -> KnowledgeError:
        return KnowledgeError(f"source {self._source.name!r}: {start.address} {why}")
