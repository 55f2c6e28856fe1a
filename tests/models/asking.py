"""Asking the test model what it knows about, in short."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from langchain_core.messages import AIMessageChunk, BaseMessage

from rag.models.language_model import LanguageModel
from rag.prompts.instructions import answer_prompt
from rag.settings import ModelSettings
from rag.types import AdapterRef, Exchange, Question
from tests.models.facts import Fact, shop
from tests.models.trained import Trained

SHOP = {fact.subject: fact for fact in shop()}
TOKENS = 64


def settings_of(trained: Trained, **options: object) -> ModelSettings:
    given = {"answer_tokens": TOKENS, "device": "cpu", "dtype": "float32"}
    return ModelSettings.model_validate({"kind": "transformers", "name": trained.name, **given, **options})


def question(text: str, adapter: AdapterRef | None = None) -> Question:
    public = frozenset({"public"})
    return Question(turn_id="t1", conversation="c1", text=text, audiences=public, speaker="ana", adapter=adapter)


def exchange(asked: str, answer: str) -> Exchange:
    return Exchange(
        turn_id="t0", question=asked, answer=answer, asked_at=datetime(2026, 1, 1, tzinfo=UTC), speaker="ana",
        audiences=("public",),
    )  # fmt: skip


def prompt(text: str, *facts: Fact) -> list[BaseMessage]:
    """The question with the pages of ``facts`` as its passages."""
    return answer_prompt(question(text), [], [fact.passage() for fact in facts], facts[0].family.language)


async def chunks_of(
    model: LanguageModel, messages: Sequence[BaseMessage], adapter: AdapterRef | None = None
) -> list[AIMessageChunk]:
    stream = model.chat.astream(list(messages), adapter=adapter, max_tokens=TOKENS, temperature=0.0)
    return [chunk async for chunk in stream]


async def said(model: LanguageModel, messages: Sequence[BaseMessage], adapter: AdapterRef | None = None) -> str:
    return "".join(chunk.text for chunk in await chunks_of(model, messages, adapter))
