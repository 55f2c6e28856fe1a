"""Recognises intents by logistic regression over the embedding of the message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.intents.examples import known_messages, normalized, read_examples
from rag.intents.features import CHARACTERS, features
from rag.intents.fitting import forms, learned
from rag.intents.intent import Group, Heard
from rag.intents.weights import decide, probabilities, read_weights
from rag.retrieval.embeddings.models import QueryEmbeddings
from rag.text.utterances import is_empty

log = logging.getLogger(__name__)

LONGEST = 240
"""Most characters of a wish that is no note: a longer message describes a case, and a wish within it may be a quotation."""
AT_ONCE = 64
"""Examples embedded at a stretch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    matrix: NDArray[np.float32]
    thresholds: dict[Group, float]


class EmbeddingIntents:
    """The classifier of one embedding model; give it the embeddings that the search embeds questions with.

    Then no message is embedded twice, because they keep the vectors of the latest texts. A model that comes without learnt
    weights has them fitted from the examples at the start and kept in memory: 8 s with all-MiniLM-L6-v2 on one core, of which
    1.2 s is the fit, so the weights of the packaged models come as files.
    """

    def __init__(self, embeddings: QueryEmbeddings) -> None:
        self._embeddings = embeddings
        self._learned: _Learned | None = None
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        """Reads or fits the weights. Raises ``ConfigurationError`` or ``ModelError``."""
        async with self._loading:
            if self._learned is None:
                self._learned = await self._read()

    async def classify(self, text: str, vector: Sequence[float] | None = None) -> Heard | None:
        """The intent of a message, or None for a question."""
        if len(text) > CHARACTERS:
            return None
        known = known_messages().get(normalized(text))
        if known is not None or is_empty(text):
            return known
        weights = await self._weights()
        vector = vector or await self._embeddings.aembed_query(text)
        intent = decide(text, probabilities(weights.matrix, features(text, vector)), weights.thresholds)
        if intent is None or (len(text) > LONGEST and intent != "notes_remember"):
            return None
        return Heard(intent=intent)

    async def _weights(self) -> _Learned:
        while self._learned is None:
            await self.load()
        return self._learned

    async def _read(self) -> _Learned:
        name = self._embeddings.query_name
        weights = await asyncio.to_thread(read_weights, name)
        if weights is None:
            log.info("fitting intents to %s, which comes without weights of its own", name)
            examples = read_examples()
            vectors = await embedded([text for _, text in forms(examples)], self._embeddings)
            weights = await asyncio.to_thread(learned, examples, vectors, name)
        return _Learned(matrix=weights.matrix(), thresholds=weights.thresholds)


async def embedded(texts: Sequence[str], embeddings: QueryEmbeddings) -> list[list[float]]:
    """The texts' vectors as questions, some at a time, so that questions of people get their turn."""
    vectors: list[list[float]] = []
    for start in range(0, len(texts), AT_ONCE):
        vectors += await embeddings.aembed_queries(list(texts[start : start + AT_ONCE]))
    return vectors
