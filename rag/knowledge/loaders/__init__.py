"""Sources to documents: whatever a source is, it gives candidates, which are loaded only when they changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rag.errors import KnowledgeError
from rag.knowledge.loaders.documents import Candidate, LoadedDocument, Unreadable
from rag.settings import SourceSettings

__all__ = ["Candidate", "LoadedDocument", "Unreadable", "discover"]


def discover(source: SourceSettings, cache: Path) -> Iterator[Candidate | Unreadable]:
    """Everything that a source holds; blocking. ``cache`` is a folder of this source's own, made when it is needed.

    Raises ``KnowledgeError`` when the source as a whole is not there or failed.
    """
    if source.path is not None:
        from rag.knowledge.loaders.files import read_folder

        return read_folder(source, source.path)
    if source.url is not None:
        from rag.knowledge.loaders.web import crawl

        return crawl(source, cache)
    raise KnowledgeError(f"source {source.name!r} has no path and no url; name one in cotorra.toml")
