"""A page as it is now: fetched when it changed, from the cache when it did not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urljoin

from rag.knowledge.loaders.web.cache import Cache, Stored
from rag.knowledge.loaders.web.fetching import BUSY, Answer, Fetcher, Unanswered


@dataclass(frozen=True, slots=True)
class Moved:
    """The page is at another address, which nobody checked yet."""

    target: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The site answers that it does not have the page, or not for everyone."""

    status: int

    @property
    def gone(self) -> bool:
        return self.status in {404, 410}


class Reader:
    """What the addresses of a site hold; blocking."""

    def __init__(self, fetcher: Fetcher, cache: Cache) -> None:
        self._fetcher = fetcher
        self._cache = cache

    def read(self, address: str, most: int) -> Stored | Moved | Missing:
        """At most ``most`` bytes. Raises ``Unanswered``, or ``KnowledgeError`` for a body that cannot be taken."""
        known = self._cache.get(address)
        answer = self._fetcher.get(address, most=most, headers=_conditions(known))
        if answer.status == 200:
            return self._cache.keep(_described(address, answer), answer.body)
        if answer.status == 304 and known:
            return self._cache.touch(replace(known, rules=answer.headers.get("x-robots-tag", known.rules)))
        if 300 <= answer.status < 400 and (target := answer.headers.get("location")):
            return Moved(urljoin(address, target))
        if 400 <= answer.status < 500 and answer.status not in BUSY:
            return Missing(answer.status)
        raise Unanswered(_refusal(answer))


def _conditions(known: Stored | None) -> dict[str, str]:
    if known is None or known.rules:  # "not changed" would not say that a page may be indexed again
        return {}
    named = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    return {name: value for name, value in named.items() if value}


def _described(address: str, answer: Answer) -> Stored:
    header = answer.headers.get
    return Stored(
        address=address,
        etag=header("etag", ""),
        modified=header("last-modified", ""),
        kind=header("content-type", "")[:200],
        rules=header("x-robots-tag", ""),
    )


def _refusal(answer: Answer) -> str:
    if answer.status in BUSY:
        return f"answers {answer.status}, that it is asked too often or too busy; lower rate of the source"
    return f"answers {answer.status}; the next sync tries again"
