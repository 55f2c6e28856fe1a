"""Rewrites a follow-up question with a language model so that it can be understood without the conversation."""

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
"""Most tokens of a rewritten question."""
TURNS = 4
"""Last exchanges in the prompt: older ones are seldom meant, and each costs prompt processing."""
SECONDS = 8.0
"""Longest wait for the model, in seconds: after that the search uses the conversation as it is."""


class Rewriter:
    """Rewrites with the base model and no adapter, since adapters are trained to answer."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    async def rewrite(self, question: Question, history: Sequence[Exchange], language: str) -> str:
        """The rewritten question; empty if the model failed or was too slow. No ``ModelError`` leaves this method."""
        try:
            async with asyncio.timeout(SECONDS):
                return _first_line(await self._generate(question, history[-TURNS:], language))
        except (ModelError, TimeoutError) as error:
            # the type only: a message may contain text of the conversation
            log.info("the turn was not rewritten (%s)", type(error).__name__)
            return ""

    async def _generate(self, question: Question, history: Sequence[Exchange], language: str) -> str:
        thinking = WithoutThinking()
        text = ""
        prompt = rewrite_prompt(question, history, language)
        # temperature 0: the same turn must find the same passages again
        chunks = streamed(self._model.chat, prompt, adapter=None, max_tokens=TOKENS, temperature=0.0)
        async with aclosing(chunks):
            async for chunk in chunks:
                text += thinking.feed(chunk.text)
        return text + thinking.finish()


def _first_line(text: str) -> str:
    # what a model adds below its question is no part of it
    lines = cleaned(text).splitlines()
    return lines[0].strip().strip('"“”«»').strip() if lines else ""
