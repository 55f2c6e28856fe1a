"""Makes the running summary of older turns, either by selecting sentences or with a language model."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol

from rag.errors import ModelError
from rag.models.language_model import LanguageModel
from rag.models.streaming import streamed
from rag.models.thinking import WithoutThinking
from rag.prompts.instructions import summary_prompt
from rag.text.sentences import sentences
from rag.text.utterances import cleaned, unmarked
from rag.types import Exchange

log = logging.getLogger(__name__)

CHARACTERS = 800
"""The longest summary by selection in characters, about 200 tokens."""
QUESTION_CHARACTERS = 160
ANSWER_CHARACTERS = 200
MODEL_TOKENS = 200
"""The most tokens of a summary by a model, which is asked for 100 words."""
MODEL_CHARACTERS = 1200
"""The longest summary by a model in characters; a longer one is cut, so it also limits the summary in later prompts."""

_THEN = " → "
_MARKUP = re.compile(r"^\s*(?:>|#{1,6}|[-*+]|\d{1,3}[.)])\s+|[*_`]{1,3}", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]{0,300})\]\([^)\s]{0,500}\)")
_INFORMATIVE = re.compile(r"\d|(?<=\s)[A-ZÀ-ÖØ-Þ][\w-]+")


class Summariser(Protocol):
    """Makes the next summary from the previous one and the turns since then, oldest first."""

    async def __call__(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str: ...


class SelectingSummariser:
    """Selects the most informative sentences verbatim; needs no model."""

    async def __call__(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str:  # noqa: ARG002
        return selected(summary, exchanges)


class ModelSummariser:
    """Lets a language model write the summary; if it fails, selection is used.

    Without an adapter, because adapters are trained to answer questions.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    async def __call__(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str:
        try:
            text = await self._summary_text(summary, exchanges, language)
        except ModelError as error:
            log.info("a summary is made by selection: %s", type(error).__name__)
            text = ""
        return text or selected(summary, exchanges)

    async def _summary_text(self, summary: str, exchanges: Sequence[Exchange], language: str) -> str:
        prompt = summary_prompt(summary, exchanges, language)
        if self._model.count(prompt) + MODEL_TOKENS > self._model.window:
            return ""  # too long for the model: the caller falls back to selection
        thinking = WithoutThinking()
        chunks = streamed(self._model.chat, prompt, adapter=None, max_tokens=MODEL_TOKENS, temperature=0.0)
        async with aclosing(chunks):
            pieces = [thinking.feed(chunk.text) async for chunk in chunks]
        return _complete_sentences("".join([*pieces, thinking.finish()]))


def selected(summary: str, exchanges: Sequence[Exchange], budget: int = CHARACTERS) -> str:
    """A summary within ``budget`` characters, one line for each turn, oldest first.

    The newest turns keep question and answer, older ones only the question, and the oldest are dropped. The previous summary
    is used line by line; one that a model wrote, sentence by sentence.
    """
    lines = [*_lines(summary), *filter(None, map(_line, exchanges))]
    result: list[str] = []
    room = budget
    for line in reversed(lines):
        visible = line if len(line) <= room - budget // 3 or not result else line.partition(_THEN)[0]
        if len(visible) + 1 > room:
            break
        result.append(visible)
        room -= len(visible) + 1
    return "\n".join(reversed(result))


def _lines(summary: str) -> list[str]:
    return [line for part in summary.splitlines() for line in ([part] if _THEN in part else sentences(part))]


def _line(exchange: Exchange) -> str:
    """A turn as one line; "" if it was answered in the bot's own words, like a greeting."""
    if exchange.outcome == "small_talk":
        return ""
    question = _shorten(_one_line(exchange.question), QUESTION_CHARACTERS)
    return f"{question}{_THEN}{_finding(exchange.answer)}" if exchange.answered else question


def _finding(answer: str) -> str:
    """The first sentence of an answer, and the first one with a number or a name if the first has neither."""
    parts = [
        sentence for part in answer.split("\n\n") for sentence in sentences(_one_line(part)) if sentence[-1] != ":"
    ]
    if not parts:
        return "…"
    informative = next((part for part in parts if _INFORMATIVE.search(part)), parts[0])
    return _shorten(" ".join(dict.fromkeys((parts[0], informative))), ANSWER_CHARACTERS)


def _one_line(text: str) -> str:
    return " ".join(_MARKUP.sub("", _LINK.sub(r"\1", unmarked(cleaned(text)))).replace("→", "->").split())


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    return (head.rpartition(" ")[0] or head).rstrip(" ,;:") + "…"


def _complete_sentences(text: str) -> str:
    """A model's text, cut after its last complete sentence if it was interrupted or is too long."""
    text = " ".join(cleaned(text).split())
    if len(text) <= MODEL_CHARACTERS and text.endswith((".", "!", "?", "…", "»", "”", '"')):
        return text
    whole = sentences(text[:MODEL_CHARACTERS])[:-1]
    return " ".join(whole) or _shorten(text, MODEL_CHARACTERS)
