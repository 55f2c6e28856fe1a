"""The real classifier of intents over the packaged embedding model, read once for all tests of a process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from rag.answering.wishes import Wishes
from rag.intents.classifier import EmbeddingIntents
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.settings import SourceSettings


@cache
def embeddings() -> PackagedEmbeddings:
    """The packaged model."""
    return PackagedEmbeddings()


def intents() -> EmbeddingIntents:
    """A classifier; each has a lock of its own, because a lock belongs to one event loop."""
    return EmbeddingIntents(embeddings())


def wishes(sources: Sequence[SourceSettings] = ()) -> Wishes:
    """What answers wishes, as the service has it."""
    return Wishes(intents(), sources)
