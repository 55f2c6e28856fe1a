"""What every model of this process does alike: one thread embeds, and questions go before passages.

Whatever was asked while the thread was busy is its next batch, so a burst of questions costs a few batches instead of one
run each.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from langchain_core.embeddings import Embeddings

from rag.retrieval.embeddings.batching import like_lengths
from rag.retrieval.embeddings.microbatch import MicroBatcher
from rag.types import AdapterRef

KNOWN = 1024
"""Vectors of short texts that are kept: 12 KB each as Python floats."""
SLICE = 8
"""Passages embedded at a stretch: about 0.3 s on two cores, the longest that a question waits for a running sync."""


def query_name_of(model: str, adapter: AdapterRef | None = None) -> str:
    """The name of a model's side of questions, with the adapter that it works with: by its files, whatever they are called."""
    return f"{model}+{adapter.digest}" if adapter else model


def model_of(query_name: str) -> str:
    """The model's own name in what ``query_name_of`` gave; a model's name may hold a "+", a digest never does."""
    model, _, digest = query_name.rpartition("+")
    return model if model and digest.isalnum() else query_name


class ThreadedEmbeddings(Embeddings):
    """Embeddings with one thread of their own, both sides alike; a model adds how it reads and embeds."""

    name: str

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._thread = ThreadPoolExecutor(1, "embeddings")
        self._queries = MicroBatcher(self._embed_questions, self._thread)
        self._known: OrderedDict[bytes, list[float]] = OrderedDict()
        self._loading = Lock()

    @property
    def query_name(self) -> str:
        """The model's name, as long as no adapter works on questions."""
        return query_name_of(self.name)

    @abstractmethod
    def load(self) -> None:
        """Read the weights, once; blocking, safe from any thread. ModelError when that cannot be done."""

    @abstractmethod
    def _lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens that the model reads of each; blocking."""

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """Embed questions; blocking. Where a model has a side of its own for them, this is overridden."""
        return self.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """Embed one question; blocking."""
        return self.embed_queries([text])[0]

    async def aembed_query(self, text: str) -> list[float]:
        """Embed one question together with whatever else is waiting, unless it was asked for lately."""
        name = self.query_name
        key = hashlib.sha256(
            f"{name}\0{text}".encode(errors="replace")
        ).digest()  # not the words: who said them may be forgotten
        vector = self._known.pop(key, None) or await self._queries.submit(text)
        if name == self.query_name:  # else an adapter was promoted meanwhile, and nobody knows whose vector this is
            self._known[key] = vector
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return vector

    async def aembed_queries(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts of one question, in one batch if nothing else is waiting."""
        return list(await asyncio.gather(*(self.aembed_query(text) for text in texts)))

    def _embed_questions(self, texts: list[str]) -> list[list[float]]:
        """On one core: beside a busy event loop two threads wait for each other at every layer.

        Measured on two busy cores: 145 ms a question with two threads, 18 ms with one (torch 2.13).
        """
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self.embed_queries(texts)
        finally:
            torch.set_num_threads(threads)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed passages in the model's thread, a slice of like lengths at a time with questions let in between."""
        loop = asyncio.get_running_loop()
        lengths = await loop.run_in_executor(self._thread, self._lengths, texts)
        vectors: list[list[float]] = [[]] * len(texts)
        for chosen in like_lengths(lengths, SLICE):
            found = await loop.run_in_executor(self._thread, self.embed_documents, [texts[index] for index in chosen])
            for index, vector in zip(chosen, found, strict=True):
                vectors[index] = vector
        return vectors
