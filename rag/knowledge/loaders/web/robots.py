"""What robots.txt lets a crawler read (RFC 9309), and how slowly."""

from __future__ import annotations

from dataclasses import dataclass, field

from protego import Protego

from rag.errors import KnowledgeError
from rag.knowledge.loaders.web.fetching import AGENT

LARGEST = 512_000
"""Bytes; RFC 9309 asks for 500 KiB at least."""
SLOWEST = 60.0
"""Seconds between two requests; a site that asks for more does not want to be read."""


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules of one host. Without a robots.txt everything is allowed."""

    rules: Protego = field(default_factory=Protego)

    def allows(self, address: str) -> bool:
        return bool(self.rules.can_fetch(address, AGENT))

    def delay(self, place: str) -> float:
        """Seconds between two requests. Raises ``KnowledgeError`` when so many are asked for that it means no."""
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
    """The rules of a robots.txt; what is not UTF-8 in it is passed over."""
    return Robots(Protego.parse(body.decode("utf-8-sig", "replace")))
