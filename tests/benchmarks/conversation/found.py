"""Retrieval by itself, as bench-retrieval measures it, with the embedding model that answers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rag.retrieval.embeddings.models import load_embeddings
from rag.settings import EmbeddingSettings
from tests.benchmarks.conversation.libraries import Libraries
from tests.benchmarks.results import Json, say
from tests.benchmarks.retrieval import measures
from tests.benchmarks.retrieval.ours import Cotorra

MEASURES = {"scifact": measures.scifact, "fastapi": measures.fastapi}


async def measure(key: str, libraries: Libraries) -> Json:
    """The figures of ``scifact`` or of ``fastapi``."""
    settings = EmbeddingSettings(model=libraries.embedding) if libraries.embedding else EmbeddingSettings()
    embeddings = load_embeddings(settings)
    embeddings.load()
    with tempfile.TemporaryDirectory() as folder:
        system = Cotorra(Path(folder), embeddings)
        try:
            return dict(await MEASURES[key](system, libraries.data, say))
        finally:
            await system.close()
