# ruff: noqa: ARG002 - the arguments are those of LangChain's callbacks
"""Runs of the chain as OpenTelemetry spans: names, times, models and token counts; never a text of people or documents."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context


class Tracing(BaseCallbackHandler):
    """One span a run, below its parent's. Attributes of model runs follow OpenTelemetry's conventions for generative AI."""

    run_inline = True

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._spans: dict[UUID, Span] = {}
        self._silent: set[UUID] = set()

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
        self._silent.add(run_id)

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], *, run_id: UUID, **more: Any) -> None:
        """The first one tells how long the reader waited."""
        if run_id in self._silent:
            self._silent.discard(run_id)
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
        above = self._spans.get(parent) if parent is not None else None
        context = set_span_in_context(above) if above is not None else None
        span = self._tracer.start_span(name, context)
        self._spans[run_id] = span
        return span

    def _end(self, run_id: UUID, error: BaseException | None = None) -> None:
        """An error is told by its class: its words might quote somebody."""
        self._silent.discard(run_id)
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
