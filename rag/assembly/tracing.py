"""From settings to the callbacks that trace the chain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.callbacks import BaseCallbackHandler

FLUSH_SECONDS = 3
"""A collector that is away holds up no stop for longer."""


@contextmanager
def tracing(endpoint: str | None, sample: float = 1.0) -> Iterator[list[BaseCallbackHandler]]:
    """What the chain reports its runs to: nothing, unless there is an OTLP/HTTP collector at ``endpoint``.

    ``sample`` is the share of turns that are traced.
    """
    _keep_traces_home()
    if not endpoint:
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
        sampler=ParentBased(TraceIdRatioBased(sample)),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=FLUSH_SECONDS)
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
