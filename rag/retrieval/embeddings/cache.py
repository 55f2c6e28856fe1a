"""Embeddings of questions, kept in Redis: what any process embedded lately costs no other process a forward pass.

Neither a text nor anything it could be guessed from is kept: keys are HMACs with the installation's own secret.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import struct
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from redis.asyncio import Redis

from rag.errors import StoreUnavailable
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.store.client import store_errors

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.1
"""A look-up that takes longer than embedding would is not worth waiting for."""
REST_SECONDS = 5.0
"""How long a Redis that failed is left alone, so that not every question waits for it."""
_CONSEQUENCE = "questions are embedded anew"


class CachedEmbeddings:
    """``inner`` with a memory in Redis for questions; passages go straight through.

    Vectors are kept as float16 (768 bytes at 384 dimensions): finer than the bfloat16 that they are computed in. A Redis that
    fails costs a forward pass and one line in the log, never a question.
    """

    def __init__(self, inner: TextEmbeddings, redis: Redis, prefix: str, secret: bytes, ttl: timedelta) -> None:
        self._inner = inner
        self._redis = redis
        self._prefix = prefix
        self._secret = secret
        self._ttl = ttl
        self._away_until = -math.inf
        self._told = False
        self._storing: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The model's name, for passages."""
        return self._inner.name

    @property
    def query_name(self) -> str:
        """The model's name with its adapter, for questions: what is kept belongs to it."""
        return self._inner.query_name

    @property
    def dimension(self) -> int:
        """Floats of a vector."""
        return self._inner.dimension

    @property
    def window(self) -> int:
        """Tokens that the model reads."""
        return self._inner.window

    def load(self) -> None:
        """Load the model; blocking."""
        self._inner.load()

    def count_tokens(self, text: str) -> int:
        """Tokens of a whole text."""
        return self._inner.count_tokens(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed passages; blocking."""
        return self._inner.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """Embed one question without looking it up; blocking."""
        return self._inner.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed passages."""
        return await self._inner.aembed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed one question, unless it was asked lately."""
        return (await self.aembed_queries([text]))[0]

    async def aembed_queries(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts of one question: one look-up for all, and one batch for those that are new."""
        name = self._inner.query_name
        keys = {text: self._key(name, text) for text in texts}
        known = await self._look_up(keys)
        missing = [text for text in keys if text not in known]
        if missing:
            known |= zip(missing, await self._inner.aembed_queries(missing), strict=True)
            if (
                name == self._inner.query_name
            ):  # else an adapter was promoted meanwhile, and nobody knows whose vectors these are
                self._store({keys[text]: known[text] for text in missing})
        return [known[text] for text in texts]

    def _key(self, name: str, text: str) -> str:
        material = f"{name}\0{text}".encode(errors="replace")
        return f"{self._prefix}:{hmac.digest(self._secret, material, 'sha256').hex()}"

    async def _look_up(self, keys: Mapping[str, str]) -> dict[str, list[float]]:
        if time.monotonic() < self._away_until:
            return {}
        try:
            with store_errors(_CONSEQUENCE):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    values = await self._redis.mget(list(keys.values()))
        except StoreUnavailable as error:
            self._failed(error)
            return {}
        self._told = False
        found = zip(keys, map(self._decoded, values), strict=True)
        return {text: vector for text, vector in found if vector is not None}

    def _decoded(self, value: bytes | str | None) -> list[float] | None:
        """None for a vector of another length: another model was loaded by this name."""
        dimension = self._inner.dimension
        if not isinstance(value, bytes) or len(value) != 2 * dimension:
            return None
        return list(struct.unpack(f"<{dimension}e", value))

    def _store(self, vectors: Mapping[str, Sequence[float]]) -> None:
        """Beside the question, which waits for no disk."""
        if time.monotonic() >= self._away_until:
            task = asyncio.create_task(self._write(vectors), name="embedding cache")
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    async def _write(self, vectors: Mapping[str, Sequence[float]]) -> None:
        try:
            with store_errors(_CONSEQUENCE):
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for key, vector in vectors.items():
                        pipeline.set(key, struct.pack(f"<{len(vector)}e", *vector), ex=self._ttl)
                    await pipeline.execute()
        except StoreUnavailable as error:
            self._failed(error)

    def _failed(self, error: StoreUnavailable) -> None:
        self._away_until = time.monotonic() + REST_SECONDS
        if not self._told:
            self._told = True
            log.warning("%s", error)
