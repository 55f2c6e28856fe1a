"""Comparing one bit a dimension loses nothing: neither among all passages nor in the few that someone may read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import IndexedPassage, IndexQuery, Leg, Match, Scope
from tests.benchmarks.index_latency import DIMENSION, Corpus, corpus, measure
from tests.rag.indexed import DIMENSION as SMALL
from tests.rag.indexed import all_of, asked, indexed, passage, search

PASSAGES, RARE = 1500, 100
"""One passage of a hundred is for a few."""


async def test_the_ten_nearest_are_those_of_an_exact_comparison(tmp_path: Path) -> None:
    measured = await measure(PASSAGES, legs=2, seconds=0.2, folder=tmp_path)
    assert measured.recall_at_10 >= 0.99
    assert measured.searches > 0


@pytest.fixture(scope="module")
def made() -> Corpus:
    found = corpus(PASSAGES, questions=20)
    return replace(found, passages=[_of_one_document(each, at) for at, each in enumerate(found.passages)])


def _of_one_document(each: IndexedPassage, at: int) -> IndexedPassage:
    audience = "public" if at % RARE else "few"
    return replace(each, passage=replace(each.passage, document="all.md", position=at, audience=audience))


async def test_a_rare_audience_finds_its_own_as_exactly(made: Corpus, tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path, DIMENSION)
    await index.open()
    await index.replace("all.md", "handbook", "d1", made.passages)
    own = np.arange(0, PASSAGES, RARE)
    for question in made.questions:
        nearest = own[np.argsort(-(made.vectors[own] @ question))[:10]]
        query = IndexQuery(
            legs=(Leg(dense=question.tolist()),), scope=Scope(audiences=frozenset({"few"})), candidates=10
        )
        assert [hit.passage.position for hit in await index.search(query, all_of)] == nearest.tolist()
    await index.close()


async def test_more_places_than_are_remembered_are_read_again(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path, SMALL, known=3)
    await index.open()
    for name in ("a.md", "b.md"):
        await index.replace(name, "handbook", "d1", [indexed(passage(name, at, f"slack {name}")) for at in range(2)])

    def by_place(legs: Sequence[Sequence[Match]]) -> list[str]:
        return [match.key for match in sorted(legs[0], key=lambda match: (match.document, match.position))]

    for _ in range(2):
        hits = await search(index, asked("slack"), by_place)
        assert [hit.passage.id for hit in hits] == ["a.md#0", "a.md#1", "b.md#0", "b.md#1"]
    await index.close()
