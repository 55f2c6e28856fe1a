"""The way into a site: its robots.txt, the address that the source names, and the sitemaps behind it."""

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
"""Bytes of a page, unpacked."""
SITEMAPS = 1000
"""Sitemaps of one index that are read."""


class Entrance:
    """Reads what has to be there before any page is; whatever fails here fails the source."""

    def __init__(self, name: str, reader: Reader, fetcher: Fetcher, cache: Cache) -> None:
        self._name = name
        self._reader = reader
        self._fetcher = fetcher
        self._cache = cache
        self._robots: dict[str, Robots] = {}

    def open(self, url: str) -> Stored:
        """The address that the source names, behind its redirects within the site. Raises ``KnowledgeError``."""
        address = self._address(url)
        sitemaps = _named_as_sitemap(address)
        found = self._follow(address, sitemap.LARGEST if sitemaps else LARGEST, obey=not sitemaps)
        if isinstance(found, Missing):
            raise self._failed(address, f"answers {found.status}; correct url of the source, or remove the source")
        return found

    def is_sitemap(self, start: Stored) -> bool:
        return is_sitemap(self._cache.body(start), start.kind.partition(";")[0].strip().lower())

    def allows(self, address: str) -> bool:
        """Whether robots.txt lets the crawler read a page."""
        return self._rules(origin(address)).allows(address)

    def entries(self, start: Stored) -> Iterator[Entry]:
        """What the sitemap names, in its order; further files of an index are read when they are needed."""
        top = self._parsed(start)
        if not top.index:
            yield from top.entries
            return
        for each in top.entries[:SITEMAPS]:
            yield from self._part(each.address, start.address)

    def _part(self, url: str, index: str) -> Iterator[Entry]:
        address = normal(url)
        if address is None or origin(address) not in aliases(origin(index)):
            return  # a sitemap of another site
        address = origin(index) + address.removeprefix(origin(address))
        found = self._follow(address, sitemap.LARGEST, obey=False)
        if isinstance(found, Missing):
            if not found.gone:
                raise self._failed(address, f"answers {found.status}; let the crawler read it")
            return  # the site took it away and forgot to say so in the index
        part = self._parsed(found)
        if part.index:
            raise self._failed(address, "is an index within an index, which the protocol does not allow")
        yield from part.entries

    def _parsed(self, page: Stored) -> Sitemap:
        try:
            return read_sitemap(self._cache.body(page))
        except KnowledgeError as error:
            raise self._failed(page.address, str(error)) from error

    def _follow(self, address: str, most: int, *, obey: bool) -> Stored | Missing:
        first = address
        for _ in range(HOPS + 1):
            if obey and not self.allows(address):
                raise self._failed(
                    address, "is not allowed by robots.txt; ask whoever runs the site, or remove the source"
                )
            found = self._read(address, most)
            if not isinstance(found, Moved):
                return found
            target = normal(found.target)
            if target is None or origin(target) not in aliases(origin(first)):
                raise self._failed(
                    address, f"leads to {found.target[:200]}, another site; name that one if you mean it"
                )
            address = target
        raise self._failed(first, f"leads on more than {HOPS} times; name the address where it ends")

    def _read(self, address: str, most: int) -> Stored | Moved | Missing:
        try:
            return self._reader.read(address, most)
        except KnowledgeError as error:
            raise self._failed(address, str(error)) from error

    def _rules(self, place: str) -> Robots:
        if place not in self._robots:
            self._robots[place] = Robots()  # its own address needs no leave
            self._robots[place] = self._read_rules(place)
        return self._robots[place]

    def _read_rules(self, place: str) -> Robots:
        found = self._follow(f"{place}/robots.txt", robots.LARGEST, obey=False)
        rules = Robots() if isinstance(found, Missing) else robots.read_robots(self._cache.body(found))
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

    def _failed(self, address: str, why: str) -> KnowledgeError:
        return KnowledgeError(f"source {self._name!r}: {address} {why}")


def _named_as_sitemap(address: str) -> bool:
    return urlsplit(address).path.endswith((".xml", ".gz"))
