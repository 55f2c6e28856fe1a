# ruff: noqa: ARG002 - the arguments are those of LangChain's callbacks
"""Reports runs of the chain as OpenTelemetry spans: names, times, models, token counts; never texts of people or documents."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context


class Tracing(BaseCallbackHandler):
    """One span for each run, below its parent's. Attributes follow OpenTelemetry's conventions for generative AI."""

    run_inline = True
    """LangChain then calls the handler directly instead of in a thread for each event."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._spans: dict[UUID, Span] = {}
        self._awaiting_token: set[UUID] = set()

    def on_chain_start(
        self, serialized: dict[str, Any], inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **more: Any
    ) -> None:
        self._start(str(more.get("name") or "run"), run_id, parent_run_id)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **more: Any) -> None:
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        self._end(run_id, error)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        model = str((metadata or {}).get("ls_model_name") or more.get("name") or "model")
        span = self._start(f"chat {model}", run_id, parent_run_id)
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.request.model", model)
        self._awaiting_token.add(run_id)

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], *, run_id: UUID, **more: Any) -> None:
        """Adds an event for the first token, which shows how long the reader waited."""
        if run_id in self._awaiting_token:
            self._awaiting_token.discard(run_id)
            self._spans[run_id].add_event("first token")

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **more: Any) -> None:
        span = self._spans.get(run_id)
        usage = _usage(response)
        if span is not None and usage:
            span.set_attribute("gen_ai.usage.input_tokens", usage["input_tokens"])
            span.set_attribute("gen_ai.usage.output_tokens", usage["output_tokens"])
        self._end(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: Any) -> None:
        self._end(run_id, error)

    def _start(self, name: str, run_id: UUID, parent: UUID | None) -> Span:
        parent_span = self._spans.get(parent) if parent is not None else None
        context = set_span_in_context(parent_span) if parent_span is not None else None
        span = self._tracer.start_span(name, context)
        self._spans[run_id] = span
        return span

    def _end(self, run_id: UUID, error: BaseException | None = None) -> None:
        """Ends a span. Of an error only the class is recorded, because its message may quote a user."""
        self._awaiting_token.discard(run_id)
        span = self._spans.pop(run_id, None)
        if span is None:
            return
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        span.end()


def _usage(response: LLMResult) -> dict[str, int]:
    for generations in response.generations:
        for generation in generations:
            usage = getattr(getattr(generation, "message", None), "usage_metadata", None)
            if usage:
                return dict(usage)
    return {}
