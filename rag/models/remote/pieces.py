"""Converts the chunks of one server's stream to visible text and a last piece with the token counts."""

from __future__ import annotations

from collections.abc import Iterator

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk

from rag.models.remote.faults import Fault, ServerFault
from rag.models.thinking import WithoutThinking

CHARACTERS_PER_TOKEN = 32
"""Limit for a server that ignores ``max_tokens``: its reply is stopped after this many characters per token."""


class Pieces:
    """The pieces of one reply. Tool calls, reasoning in separate fields and other additions of a server are dropped."""

    def __init__(self, longest: int | None) -> None:
        self._thinking = WithoutThinking()
        self._characters_left = longest * CHARACTERS_PER_TOKEN if longest else None
        self._finish_reason = ""
        self._model = ""
        self._usage: UsageMetadata | None = None
        self.has_text = False

    def feed(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk | None:
        """The visible text of a chunk, or None. Raises ``ServerFault`` for a reply without end."""
        facts = chunk.generation_info or {}
        self._finish_reason = str(facts.get("finish_reason") or self._finish_reason)
        self._model = str(facts.get("model_name") or self._model)
        if isinstance(chunk.message, AIMessageChunk):
            self._usage = chunk.message.usage_metadata or self._usage
        return self._visible_chunk(self._thinking.feed(chunk.message.text))

    def finish(self) -> Iterator[ChatGenerationChunk]:
        """The last pieces. Raises ``ServerFault`` if the stream broke off, or ended without any visible text."""
        if (rest := self._visible_chunk(self._thinking.finish())) is not None:
            yield rest
        if not self._finish_reason:
            raise ServerFault(Fault(kind="down", message="ended its answer before it was complete"))
        # A reasoning model can spend all its tokens on thoughts: a retry would end in the same way, so this is a refusal.
        if not self.has_text and self._finish_reason != "stop":
            message = (
                f"wrote nothing to show ({self._reason}): give it more model.answer_tokens, or a model that thinks less"
            )
            raise ServerFault(Fault(kind="refused", message=message))
        facts = {"finish_reason": self._finish_reason} | ({"model_name": self._model} if self._model else {})
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=self._usage), generation_info=facts)

    @property
    def _reason(self) -> str:
        reason = self._finish_reason
        return reason if reason in ("length", "content_filter", "tool_calls") else "another end"

    def _visible_chunk(self, text: str) -> ChatGenerationChunk | None:
        if not text:
            return None
        self.has_text = True
        if self._characters_left is not None:
            self._characters_left -= len(text)
            if self._characters_left < 0:
                raise ServerFault(Fault(kind="down", message="wrote far more than it was asked for"))
        return ChatGenerationChunk(message=AIMessageChunk(content=text))
