"""Sources to documents: whatever a source is, it gives candidates, which are loaded only when they changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rag.knowledge.loaders.documents import Candidate, LoadedDocument, Unreadable
from rag.settings import SourceSettings

__all__ = ["Candidate", "LoadedDocument", "Unreadable", "discover"]


def discover(source: SourceSettings, cache: Path) -> Iterator[Candidate | Unreadable]:
    """Everything that a source holds; blocking. ``cache`` is a folder of this source's own, made when it is needed.

    Raises ``KnowledgeError`` when the source as a whole is not there or failed.
    """
    if source.path is not None:
        from rag.knowledge.loaders.files.folder import read_folder

        return read_folder(source, source.path)
    if source.git is not None:
        from rag.knowledge.loaders.git.repository import read_repository

        return read_repository(source, cache)
    if source.url is not None:
        from rag.knowledge.loaders.web.crawl import crawl

        return crawl(source, cache)
    from rag.knowledge.loaders.connectors import read_connector

    return read_connector(source)
