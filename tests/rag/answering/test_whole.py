"""Whole answers, end to end with the real embedder and index: lists, procedures, tables, code, a section's yes or no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rag.answering.extractive import ExtractiveAnswerer
from rag.chain import ConversationalChain
from rag.knowledge.sync.source import Synchronizer
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.retriever import HybridRetriever, Pair
from rag.retrieval.sections import IndexedSections
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings, RetrievalSettings, SourceSettings
from rag.types import Answer, Delta, Done, Question
from tests.rag.answering.whole_pages import CASES, PAGES, Case


@pytest.fixture(scope="module")
def embeddings() -> PackagedEmbeddings:
    return PackagedEmbeddings()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, embeddings: PackagedEmbeddings) -> Path:
    """A folder with the index of all pages."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "docs").mkdir()
    for name, text in PAGES.items():
        (folder / "docs" / name).write_text(text)

    async def fill() -> None:
        index = EdgeIndex(folder / "index", embeddings.dimension)
        await index.open()
        source = SourceSettings(name="kb", path=folder / "docs", base_url="https://help.example.com")
        await Synchronizer(index, embeddings, SparseEncoder()).sync(source, folder / "cache")
        await index.close()

    asyncio.run(fill())
    return folder


@pytest.fixture
async def chain(home: Path, embeddings: PackagedEmbeddings) -> AsyncIterator[ConversationalChain]:
    index, sparse, settings = EdgeIndex(home / "index", embeddings.dimension), SparseEncoder(), RetrievalSettings()
    await index.open()
    serving = Pair(embeddings=embeddings, index=index)
    retriever = HybridRetriever(serving=serving, sparse=sparse, settings=settings)
    answerer = ExtractiveAnswerer(embeddings, sparse, ModelSettings(), sections=IndexedSections(serving))
    yield ConversationalChain(retriever, answerer, settings)
    await index.close()


async def ask(chain: ConversationalChain, text: str) -> Answer:
    asked = Question(turn_id="t", conversation="c", text=text, audiences=frozenset({"public"}))
    done = [event async for event in chain.astream(asked, ()) if isinstance(event, Done)]
    return done[0].answer


async def test_what_is_quoted_stands_in_the_passage_that_is_cited_and_kept(chain: ConversationalChain) -> None:
    answer = await ask(chain, "How is the yearly inventory done?")
    [source] = answer.sources
    assert answer.shown[0].passage == source.passage
    quoted = [line.removesuffix(" [1]") for line in answer.text.splitlines() if line[:1].isdigit()]
    assert len(quoted) > 15
    assert all(line in source.passage.text for line in quoted)


async def test_a_whole_list_is_sent_while_it_is_written_and_no_code_is_sent_half(chain: ConversationalChain) -> None:
    text = "How do I install Quill on Linux?"
    asked = Question(turn_id="t", conversation="c", text=text, audiences=frozenset({"public"}))
    deltas = [event.text async for event in chain.astream(asked, ()) if isinstance(event, Delta)]
    assert len(deltas) > 8
    assert all(delta.count("```") in (0, 2) for delta in deltas)


async def test_each_block_of_one_source_has_one_marker(chain: ConversationalChain) -> None:
    answer = await ask(chain, "How do I claim travel expenses?")
    assert answer.text.count("[1]") == 1
    assert answer.text.endswith("[1]")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_an_answer_is_whole(chain: ConversationalChain, case: Case) -> None:
    answer = await ask(chain, case.asked)
    assert answer.answered is not case.abstains, answer.text
    place = 0
    for part in case.holds:
        assert part in answer.text[place:], f"{part!r} is missing in:\n{answer.text}"
        place = answer.text.index(part, place) + len(part)
    assert [part for part in case.lacks if part in answer.text] == [], answer.text
    assert answer.text.count("```") % 2 == 0
