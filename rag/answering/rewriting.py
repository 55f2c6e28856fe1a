"""A turn that leans on the past, rewritten by a language model into a question that stands alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from rag.errors import ModelError
from rag.models.language_model import LanguageModel
from rag.models.streaming import streamed
from rag.models.thinking import WithoutThinking
from rag.prompts.instructions import rewrite_prompt
from rag.text.utterances import cleaned
from rag.types import Exchange, Question

log = logging.getLogger(__name__)

TOKENS = 64
"""Of a rewritten question at most."""
TURNS = 4
"""Of the past that it is rewritten from: what is older is seldom meant, and each turn costs reading time."""
SECONDS = 8.0
"""The search does not wait longer: it has the conversation itself to go by."""


class Rewriter:
    """Rewrites with the base model: adapters learn to answer."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    async def rewrite(self, question: Question, history: Sequence[Exchange], language: str) -> str:
        """The question that stands alone; empty where the model gave none in time. Raises nothing of the model's."""
        try:
            async with asyncio.timeout(SECONDS):
                return _first_line(await self._written(question, history[-TURNS:], language))
        except (ModelError, TimeoutError) as error:
            log.info("the turn was not rewritten (%s)", type(error).__name__)
            return ""

    async def _written(self, question: Question, history: Sequence[Exchange], language: str) -> str:
        thinking = WithoutThinking()
        text = ""
        prompt = rewrite_prompt(question, history, language)
        chunks = streamed(self._model.chat, prompt, adapter=None, max_tokens=TOKENS, temperature=0.0)
        async with aclosing(chunks):
            async for chunk in chunks:
                text += thinking.feed(chunk.text)
        return text + thinking.finish()


def _first_line(text: str) -> str:
    lines = cleaned(text).splitlines()
    return lines[0].strip().strip('"“”«»').strip() if lines else ""
