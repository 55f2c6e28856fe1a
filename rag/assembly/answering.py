"""Builds the chain and the memory from settings, a search and a language model.

Service, evaluation and tuning all build them here, so that the evaluated chain is the one that serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from langchain_core.callbacks import BaseCallbackHandler
from redis.asyncio import Redis

from rag.answering.extractive import ExtractiveAnswerer
from rag.answering.wishes import Wishes
from rag.assembly.search import Search, SearchSettings
from rag.chain import ConversationalChain
from rag.intents.classifier import EmbeddingIntents
from rag.memory.conversation import ConversationMemory, Summarise
from rag.memory.notes import PersonalNotes
from rag.memory.summarising import ModelSummariser, SelectingSummariser
from rag.models.language_model import LanguageModel
from rag.retrieval.sections import IndexedSections
from rag.settings import MemorySettings, ModelSettings, SourceSettings


class AnsweringSettings(SearchSettings, Protocol):
    """The settings that answers depend on."""

    @property
    def model(self) -> ModelSettings: ...

    @property
    def memory(self) -> MemorySettings: ...


async def build_chain(
    settings: AnsweringSettings,
    search: Search,
    model: LanguageModel | None = None,
    callbacks: Sequence[BaseCallbackHandler] = (),
    sources: Sequence[SourceSettings] = (),
) -> ConversationalChain:
    """An extractive chain, or with ``model`` a generative one with checked answers and the extractive answerer as fallback.

    ``sources``: those whose names are told who may read them. Raises ``ModelError`` if the configured NLI model cannot be loaded.
    """
    intents = EmbeddingIntents(search.questions)
    await intents.load()
    wishes = Wishes(intents, sources)
    sections = IndexedSections(search.serving)
    quoting = ExtractiveAnswerer(search.embeddings, search.sparse, settings.model, sections=sections)
    if model is None:
        return ConversationalChain(search.retriever, quoting, settings.retrieval, wishes=wishes, callbacks=callbacks)
    # imported only with a model: the extractive default needs none of it
    from rag.answering.generative import GenerativeAnswerer
    from rag.answering.rewriting import Rewriter
    from rag.grounding.grounder import Grounder
    from rag.grounding.support.nli import CrossEncoderNli

    nli = await asyncio.to_thread(CrossEncoderNli, settings.model.nli) if settings.model.nli else None
    return ConversationalChain(
        search.retriever,
        GenerativeAnswerer(model, settings.model, settings.memory),
        settings.retrieval,
        fallback=quoting,
        grounder=Grounder(search.embeddings, search.sparse, settings.model, nli),
        rewriter=Rewriter(model) if settings.model.rewrite else None,
        wishes=wishes,
        callbacks=callbacks,
    )


def build_memory(
    redis: Redis,
    settings: MemorySettings,
    *,
    conversation: Callable[[str], str],
    notes: Callable[[str], str],
    notes_of: Callable[[str], str],
) -> ConversationMemory:
    """The memory of conversations and personal notes; the three functions make its Redis keys."""
    return ConversationMemory(redis, settings, conversation, PersonalNotes(redis, settings, notes, notes_of))


def build_summariser(model: LanguageModel | None) -> Summarise:
    """The writer of running summaries: the model, or without one a selection of sentences."""
    return SelectingSummariser() if model is None else ModelSummariser(model)
