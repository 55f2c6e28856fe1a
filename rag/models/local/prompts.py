"""Messages to tokens through a model's own chat template: the same for serving, counting and training.

What people or documents wrote cannot end a turn: the tokens by which a template marks turns are taken apart where they stand
in a message's text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from rag.errors import ModelError

_ROLES = {"system": "system", "human": "user", "ai": "assistant"}
_PROBE = "cotorra"


class PromptTemplate:
    """The chat template of a tokenizer, with its peculiarities found out once."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                f"the model {name} has no chat template, so it cannot hold a conversation; take its instruct or chat version"
            )
        self._tokenizer, self._name = tokenizer, name
        self._marks = _marks(tokenizer)
        self._has_system = self._accepts([("system", _PROBE), ("user", _PROBE)])

    def tokens(self, messages: Sequence[BaseMessage], *, answer: bool = True) -> list[int]:
        """The tokens of a prompt, up to where the answer begins; without that if ``answer`` is false."""
        text = self._render(self._turns(messages), answer=answer)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def stops(self) -> frozenset[int]:
        """The special token that ends an answer in this template, if it has one."""
        text = self._render([("user", _PROBE), ("assistant", _PROBE)], answer=False)
        rest = text[text.rindex(_PROBE) + len(_PROBE) :]
        special = set(self._tokenizer.all_special_ids)
        ids = self._tokenizer(rest, add_special_tokens=False)["input_ids"]
        return frozenset([token for token in ids if token in special][:1])

    def _turns(self, messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
        """Role and text; a system message joins the first turn where the template knows none, and so do turns of one side."""
        turns: list[tuple[str, str]] = []
        for message in messages:
            role = _ROLES.get(message.type, "user")
            role = "user" if role == "system" and not self._has_system else role
            text = self._harmless(message.text)
            if turns and turns[-1][0] == role:
                turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
            else:
                turns.append((role, text))
        return turns

    def _harmless(self, text: str) -> str:
        return self._marks.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text) if self._marks else text

    def _accepts(self, turns: list[tuple[str, str]]) -> bool:
        try:
            return self._render(turns).count(_PROBE) == len(turns)
        except ModelError:
            return False

    def _render(self, turns: list[tuple[str, str]], *, answer: bool = True) -> str:
        messages = [{"role": role, "content": text} for role, text in turns]
        try:
            # A thinking model that is not told otherwise spends an answer's tokens on thoughts that nobody may see.
            return str(
                self._tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=answer, enable_thinking=False
                )
            )
        except Exception as exc:
            raise ModelError(f"the chat template of {self._name} does not take this conversation: {exc}") from exc


def _marks(tokenizer: Any) -> re.Pattern[str] | None:
    """Tokens that must not come from a message's text: the special ones, and those that the template itself writes."""
    template = str(tokenizer.chat_template)
    added = tokenizer.added_tokens_decoder.values()
    marks = {str(token.content) for token in added if token.special or token.content.strip() in template}
    marks |= {str(token) for token in tokenizer.all_special_tokens}
    marks = {mark for mark in marks if len(mark.strip()) > 1}
    ordered = sorted(marks, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None
