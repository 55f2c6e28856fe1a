"""How long a search takes in Qdrant Edge, and whether it finds what an exact comparison finds.

    python -m tests.benchmarks.index_latency --passages 20000 --legs 2 --seconds 10

Passages are made up: vectors around a few hundred topics, texts of 900 characters with words as frequent as in a language.
One JSON object comes out, times in milliseconds. ``floor`` is numpy comparing one question with all vectors in one go, in
turn with the searches, so that a machine that is busy with other things slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import IndexedPassage, IndexQuery, Leg, Match, Scope
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.types import Passage

DIMENSION, CHARACTERS, VOCABULARY, TOPICS, IDEAS = 384, 900, 30_000, 200, 48
DOCUMENT = 20
"""Passages of a document."""
CHOSEN, CANDIDATES, REACH = 10, 40, 1
TURN = 25
"""Searches in a row; a comparison with all vectors drives all else out of the processor's caches."""
READER = Scope(audiences=frozenset({"public"}))
"""May read about half of the passages."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What was measured. ``cpu`` is milliseconds of processor time a search; recall is that of the dense leg."""

    passages: int
    legs: int
    searches: int
    search: Spread
    cpu: float
    floor: Spread
    recall_at_10: float
    filling_seconds: float
    opening_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Passages and questions from one distribution."""

    passages: Sequence[IndexedPassage]
    vectors: Vectors
    questions: Vectors
    words: Sequence[SparseVector]


def corpus(passages: int, questions: int = 400, seed: int = 1) -> Corpus:
    """The same one for the same figures."""
    chance = np.random.default_rng(seed)
    vectors = _vectors(chance, passages + questions)
    encoder, text = SparseEncoder(), _Texts(chance)
    return Corpus(
        passages=[_passage(at, text.of(CHARACTERS), vectors[at], encoder) for at in range(passages)],
        vectors=vectors[:passages],
        questions=vectors[passages:],
        words=[encoder.encode_query(text.of(60), "en") for _ in range(questions)],
    )


async def measure(passages: int = 20_000, legs: int = 2, seconds: float = 10.0, folder: Path | None = None) -> Latency:
    """Fills an index, opens it again, and searches for so long; half of the legs are dense, half are sparse."""
    made = await asyncio.to_thread(corpus, passages)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        filling = await _fill(Path(place), made.passages)
        index = EdgeIndex(Path(place), DIMENSION)
        begun = perf_counter()
        await index.open()
        opening = perf_counter() - begun
        found = await _Measuring(index, made, legs).run(seconds)
        await index.close()
    return Latency(
        passages=passages,
        legs=legs,
        searches=len(found.searches),
        search=_spread(found.searches),
        cpu=round(1000 * found.cpu / len(found.searches), 3),
        floor=_spread(found.floors),
        recall_at_10=round(found.found / found.expected, 4),
        filling_seconds=round(filling, 2),
        opening_seconds=round(opening, 2),
    )


class _Measuring:
    """Searches and comparisons in turn, over all questions again and again."""

    def __init__(self, index: EdgeIndex, made: Corpus, legs: int) -> None:
        self._index = index
        self._made = made
        self._pairs = max(1, legs // 2)
        self._readable = np.array([each.passage.audience in READER.audiences for each in made.passages])
        self.searches: list[float] = []
        self.floors: list[float] = []
        self.cpu = 0.0
        self.found = self.expected = 0
        self._last: Sequence[Match] = ()

    async def run(self, seconds: float) -> _Measuring:
        questions = len(self._made.questions)
        for at in range(
            questions
        ):  # what a search costs that finds every cache cold is not what it costs day in, day out
            await self._index.search(self._query(at), _first_of_each)
        ends, turn = perf_counter() + seconds, 0
        while perf_counter() < ends or not self.searches:
            for at in range(turn * TURN, (turn + 1) * TURN):
                await self._search(at % questions)
            self._compare_all(turn * TURN % questions)
            turn += 1
        return self

    async def _search(self, at: int) -> None:
        query, seen = self._query(at), _Seen()
        worked, begun = process_time(), perf_counter()
        await self._index.search(query, seen)
        self.searches.append(perf_counter() - begun)
        self.cpu += process_time() - worked
        self._last = seen.meaning

    def _compare_all(self, at: int) -> None:
        """The floor, and what the last search should have found."""
        for question in (self._made.questions[at], self._made.questions[(at + TURN - 1) % len(self._made.questions)]):
            begun = perf_counter()
            scores = self._made.vectors @ question
            np.argpartition(-scores, CHOSEN)
            self.floors.append(perf_counter() - begun)
        self._compare(scores, self._last, CHOSEN)

    def _compare(self, scores: Vectors, meaning: Sequence[Match], wanted: int) -> None:
        """By score, since equals are as good: as near as the farthest of those that should have come."""
        border = np.sort(scores[self._readable])[-wanted] - 1e-5
        self.expected += wanted
        self.found += sum(match.score >= border for match in meaning[:wanted])

    def _query(self, at: int) -> IndexQuery:
        questions, words = self._made.questions, self._made.words
        places = [(at + turn) % len(words) for turn in range(self._pairs)]
        legs = [leg for place in places for leg in (Leg(dense=questions[place].tolist()), Leg(sparse=words[place]))]
        return IndexQuery(legs=tuple(legs), scope=READER, candidates=CANDIDATES, reach=REACH)


class _Seen:
    """A choice that remembers the first leg."""

    meaning: Sequence[Match] = ()

    def __call__(self, legs: Sequence[Sequence[Match]]) -> list[str]:
        self.meaning = legs[0]
        return _first_of_each(legs)


def _first_of_each(legs: Sequence[Sequence[Match]]) -> list[str]:
    each = CHOSEN // len(legs) + 1
    return list(dict.fromkeys(match.key for leg in legs for match in leg[:each]))[:CHOSEN]


async def _fill(folder: Path, passages: Sequence[IndexedPassage]) -> float:
    index = EdgeIndex(folder, DIMENSION)
    await index.open()
    begun = perf_counter()
    for start in range(0, len(passages), DOCUMENT):
        together = passages[start : start + DOCUMENT]
        await index.replace(together[0].passage.document, "handbook", "d1", together)
    filled = perf_counter() - begun
    await index.close()
    return filled


class _Texts:
    """Made-up words, the nth about n times rarer than the first."""

    def __init__(self, chance: np.random.Generator) -> None:
        self._chance = chance
        odds = 1 / np.arange(1, VOCABULARY + 1)
        self._odds = np.cumsum(odds / odds.sum())

    def of(self, characters: int) -> str:
        drawn = np.searchsorted(self._odds, self._chance.random(characters // 5))
        return " ".join(_word(int(number)) for number in drawn)[:characters]


def _word(number: int) -> str:
    spelled, left = "", number + 1
    while left:
        spelled += "bcdfghklmnprstvz"[left % 16] + "aeiou"[left // 16 % 5]
        left //= 80
    return f"{spelled}x"


def _vectors(chance: np.random.Generator, count: int) -> Vectors:
    """Unit vectors that differ in a few dozen ways and a little noise, as those of sentences do."""
    topics, ideas = chance.normal(size=(TOPICS, IDEAS)), chance.normal(size=(IDEAS, DIMENSION))
    meant = 0.8 * topics[chance.integers(TOPICS, size=count)] + 0.7 * chance.normal(size=(count, IDEAS))
    mixed = meant @ ideas + 1.2 * chance.normal(size=(count, DIMENSION))
    unit: Vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _passage(at: int, text: str, vector: Vectors, encoder: SparseEncoder) -> IndexedPassage:
    document, position = f"handbook/page-{at // DOCUMENT}.md", at % DOCUMENT
    passage = Passage(
        id=f"{document}#{position}",
        document=document,
        source="handbook",
        title="A page of the handbook",
        headings=("A page of the handbook", "A section"),
        url=f"https://help.example.com/{at // DOCUMENT}#section",
        text=text,
        position=position,
        language="en",
        audience="public" if at // DOCUMENT % 2 else "employees",
    )
    return IndexedPassage(passage=passage, dense=vector.tolist(), sparse=encoder.encode_passage(text, "en"))


def _spread(seconds: Sequence[float]) -> Spread:
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return Spread(p50=round(float(p50), 3), p99=round(float(p99), 3))


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--legs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    print(json.dumps(asdict(asyncio.run(measure(given.passages, given.legs, given.seconds)))))


if __name__ == "__main__":
    main()
