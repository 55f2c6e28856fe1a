"""The section around a passage, from a real index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import Scope
from rag.retrieval.retriever import Pair
from rag.retrieval.sections import REACH, IndexedSections
from tests.rag.fakes import WordEmbeddings
from tests.rag.indexed import DIMENSION, indexed, passage

EVERYONE = Scope(audiences=frozenset({"public"}))


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[EdgeIndex]:
    opened = EdgeIndex(tmp_path / "index", DIMENSION)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def sections(index: EdgeIndex) -> IndexedSections:
    return IndexedSections(Pair(embeddings=WordEmbeddings(), index=index))


async def test_a_section_ends_where_the_headings_change(index: EdgeIndex, sections: IndexedSections) -> None:
    headings = ["A", "B", "B", "B", "A"]
    written = [replace(passage("a.md", at, f"text {at}"), headings=(name,)) for at, name in enumerate(headings)]
    await index.replace("a.md", "handbook", "d", [indexed(each) for each in written])
    around = await sections.around(written[2], EVERYONE)
    assert (list(around.passages), around.begins) == (written[1:4], True)
    assert [each.position for each in (await sections.around(written[4], EVERYONE)).passages] == [4]


async def test_a_long_section_is_read_as_far_as_one_reaches(index: EdgeIndex, sections: IndexedSections) -> None:
    written = [passage("a.md", at, f"text {at}") for at in range(3 * REACH)]
    await index.replace("a.md", "handbook", "d", [indexed(each) for each in written])
    around = await sections.around(written[REACH + 5], EVERYONE)
    assert (around.passages[0].position, around.passages[-1].position, around.begins) == (5, 2 * REACH + 5, False)
    assert (await sections.around(written[REACH], EVERYONE)).begins


async def test_what_readers_may_not_see_ends_a_section(index: EdgeIndex, sections: IndexedSections) -> None:
    audiences = ["public", "legal", "public", "public"]
    written = [passage("a.md", at, f"text {at}", audience=name) for at, name in enumerate(audiences)]
    await index.replace("a.md", "handbook", "d", [indexed(each) for each in written])
    assert list((await sections.around(written[2], EVERYONE)).passages) == written[2:]


async def test_a_document_that_was_replaced_meanwhile_has_no_such_section(
    index: EdgeIndex, sections: IndexedSections
) -> None:
    await index.replace("a.md", "handbook", "d", [indexed(passage("a.md", 0, "short now"))])
    assert (await sections.around(passage("a.md", 7, "text"), EVERYONE)).passages == ()
