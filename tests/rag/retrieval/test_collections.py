"""One suite for the collections of both back ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rag.errors import IndexUnavailable
from rag.retrieval.index.collections import Collections, Recipe
from rag.retrieval.index.edge.collections import EdgeCollections
from rag.retrieval.index.server.collections import ServerCollections
from tests.rag.collected import FIRST, SECOND, THIRD, documents, qdrant_server, write

Open = Callable[[], Collections]
"""Further collections over the same place, as another process or the next start would have them."""


@pytest.fixture(params=["edge", "server"])
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    if request.param == "edge":
        yield lambda: EdgeCollections(tmp_path / "home")
        return
    with qdrant_server(tmp_path / "qdrant") as qdrant:
        yield lambda: ServerCollections(qdrant)


def test_a_recipe_survives_being_written_and_read() -> None:
    assert Recipe.from_json(FIRST.to_json()) == FIRST
    assert FIRST.fingerprint == Recipe(embedding="first", dimension=4, window=60, layout=1).fingerprint
    assert len({each.fingerprint for each in (FIRST, SECOND, THIRD)}) == 3
    assert len(FIRST.fingerprint) == 12


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"embedding": "a", "dimension": "x", "window": 1, "layout": 1}']
)
def test_what_is_no_recipe_is_none(text: str) -> None:
    assert Recipe.from_json(text) is None


async def test_nothing_serves_before_the_first_switch_and_then_what_was_switched_to(another: Open) -> None:
    collections = another()
    await collections.open()
    await write(collections, FIRST, "a.md")
    assert await collections.serving() is None
    await collections.switch(FIRST)
    assert await collections.serving() == FIRST
    await write(collections, SECOND, "b.md")
    assert await collections.serving() == FIRST, "while another is being filled"
    await collections.switch(SECOND)
    assert await collections.serving() == SECOND
    assert await documents(collections, SECOND) == {"b.md"}
    await collections.close()


async def test_the_next_start_finds_what_serves_and_what_was_being_filled(another: Open) -> None:
    collections = another()
    await collections.open()
    await write(collections, FIRST, "a.md")
    await collections.switch(FIRST)
    await write(collections, SECOND, "b.md")
    await collections.close()
    again = another()
    await again.open()
    assert await again.serving() == FIRST
    assert await documents(again, FIRST) == {"a.md"}
    assert await documents(again, SECOND) == {"b.md"}
    await again.close()


async def test_who_still_holds_a_replaced_collection_is_told(another: Open) -> None:
    collections = another()
    await collections.open()
    await collections.switch(FIRST)
    held = await collections.index(FIRST)
    await collections.switch(SECOND)
    with pytest.raises(IndexUnavailable):
        await held.count()
    assert await documents(collections, FIRST) == set(), "asked for again, it is made anew"
    await collections.close()


async def test_a_collection_is_opened_once(another: Open) -> None:
    collections = another()
    await collections.open()
    assert await collections.index(FIRST) is await collections.index(FIRST)
    await collections.switch(FIRST)
    await collections.switch(FIRST)
    assert await collections.serving() == FIRST
    await collections.close()
    await collections.close()
