"""Reads pages with conditional requests: fetched if they changed, else from the cache."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urljoin

from rag.knowledge.loaders.web.cache import Cache, Stored
from rag.knowledge.loaders.web.fetching import BUSY, Answer, Fetcher, Unanswered


@dataclass(frozen=True, slots=True)
class Moved:
    """A redirect to another address, which is not checked yet."""

    target: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The site answers that the page does not exist or is not public."""

    status: int

    @property
    def is_final(self) -> bool:
        """Whether the page was removed (404, 410); other statuses may be temporary."""
        return self.status in {404, 410}


class Reader:
    """Reads the pages of a site. Blocks."""

    def __init__(self, fetcher: Fetcher, cache: Cache) -> None:
        self._fetcher = fetcher
        self._cache = cache

    def read(self, address: str, most: int) -> Stored | Moved | Missing:
        """Reads a page of at most ``most`` bytes. Raises ``Unanswered``, or ``KnowledgeError`` for a body that is refused."""
        stored = self._cache.get(address)
        answer = self._fetcher.get(address, most=most, headers=_conditions(stored))
        if answer.status == 200:
            return self._cache.store(_metadata(address, answer), answer.body)
        if answer.status == 304 and stored:
            return self._cache.touch(replace(stored, rules=answer.headers.get("x-robots-tag", stored.rules)))
        if 300 <= answer.status < 400 and (target := answer.headers.get("location")):
            return Moved(urljoin(address, target))
        if 400 <= answer.status < 500 and answer.status not in BUSY:
            return Missing(answer.status)
        raise Unanswered(_refusal(answer))


def _conditions(stored: Stored | None) -> dict[str, str]:
    if stored is None or stored.rules:  # a 304 may lack X-Robots-Tag, so it could not lift a noindex
        return {}
    named = {"If-None-Match": stored.etag, "If-Modified-Since": stored.modified}
    return {name: value for name, value in named.items() if value}


def _metadata(address: str, answer: Answer) -> Stored:
    header = answer.headers.get
    return Stored(
        address=address,
        etag=header("etag", ""),
        modified=header("last-modified", ""),
        kind=header("content-type", "")[:200],  # bounded, because messages show it
        rules=header("x-robots-tag", ""),
    )


def _refusal(answer: Answer) -> str:
    if answer.status in BUSY:
        return f"answers {answer.status}, that it is asked too often or too busy; lower rate of the source"
    return f"answers {answer.status}; the next sync tries again"
