"""Milliseconds of a hybrid query with a filter over twenty thousand passages, the embedding of the question not counted."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from time import perf_counter

import numpy as np

from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.retriever import HybridRetriever
from rag.retrieval.sparse import SparseEncoder
from rag.types import Query
from tests.benchmarks import index_latency
from tests.benchmarks.index_latency import DIMENSION, DOCUMENT, READER, Corpus, Vectors
from tests.benchmarks.retrieval.figures import SEED, Json
from tests.benchmarks.retrieval.measures import Say
from tests.benchmarks.retrieval.ours import retriever

PASSAGES, QUERIES, WARMING = 20_000, 600, 100
UTTERANCES = (8, 40, 6, 40, 7, 40)
"""Words of what was said before, by the asker and the bot in turn."""


class Drawn:
    """Embeddings that cost nothing: the next of the vectors made for questions."""

    name, query_name, dimension, window = "drawn", "drawn", DIMENSION, 256

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = cycle(vectors.tolist())

    def load(self) -> None:
        """Nothing to load."""

    def count_tokens(self, text: str) -> int:
        """Words."""
        return len(text.split())

    def embed_query(self, text: str) -> list[float]:
        """The next one."""
        return next(self._vectors)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """As many of the next ones."""
        return [next(self._vectors) for _ in texts]

    async def aembed_query(self, text: str) -> list[float]:
        """The next one."""
        return next(self._vectors)

    async def aembed_queries(self, texts: list[str]) -> list[list[float]]:
        """As many of the next ones."""
        return self.embed_documents(texts)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As many of the next ones."""
        return self.embed_documents(texts)


async def measure(folder: Path, say: Say) -> Json:
    """Of a question alone and of one with six utterances before it; half of the passages are the asker's.

    ``index`` is the engine's part alone: one search by meaning and one by words.
    """
    made = index_latency.corpus(PASSAGES, QUERIES)
    with tempfile.TemporaryDirectory() as home:
        index = EdgeIndex(Path(home) / "passages", DIMENSION)
        await index.open()
        say(f"  {PASSAGES} passages written in {await _fill(index, made):.0f} s")
        finder = retriever(index, Drawn(made.questions), SparseEncoder())
        alone, talking = _queries(made)
        figures = await _spread(finder, alone, "") | await _spread(finder, talking, "conversation_")
        await index.close()
    engine = (await index_latency.measure(PASSAGES)).search
    return figures | {"index": {"p50": engine.p50, "p99": engine.p99}, "n": QUERIES, "passages": PASSAGES}


async def _fill(index: EdgeIndex, made: Corpus) -> float:
    started = perf_counter()
    for first in range(0, PASSAGES, DOCUMENT):
        together = made.passages[first : first + DOCUMENT]
        await index.replace(together[0].passage.document, "handbook", "1", together)
    await index.settle()
    return perf_counter() - started


def _queries(made: Corpus) -> tuple[list[Query], list[Query]]:
    """Words of a passage each, and before those of the second kind a conversation in the words of others."""
    chance = random.Random(SEED)

    def words(count: int) -> str:
        return " ".join(chance.sample(chance.choice(made.passages).passage.text.split(), count))

    alone = [Query(text=words(8), language="en") for _ in range(QUERIES)]
    said = [tuple(words(count) for count in UTTERANCES) for _ in range(QUERIES)]
    return alone, [Query(text=words(5), history=history, language="en") for history in said]


async def _spread(finder: HybridRetriever, queries: Sequence[Query], name: str) -> Json:
    taken = []
    for query in [*queries[:WARMING], *queries]:
        started = perf_counter()
        found = await finder.find(query, READER)
        taken.append(1000 * (perf_counter() - started))
        assert found.hits, "a query that finds nothing measures nothing"
    p50, p99 = np.percentile(taken[WARMING:], [50, 99])
    return {f"{name}p50": round(float(p50), 2), f"{name}p99": round(float(p99), 2)}
