"""The generative answerer: streams a language model's reply to a prompt that fits its window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rag.answering.answerer import Notice, Piece, Writer, Written
from rag.answering.fitting import fit_prompt
from rag.models.language_model import LanguageModel
from rag.models.streaming import streamed
from rag.models.thinking import WithoutThinking
from rag.prompts.sentences import say
from rag.settings import MemorySettings, ModelSettings
from rag.types import Exchange, Hit, Question


class GenerativeAnswerer:
    """Answers with ``model``. It does not check what the model writes: that is the task of ``rag.grounding``."""

    def __init__(self, model: LanguageModel, settings: ModelSettings, memory: MemorySettings) -> None:
        self._model = model
        self._settings = settings
        self._memory_tokens = memory.tokens

    @property
    def name(self) -> str:
        return self._model.name

    async def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[Piece]:
        """The ``Writer`` first, then the reply as it is written, without the model's thinking. Raises ``ModelError``."""
        prompt = (
            await asyncio.to_thread(  # counting tokenizes the prompt several times, which would block the event loop
                fit_prompt,
                question,
                history,
                hits,
                language,
                count=self._model.count,
                window=self._model.window,
                answer_tokens=self._settings.answer_tokens,
                memory_tokens=self._memory_tokens,
            )
        )
        adapter = question.adapter
        yield Writer(
            model=self.name,
            hits=prompt.hits,
            adapter=adapter.name if adapter else None,
            recalled=tuple(exchange.turn_id for exchange in prompt.history),
            background=prompt.background,
        )
        chunks = streamed(
            self._model.chat,
            prompt.messages,
            adapter=adapter,
            max_tokens=self._settings.answer_tokens,
            temperature=self._settings.temperature,
        )
        thinking = WithoutThinking()
        reason = ""
        async with aclosing(chunks):
            async for chunk in chunks:
                if text := thinking.feed(chunk.text):
                    yield Written(text=text)
                reason = chunk.response_metadata.get("finish_reason") or reason
        if text := thinking.finish():
            yield Written(text=text)
        if reason == "length":  # cut off at answer_tokens, perhaps in the middle of a sentence
            yield Notice(text=say(language, "too_long"), interrupted=True)
