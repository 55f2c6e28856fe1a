"""What the tests of web sources share: a crawl of a loopback site, sorted into documents and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.knowledge.loaders.sources import Candidate, LoadedDocument, Unreadable
from rag.knowledge.loaders.web.crawl import crawl
from rag.settings import SourceSettings
from tests.loopback.site import LoopbackSite

PARAGRAPH = "<p>The office in Paris is open from nine to five, and on Saturdays it is closed all day.</p>"


@dataclass(frozen=True, slots=True)
class Crawled:
    """One crawl's outcome in its order."""

    candidates: list[Candidate]
    unreadable: list[Unreadable]

    @property
    def ids(self) -> list[str]:
        return [each.document for each in self.candidates]

    @property
    def fingerprints(self) -> dict[str, str]:
        return {each.document: each.fingerprint for each in self.candidates}

    @property
    def reasons(self) -> dict[str, str]:
        return {each.document: each.reason for each in self.unreadable}

    def load(self, document: str) -> LoadedDocument:
        return next(each for each in self.candidates if each.document == document).load()


@dataclass(frozen=True, slots=True)
class Crawler:
    """Crawls one loopback site into one cache, in the site's own time."""

    site: LoopbackSite
    cache: Path

    def crawl(self, path: str = "/", **options: Any) -> Crawled:
        url = path if "://" in path else self.site.url + path
        source = SourceSettings(name="kb", url=url, **options)
        found = list(crawl(source, self.cache, clock=self.site.clock))
        return Crawled(
            [each for each in found if isinstance(each, Candidate)],
            [each for each in found if isinstance(each, Unreadable)],
        )


def page(title: str, *links: str) -> str:
    """The body of a page with a text of its own and links."""
    listed = "".join(f'<a href="{link}">{link}</a> ' for link in links)
    return f"<main><h1>{title}</h1>{PARAGRAPH}<p>This page is about {title}. {listed}</p></main>"
