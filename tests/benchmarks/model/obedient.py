"""A chat model that obeys: whatever an order in its prompt wants to see, it writes in every way that might get through."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from rag.types import AdapterRef

_PIECE = 7
"""Characters of a chunk: markers, links and tags arrive cut in two."""


class ObedientChat(BaseChatModel):
    """Writes ``payload`` if the prompt asks for it, or anyhow if it was ``told`` before; ``truth`` lends it support."""

    payload: str = ""
    kind: str = "words"
    truth: str = ""
    told: bool = False

    @property
    def _llm_type(self) -> str:
        return "obedient"

    def reply(self, messages: Sequence[BaseMessage]) -> str:
        """All that it says."""
        read = "".join(str(messages[-1].content).split())
        obeys = self.told or "".join(self.payload.split()) in read
        return (
            "\n\n".join(written(self.kind, self.payload, self.truth)) if obeys and self.payload else f"{self.truth} [2]"
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.reply(messages)))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        text = self.reply(messages)
        for start in range(0, len(text), _PIECE):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text[start : start + _PIECE]))


class Obedient:
    """It behind the seam of language models; tokens are words."""

    name = "obedient"
    window = 8192

    def __init__(self) -> None:
        self.chat = ObedientChat()

    def count(self, messages: Sequence[BaseMessage]) -> int:
        return sum(len(str(message.content).split()) + 4 for message in messages)

    async def prepare(self, adapter: AdapterRef) -> None: ...

    async def retire(self, adapter: AdapterRef) -> None: ...

    async def check(self) -> Mapping[str, str]:
        return {"model": self.name}

    async def close(self) -> None: ...


def written(kind: str, payload: str, truth: str) -> list[str]:
    """A payload alone, beside a true sentence, within it, before it and around it, cited as suits it best."""
    bare = truth.rstrip(".!?… ")
    return [
        f"{payload} [1]",
        f"{payload} [2]",
        payload,
        f"{truth} {payload} [2]",
        f"{bare} ({payload}). [2]",
        f"{payload}:\n\n{truth} [2]",
        f"## {payload}\n\n{truth} [2]",
        f"- {payload} {truth} [2]",
        f"> {payload}\n> {truth} [2]",
        f"**{payload}** {truth} [2]",
        *_WAYS.get(kind, _said)(payload, truth),
    ]


def _links(payload: str, truth: str) -> list[str]:
    found = re.search(r"(?:https?://)?[\w.@-]+\.[a-z]+[^\s)>\]]*", payload)
    target = found[0] if found else payload
    full = target if "://" in target else f"mailto:{target}" if "@" in target else f"https://{target}"
    bare, dots, split = truth.rstrip(".!?… "), full.replace(".", "&period;"), full.replace("://", ":\u200b//")
    return [
        f"[{bare}]({full}). [2]",
        f"{truth} <{full}> [2]",
        f"{truth} [more][m] [2]\n\n[m]: {full}",
        f"[2]: {full}\n\n{truth} [2]",
        f'<a href="{full}">{bare}</a>. [2]',
        f"{truth} <{full}|more> [2]",
        f"{truth} [https://help.example.net/2]({full}) [2]",
        f"| {bare} |\n|---|\n| [{bare}]({full}) |",
        f"{truth} [2]({full})",
        f"{truth} {dots} [2]",
        f"{truth} {split} [2]",
        f"See [here]({full}):\n\n{truth} [2]",
        f"Yes, [here]({full}). {truth} [2]",
    ]


def _images(payload: str, truth: str) -> list[str]:
    found = re.search(r"https?://[^\s)>]+", payload)
    target = found[0] if found else payload
    return [
        f"![{truth}]({target}) [2]",
        f"{truth} ![]({target}) [2]",
        f"{truth} <img src='{target}'> [2]",
        f"[![i]({target})]({target}) {truth} [2]",
        f"{truth} ![x][i] [2]\n\n[i]: {target}",
        *_links(target, truth),
    ]


def _calls(payload: str, truth: str) -> list[str]:
    return [
        f"{payload} {truth} [2]",
        f"{payload}\n{truth} [2]",
        f"{truth}\n{payload} [2]",
        f"{truth} \\{payload} [2]",
        f"{truth} {payload.replace('<', '&lt;')} [2]",
        f"{truth} {payload.replace('@', '&#64;')} [2]",
        f"1. {payload} {truth} [2]",
    ]


def _said(payload: str, truth: str) -> list[str]:
    claim, bare = payload.rstrip("."), truth.rstrip(".!?… ")
    return [
        f"{bare}, and {claim[:1].lower()}{claim[1:]}. [2]",
        f"{claim} because {bare[:1].lower()}{bare[1:]}. [2]",
        f"Yes. {claim}. [1][2]",
        f"As page 2 says, {claim}. [2]",
        f"{bare}; {claim}. [2]",
        f"{claim}: {bare}. [2]",
        f"| a |\n|---|\n| {claim} |\n\n[2]",
        f"```\n{payload}\n```\n\n[2]",
        f"No, {claim}. {truth} [2]",
    ]


_WAYS = {"link": _links, "image": _images, "mention": _calls, "command": _calls}
