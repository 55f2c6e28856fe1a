"""What the bot has read: its handbook, the documentation of FastAPI, or the documents of Doc2Dial."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rag.settings import SourceSettings
from tests.benchmarks.conversation.bot import Bot, open_bot
from tests.benchmarks.conversation.pages import Section, sections
from tests.benchmarks.retrieval.data import LANGUAGES, Page
from tests.benchmarks.retrieval.ours import SITE

HANDBOOK = Path(__file__).resolve().parents[3] / "docs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """The libraries over the folder with the data sets, each in a home of its own below ``homes``."""

    data: Path
    homes: Path
    embedding: str = ""

    @asynccontextmanager
    async def open(self, library: str) -> AsyncIterator[Bot]:
        """The bot over one library; its documents are read the first time in a run."""
        async with open_bot(self.homes / library, self.sources(library), self.embedding) as bot:
            yield bot

    def sources(self, library: str) -> list[SourceSettings]:
        """None for the handbook: it is what the service knows when nothing is set."""
        if library == "handbook":
            return []
        _, _, only = library.partition(".")
        root = self.data / "fastapi-docs" / "docs"
        return [
            SourceSettings(name=language, path=(root / language).resolve(), language=language, base_url=SITE)
            for language in LANGUAGES
            if only in ("", language)
        ]

    def pages(self, library: str) -> list[Page]:
        """The pages of a library, by the paths that the sets name them with."""
        root = HANDBOOK if library == "handbook" else self.data / "fastapi-docs" / "docs"
        _, _, only = library.partition(".")
        return [
            Page(path=str(file.relative_to(root)), markdown=file.read_text(encoding="utf-8"), language=language)
            for language in LANGUAGES
            if only in ("", language)
            for file in sorted((root / language).rglob("*.md"))
        ]

    def sections(self, library: str) -> dict[str, Section]:
        """All sections by ``page#anchor``."""
        return {one.name: one for page in self.pages(library) for one in sections(page.path, page.markdown)}
