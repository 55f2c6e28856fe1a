"""The rules of robots.txt (RFC 9309): permitted pages and the delay between requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from protego import Protego

from rag.errors import KnowledgeError
from rag.knowledge.loaders.web.fetching import AGENT

LARGEST = 512_000
"""The largest robots.txt in bytes; RFC 9309 requires at least 500 KiB."""
SLOWEST = 60.0
"""The longest delay between two requests in seconds; a site that asks for more does not want to be crawled."""


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules of one host. Without a robots.txt everything is allowed."""

    rules: Protego = field(default_factory=Protego)

    def allows(self, address: str) -> bool:
        return bool(self.rules.can_fetch(address, AGENT))

    def delay(self, place: str) -> float:
        """Seconds between two requests. Raises ``KnowledgeError`` for more than ``SLOWEST``."""
        delay = self.rules.crawl_delay(AGENT) or 0.0
        if (rate := self.rules.request_rate(AGENT)) and rate.requests > 0:
            delay = max(delay, rate.seconds / rate.requests)
        if delay > SLOWEST:
            raise KnowledgeError(
                f"robots.txt of {place} asks for {delay:.0f} s between two requests; at most {SLOWEST:.0f} s are waited "
                "for: ask whoever runs the site for a shorter Crawl-delay"
            )
        return delay


def read_robots(body: bytes) -> Robots:
    """Parses a robots.txt; bytes that are not UTF-8 are replaced."""
    return Robots(Protego.parse(body.decode("utf-8-sig", "replace")))
