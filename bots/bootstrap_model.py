"""The part of the wiring that writes: the language model, the adapters that serve, and where their traces go."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib import import_module

import structlog
from langchain_core.callbacks import BaseCallbackHandler

from bots.settings import Settings, TracingSettings
from rag.answering.extractive import ExtractiveAnswerer
from rag.chain import ConversationalChain
from rag.errors import ModelUnavailable
from rag.models.language_model import LanguageModel
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.retriever import HybridRetriever
from rag.settings import ModelSettings
from tuning.registry.adapters import Task
from tuning.registry.folders import FolderRegistry
from tuning.registry.serving import AdapterHost, ServingAdapters, following

log = structlog.get_logger()

FLUSH_SECONDS = 3
"""A collector that is away holds up no stop for longer."""


@asynccontextmanager
async def open_model(settings: ModelSettings) -> AsyncIterator[LanguageModel | None]:
    """None where answers are quotes: as configured, or because the model cannot be had now, which is told in one line.

    Raises ``ModelError`` for a model that cannot work.
    """
    model = await _model(settings)
    try:
        yield model
    finally:
        if model is not None:
            await model.close()


def follow_promotions(settings: Settings, model: LanguageModel | None) -> AbstractAsyncContextManager[ServingAdapters]:
    """The adapters of every model of this process that takes some. What reads or finds joins ``hosts`` here.

    Entering raises ``AdapterMissing`` or ``ModelError`` for a configured adapter that is not there or does not fit.
    """
    hosts: dict[Task, AdapterHost] = {"chat": model} if model else {}
    return following(FolderRegistry(settings.home / "adapters"), hosts, {"chat": settings.model.adapter})


async def _model(settings: ModelSettings) -> LanguageModel | None:
    match settings.kind:
        case "extractive":
            return None
        case "openai":
            return await _remote(settings)
        case "transformers":
            from rag.models.local.deferred import load_local

            try:
                return await load_local(settings, lambda line: print(f"cotorra: {line}", file=sys.stderr))
            except ModelUnavailable as error:
                log.warning("answers_are_quotes", reason=str(error))
                return None


async def _remote(settings: ModelSettings) -> LanguageModel:
    """Its client takes seconds to import: not on the event loop. A server that is away is no reason not to start."""
    await asyncio.to_thread(import_module, "rag.models.remote.model")
    from rag.models.remote.model import RemoteModel

    model = RemoteModel(settings)
    await model.open()
    return model


async def writing_chain(
    settings: Settings,
    model: LanguageModel,
    retriever: HybridRetriever,
    quoting: ExtractiveAnswerer,
    embeddings: TextEmbeddings,
    callbacks: Sequence[BaseCallbackHandler],
) -> ConversationalChain:
    """The chain whose answers a model writes and the passages must support; quotes stand in where it fails.

    Raises ``ModelError`` for an NLI model that cannot be had.
    """
    from rag.answering.generative import GenerativeAnswerer
    from rag.answering.rewriting import Rewriter
    from rag.grounding.grounder import Grounder
    from rag.grounding.support.nli import CrossEncoderNli

    nli = await asyncio.to_thread(CrossEncoderNli, settings.model.nli) if settings.model.nli else None
    return ConversationalChain(
        retriever,
        GenerativeAnswerer(model, settings.model, settings.memory),
        settings.retrieval,
        fallback=quoting,
        grounder=Grounder(embeddings, retriever.sparse, settings.model, nli),
        rewriter=Rewriter(model) if settings.model.rewrite else None,
        callbacks=callbacks,
    )


@contextmanager
def tracing(settings: TracingSettings) -> Iterator[list[BaseCallbackHandler]]:
    """What the chain reports its runs to: nothing, unless a collector is configured."""
    _keep_traces_home()
    if not settings.endpoint:
        yield []
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    from rag.tracing import Tracing

    provider = TracerProvider(
        resource=Resource.create({"service.name": "cotorra"}),
        sampler=ParentBased(TraceIdRatioBased(settings.sample)),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{settings.endpoint.rstrip('/')}/v1/traces", timeout=FLUSH_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield [Tracing(provider.get_tracer("cotorra"))]
    finally:
        provider.force_flush(FLUSH_SECONDS * 1000)
        provider.shutdown()


def _keep_traces_home() -> None:
    """LangChain sends every prompt to a tracing service when one of these lies about in the environment."""
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
        os.environ[name] = "false"
