"""Milliseconds of a hybrid query with a filter over twenty thousand passages, the embedding of the question not counted."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

import numpy as np

from rag.retrieval.edge import EdgeIndex
from rag.retrieval.index import IndexedPassage, Scope
from rag.retrieval.retriever import HybridRetriever
from rag.retrieval.sparse import SparseEncoder
from rag.types import Passage, Query
from tests.benchmarks.retrieval.figures import SEED, Json
from tests.benchmarks.retrieval.measures import Say
from tests.benchmarks.retrieval.ours import retriever

PASSAGES, A_DOCUMENT, QUERIES = 20_000, 20, 600
DIMENSION, TOPICS, WORDS, VOCABULARY = 384, 200, 90, 20_000
AUDIENCES = ("public", "staff", "sales", "board")
ASKER = Scope(audiences=frozenset({"public", "staff"}))
Vectors: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"


class Corpus:
    """Made-up passages: words as frequent as a language's are, vectors in clusters as topics are."""

    def __init__(self) -> None:
        self._words = random.Random(SEED)
        self._vectors = np.random.default_rng(SEED)
        self._topics = self._vectors.normal(size=(TOPICS, DIMENSION))
        self._vocabulary = [f"w{number}x" for number in range(VOCABULARY)]
        self._frequencies = [1 / (rank + 3) for rank in range(VOCABULARY)]

    def text(self, words: int) -> str:
        """Words drawn by Zipf's law."""
        return " ".join(self._words.choices(self._vocabulary, self._frequencies, k=words))

    def vectors(self, count: int) -> Vectors:
        """Unit vectors near a topic each."""
        near = self._topics[self._vectors.integers(0, TOPICS, count)]
        drawn = near + 1.2 * self._vectors.normal(size=(count, DIMENSION))
        unit: Vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return unit


class Drawn:
    """Embeddings that cost nothing: the next vector of those drawn before."""

    name, dimension, window = "drawn", DIMENSION, 256

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors.tolist()
        self._given = 0

    def load(self) -> None:
        """Nothing to load."""

    def count_tokens(self, text: str) -> int:
        """Words."""
        return len(text.split())

    def embed_query(self, text: str) -> list[float]:
        """The next one."""
        self._given += 1
        found: list[float] = self._vectors[self._given % len(self._vectors)]
        return found

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """As many of the next ones."""
        return [self.embed_query(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        """The next one."""
        return self.embed_query(text)

    async def aembed_queries(self, texts: Sequence[str]) -> list[list[float]]:
        """As many of the next ones."""
        return [self.embed_query(text) for text in texts]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As many of the next ones."""
        return self.embed_documents(texts)


async def measure(folder: Path, say: Say) -> Json:
    """Of a question alone, and of one with six utterances before it; half of the passages are the asker's."""
    corpus = Corpus()
    sparse = SparseEncoder()
    with tempfile.TemporaryDirectory() as home:
        index = EdgeIndex(Path(home) / "passages", DIMENSION)
        await index.open()
        started = perf_counter()
        for number in range(PASSAGES // A_DOCUMENT):
            document = f"{number}.md"
            await index.replace(document, "made", str(number), _passages(corpus, sparse, document, number))
        written = perf_counter() - started
        started = perf_counter()
        await index.settle()
        say(f"  {PASSAGES} passages written in {written:.0f} s, settled in {perf_counter() - started:.0f} s")
        finder = retriever(index, Drawn(corpus.vectors(4 * QUERIES)), sparse)
        alone = [Query(text=corpus.text(8), language="en") for _ in range(QUERIES)]
        talks = [Query(text=corpus.text(5), history=_history(corpus), language="en") for _ in range(QUERIES)]
        taken = {"": await _times(finder, alone), "conversation_": await _times(finder, talks)}
        await index.close()
    figures: Json = {"n": QUERIES, "passages": PASSAGES}
    for name, times in taken.items():
        p50, p99 = np.percentile(times, [50, 99])
        figures |= {f"{name}p50": round(float(p50), 2), f"{name}p99": round(float(p99), 2)}
    return figures


async def _times(finder: HybridRetriever, queries: Sequence[Query]) -> list[float]:
    """In milliseconds; a sixth of the queries warm up first."""
    taken = []
    for query in [*queries[: QUERIES // 6], *queries]:
        started = perf_counter()
        found = await finder.find(query, ASKER)
        taken.append(1000 * (perf_counter() - started))
        assert found.hits, "a query that finds nothing measures nothing"
    return taken[QUERIES // 6 :]


def _history(corpus: Corpus) -> tuple[str, ...]:
    return tuple(corpus.text(words) for words in (8, 40, 6, 40, 7, 40))


def _passages(corpus: Corpus, sparse: SparseEncoder, document: str, number: int) -> list[IndexedPassage]:
    vectors = corpus.vectors(A_DOCUMENT)
    return [
        IndexedPassage(
            passage=passage, dense=vectors[position].tolist(), sparse=sparse.encode_passage(passage.text, "en")
        )
        for position, passage in enumerate(_made(corpus, document, number, position) for position in range(A_DOCUMENT))
    ]


def _made(corpus: Corpus, document: str, number: int, position: int) -> Passage:
    return Passage(
        id=f"{document}#{position}",
        document=document,
        source="made",
        title=f"Page {number}",
        headings=(corpus.text(3),),
        url=f"https://docs.example.com/{document}#{position}",
        text=corpus.text(WORDS),
        position=position,
        language="en",
        audience=AUDIENCES[number % len(AUDIENCES)],
    )
