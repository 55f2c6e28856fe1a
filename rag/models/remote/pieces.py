"""What a server sends becomes what the chain reads: visible text, then one last piece with the token counts."""

from __future__ import annotations

from collections.abc import Iterator

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk

from rag.models.remote.faults import Fault, ServerFault
from rag.models.thinking import WithoutThinking

CHARACTERS_PER_TOKEN = 32
"""A server that writes far beyond what it was asked for is stopped there."""


class Pieces:
    """One reply. Tool calls, reasoning in a field of its own and whatever else a server adds are left behind."""

    def __init__(self, longest: int | None) -> None:
        self._thinking = WithoutThinking()
        self._left = longest * CHARACTERS_PER_TOKEN if longest else None
        self._ended = ""
        self._model = ""
        self._usage: UsageMetadata | None = None
        self.begun = False

    def feed(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk | None:
        """What may be shown after this chunk. Raises ``ServerFault`` for a reply without end."""
        facts = chunk.generation_info or {}
        self._ended = str(facts.get("finish_reason") or self._ended)
        self._model = str(facts.get("model_name") or self._model)
        if isinstance(chunk.message, AIMessageChunk):
            self._usage = chunk.message.usage_metadata or self._usage
        return self._shown(self._thinking.feed(chunk.message.text))

    def finish(self) -> Iterator[ChatGenerationChunk]:
        """The end. Raises ``ServerFault`` where the stream ended before the reply did, or nothing could be shown of it."""
        if (rest := self._shown(self._thinking.finish())) is not None:
            yield rest
        if not self._ended:
            raise ServerFault(Fault(kind="down", message="ended its answer before it was complete"))
        if not self.begun and self._ended != "stop":
            told = (
                f"wrote nothing to show ({self._reason}): give it more model.answer_tokens, or a model that thinks less"
            )
            raise ServerFault(Fault(kind="refused", message=told))
        facts = {"finish_reason": self._ended} | ({"model_name": self._model} if self._model else {})
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=self._usage), generation_info=facts)

    @property
    def _reason(self) -> str:
        return self._ended if self._ended in ("length", "content_filter", "tool_calls") else "another end"

    def _shown(self, text: str) -> ChatGenerationChunk | None:
        if not text:
            return None
        self.begun = True
        if self._left is not None:
            self._left -= len(text)
            if self._left < 0:
                raise ServerFault(Fault(kind="down", message="wrote far more than it was asked for"))
        return ChatGenerationChunk(message=AIMessageChunk(content=text))
