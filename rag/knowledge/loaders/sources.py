"""Chooses the loader of a source. Every loader yields candidates, which are loaded only if they changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rag.knowledge.loaders.documents import Candidate, LoadedDocument, Unreadable
from rag.settings import SourceSettings

__all__ = ["Candidate", "LoadedDocument", "Unreadable", "discover"]


def discover(source: SourceSettings, cache: Path) -> Iterator[Candidate | Unreadable]:
    """All documents of a source. Blocks. ``cache`` is a folder for this source only, created when it is needed.

    Raises ``KnowledgeError`` when the source as a whole is missing or fails.
    """
    # Imported here: git and web loaders bring libraries that a service with folders alone never needs.
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
