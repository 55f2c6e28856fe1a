"""Builds the callbacks that trace the chain with OpenTelemetry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.callbacks import BaseCallbackHandler

FLUSH_SECONDS = 3
"""Longest wait, in seconds, for an unreachable collector when the service stops."""


@contextmanager
def tracing(endpoint: str | None, sample: float = 1.0) -> Iterator[list[BaseCallbackHandler]]:
    """Callbacks for the chain: none, or one that sends traces to the OTLP/HTTP collector at ``endpoint``.

    ``sample`` is the share of turns that are traced, 0 to 1.
    """
    _disable_langsmith()
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
        shutdown_on_exit=False,  # shut down below, with a time limit
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=FLUSH_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield [Tracing(provider.get_tracer("cotorra"))]
    finally:
        provider.force_flush(FLUSH_SECONDS * 1000)
        provider.shutdown()


def _disable_langsmith() -> None:
    """Switches LangSmith off: LangChain sends every prompt to it if one of these variables is set, for whatever reason."""
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
        os.environ[name] = "false"
