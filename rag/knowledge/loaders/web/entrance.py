"""Opens a site for a crawl: its robots.txt, the address of the source, and the sitemaps."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from rag.errors import KnowledgeError
from rag.knowledge.loaders.web import robots, sitemap
from rag.knowledge.loaders.web.addresses import aliases, normal, origin
from rag.knowledge.loaders.web.cache import Cache, Stored
from rag.knowledge.loaders.web.fetching import Fetcher
from rag.knowledge.loaders.web.frontier import HOPS
from rag.knowledge.loaders.web.reading import Missing, Moved, Reader
from rag.knowledge.loaders.web.robots import Robots
from rag.knowledge.loaders.web.sitemap import Entry, Sitemap, is_sitemap, read_sitemap

LARGEST = 10_000_000
"""The largest start page in bytes, unpacked."""
SITEMAPS = 1000
"""The most sitemaps of one index that are read."""


class Entrance:
    """Reads what a crawl needs before its first page. Every failure here is a failure of the whole source."""

    def __init__(self, name: str, reader: Reader, fetcher: Fetcher, cache: Cache) -> None:
        self._name = name
        self._reader = reader
        self._fetcher = fetcher
        self._cache = cache
        self._robots: dict[str, Robots] = {}

    def open(self, url: str) -> Stored:
        """The page at the source's address, after redirects within the site. Raises ``KnowledgeError``."""
        address = self._address(url)
        sitemaps = _looks_like_sitemap(address)
        page = self._follow(address, sitemap.LARGEST if sitemaps else LARGEST, obey=not sitemaps)
        if isinstance(page, Missing):
            raise self._error(address, f"answers {page.status}; correct url of the source, or remove the source")
        return page

    def is_sitemap(self, start: Stored) -> bool:
        return is_sitemap(self._cache.body(start), start.kind.partition(";")[0].strip().lower())

    def allows(self, address: str) -> bool:
        """Whether robots.txt permits a page."""
        return self._rules(origin(address)).allows(address)

    def entries(self, start: Stored) -> Iterator[Entry]:
        """The entries of the sitemap in its order; the files of an index are read one by one on demand."""
        top = self._parse(start)
        if not top.index:
            yield from top.entries
            return
        for each in top.entries[:SITEMAPS]:
            yield from self._part(each.address, start.address)

    def _part(self, url: str, index: str) -> Iterator[Entry]:
        address = normal(url)
        if address is None or origin(address) not in aliases(origin(index)):
            return  # a sitemap of another site
        # At the index's own origin: an alias (www, http) is the same site.
        address = origin(index) + address.removeprefix(origin(address))
        page = self._follow(address, sitemap.LARGEST, obey=False)
        if isinstance(page, Missing):
            if not page.is_final:
                raise self._error(address, f"answers {page.status}; let the crawler read it")
            return  # the site removed the file but left it in the index
        part = self._parse(page)
        if part.index:
            raise self._error(address, "is an index within an index, which the protocol does not allow")
        yield from part.entries

    def _parse(self, page: Stored) -> Sitemap:
        try:
            return read_sitemap(self._cache.body(page))
        except KnowledgeError as error:
            raise self._error(page.address, str(error)) from error

    def _follow(self, address: str, most: int, *, obey: bool) -> Stored | Missing:
        first = address
        for _ in range(HOPS + 1):
            if obey and not self.allows(address):
                raise self._error(
                    address, "is not allowed by robots.txt; ask whoever runs the site, or remove the source"
                )
            page = self._read(address, most)
            if not isinstance(page, Moved):
                return page
            target = normal(page.target)
            if target is None or origin(target) not in aliases(origin(first)):
                raise self._error(address, f"leads to {page.target[:200]}, another site; name that one if you mean it")
            address = target
        raise self._error(first, f"leads on more than {HOPS} times; name the address where it ends")

    def _read(self, address: str, most: int) -> Stored | Moved | Missing:
        try:
            return self._reader.read(address, most)
        except KnowledgeError as error:
            raise self._error(address, str(error)) from error

    def _rules(self, place: str) -> Robots:
        if place not in self._robots:
            self._robots[place] = Robots()  # while robots.txt itself is fetched, everything is permitted
            self._robots[place] = self._read_rules(place)
        return self._robots[place]

    def _read_rules(self, place: str) -> Robots:
        page = self._follow(f"{place}/robots.txt", robots.LARGEST, obey=False)
        rules = Robots() if isinstance(page, Missing) else robots.read_robots(self._cache.body(page))
        self._fetcher.slow_down(rules.delay(place))
        return rules

    def _address(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise KnowledgeError(
                f"url of source {self._name!r} has a name or a password in it; the crawler signs in nowhere"
            )
        if (address := normal(url)) is None:
            raise KnowledgeError(f"url of source {self._name!r} is no address of a site; write https://…")
        return address

    def _error(self, address: str, why: str) -> KnowledgeError:
        return KnowledgeError(f"source {self._name!r}: {address} {why}")


def _looks_like_sitemap(address: str) -> bool:
    return urlsplit(address).path.endswith((".xml", ".gz"))
