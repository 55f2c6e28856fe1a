"""What makes the running summary of turns that are no longer kept word for word: by selection, or by a language model."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol

from rag.errors import ModelError
from rag.intents.courtesy import recognise
from rag.models.language_model import LanguageModel
from rag.models.streaming import streamed
from rag.models.thinking import WithoutThinking
from rag.prompts.instructions import summary_prompt
from rag.text.sentences import sentences
from rag.text.utterances import cleaned, unmarked
from rag.types import Exchange

log = logging.getLogger(__name__)

CHARACTERS = 800
"""Of a summary by selection: some 200 tokens."""
QUESTION_CHARACTERS = 160
ANSWER_CHARACTERS = 200
MODEL_TOKENS = 200
"""Of a summary by a model, which is asked for 100 words."""
MODEL_CHARACTERS = 1200
"""A model that does not stop is stopped; also what a prompt then holds of it at most."""

_THEN = " → "
_MARKUP = re.compile(r"^\s*(?:>|#{1,6}|[-*+]|\d{1,3}[.)])\s+|[*_`]{1,3}", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]{0,300})\]\([^)\s]{0,500}\)")
_TELLING = re.compile(r"\d|(?<=\s)[A-ZÀ-ÖØ-Þ][\w-]+")


class Summariser(Protocol):
    """Makes the next summary from the one before and the turns that it does not hold yet, oldest first."""

    async def __call__(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str: ...


class SelectingSummariser:
    """Keeps what tells most, word for word; needs no model."""

    async def __call__(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str:  # noqa: ARG002
        return selected(summary, exchanges)


class ModelSummariser:
    """Lets a language model write it, without an adapter: those learn to answer. Where it fails, selection does it."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    async def __call__(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str:
        try:
            written = await self._written(summary, exchanges, language)
        except ModelError as error:
            log.info("a summary is made by selection: %s", type(error).__name__)
            written = ""
        return written or selected(summary, exchanges)

    async def _written(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str:
        prompt = summary_prompt(summary, exchanges, language)
        if self._model.count(prompt) + MODEL_TOKENS > self._model.window:
            return ""
        thinking = WithoutThinking()
        chunks = streamed(self._model.chat, prompt, adapter=None, max_tokens=MODEL_TOKENS, temperature=0.0)
        async with aclosing(chunks):
            pieces = [thinking.feed(chunk.text) async for chunk in chunks]
        return _whole("".join([*pieces, thinking.finish()]))


def selected(summary: str, exchanges: Sequence[Exchange], budget: int = CHARACTERS) -> str:
    """The newest turns as question and finding, older ones as questions alone, the oldest not at all.

    One line a turn; of the summary before, its lines, or the sentences that a model wrote.
    """
    lines = [*_lines(summary), *filter(None, map(_line, exchanges))]
    kept: list[str] = []
    room = budget
    for line in reversed(lines):
        shown = line if len(line) <= room - budget // 3 or not kept else line.partition(_THEN)[0]
        if len(shown) + 1 > room:
            break
        kept.append(shown)
        room -= len(shown) + 1
    return "\n".join(reversed(kept))


def _lines(summary: str) -> list[str]:
    return [line for part in summary.splitlines() for line in ([part] if _THEN in part else sentences(part))]


def _line(exchange: Exchange) -> str:
    """A turn in one line, or nothing of mere courtesy."""
    if recognise(exchange.question):
        return ""
    asked = _shortened(_flat(exchange.question), QUESTION_CHARACTERS)
    return f"{asked}{_THEN}{_told(exchange.answer)}" if exchange.answered else asked


def _told(answer: str) -> str:
    """The first sentence, and where it names no figure and nobody, the first that does."""
    parts = [sentence for part in answer.split("\n\n") for sentence in sentences(_flat(part)) if sentence[-1] != ":"]
    if not parts:
        return "…"
    telling = next((part for part in parts if _TELLING.search(part)), parts[0])
    return _shortened(" ".join(dict.fromkeys((parts[0], telling))), ANSWER_CHARACTERS)


def _flat(text: str) -> str:
    return " ".join(_MARKUP.sub("", _LINK.sub(r"\1", unmarked(cleaned(text)))).replace("→", "->").split())


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = text[: most - 1]
    return (head.rpartition(" ")[0] or head).rstrip(" ,;:") + "…"


def _whole(written: str) -> str:
    """What a model wrote, up to its last whole sentence where it did not come to an end."""
    text = " ".join(cleaned(written).split())
    if len(text) <= MODEL_CHARACTERS and text.endswith((".", "!", "?", "…", "»", "”", '"')):
        return text
    whole = sentences(text[:MODEL_CHARACTERS])[:-1]
    return " ".join(whole) or _shortened(text, MODEL_CHARACTERS)
