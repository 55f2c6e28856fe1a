"""What answers is built from settings alone, by whoever needs it: no platform, log or registry takes part."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from rag.assembly.answering import build_chain, build_summariser
from rag.assembly.models import open_language_model
from rag.assembly.search import Search, open_search
from rag.assembly.tracing import tracing
from rag.memory.summarising import ModelSummariser, SelectingSummariser
from rag.settings import EmbeddingSettings, MemorySettings, ModelSettings, QdrantSettings, RetrievalSettings
from rag.types import Done
from tests.rag.fakes import question
from tests.rag.scripted_model import ScriptedModel


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Settings that no service read."""

    home: Path
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    qdrant: QdrantSettings = field(default_factory=QdrantSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)


@pytest.fixture
def chosen(tmp_path: Path) -> Chosen:
    return Chosen(home=tmp_path)


@pytest.fixture
async def search(chosen: Chosen) -> AsyncIterator[Search]:
    async with open_search(chosen) as opened:
        yield opened


async def test_an_assembled_chain_answers_with_and_without_a_model(chosen: Chosen, search: Search) -> None:
    assert await search.passages() == 0
    model = ScriptedModel()
    for chain in (await build_chain(chosen, search), await build_chain(chosen, search, model)):
        *_, done = [event async for event in chain.astream(question("How many days of holiday?"), [])]
        assert isinstance(done, Done)
        assert done.answer.outcome == "abstained"
    assert model.chat.calls == []


async def test_quotes_need_no_language_model() -> None:
    async with open_language_model(ModelSettings()) as model:
        assert model is None


def test_summaries_are_written_by_the_model_where_there_is_one() -> None:
    assert isinstance(build_summariser(None), SelectingSummariser)
    assert isinstance(build_summariser(ScriptedModel()), ModelSummariser)


def test_nothing_is_traced_without_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    with tracing(None) as silent, tracing("http://127.0.0.1:9") as heard:
        assert (silent, os.environ["LANGSMITH_TRACING"]) == ([], "false")
        assert [isinstance(each, BaseCallbackHandler) for each in heard] == [True]
