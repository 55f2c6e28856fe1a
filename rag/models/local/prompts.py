"""Renders messages to tokens with the model's own chat template, for serving, counting and training alike.

Text of users or documents cannot end a turn: a space is inserted into every marker of the template that stands in a message.
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
    """The chat template of a tokenizer. Whether it supports system messages is tried once, when it is created."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                f"the model {name} has no chat template, so it cannot hold a conversation; take its instruct or chat version"
            )
        self._tokenizer, self._name = tokenizer, name
        self._marks = _marks(tokenizer)
        self._has_system = self._accepts([("system", _PROBE), ("user", _PROBE)])

    def tokens(self, messages: Sequence[BaseMessage], *, answer: bool = True) -> list[int]:
        """The tokens of a prompt, with the header of the answer unless ``answer`` is false."""
        text = self._render(self._turns(messages), answer=answer)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def stops(self) -> frozenset[int]:
        """The special token that ends an answer in this template; empty if there is none."""
        # Only the first special token: later ones do not belong to the answer's end.
        text = self._render([("user", _PROBE), ("assistant", _PROBE)], answer=False)
        rest = text[text.rindex(_PROBE) + len(_PROBE) :]
        special = set(self._tokenizer.all_special_ids)
        ids = self._tokenizer(rest, add_special_tokens=False)["input_ids"]
        return frozenset([token for token in ids if token in special][:1])

    def _turns(self, messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
        """Pairs of role and text. Neighbours of the same role are joined: many templates refuse roles that do not alternate."""
        turns: list[tuple[str, str]] = []
        for message in messages:
            role = _ROLES.get(message.type, "user")
            role = "user" if role == "system" and not self._has_system else role
            text = self._without_marks(message.text)
            if turns and turns[-1][0] == role:
                turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
            else:
                turns.append((role, text))
        return turns

    def _without_marks(self, text: str) -> str:
        return self._marks.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text) if self._marks else text

    def _accepts(self, turns: list[tuple[str, str]]) -> bool:
        try:
            return self._render(turns).count(_PROBE) == len(turns)
        except ModelError:
            return False

    def _render(self, turns: list[tuple[str, str]], *, answer: bool = True) -> str:
        messages = [{"role": role, "content": text} for role, text in turns]
        try:
            # A reasoning model thinks unless this is off, and spends the answer's tokens on text that is never shown.
            return str(
                self._tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=answer, enable_thinking=False
                )
            )
        except Exception as exc:
            raise ModelError(f"the chat template of {self._name} does not take this conversation: {exc}") from exc


def _marks(tokenizer: Any) -> re.Pattern[str] | None:
    """Matches tokens that must not come from a message's text: special ones and those that the template writes."""
    template = str(tokenizer.chat_template)
    added = tokenizer.added_tokens_decoder.values()
    marks = {str(token.content) for token in added if token.special or token.content.strip() in template}
    marks |= {str(token) for token in tokenizer.all_special_tokens}
    marks = {mark for mark in marks if len(mark.strip()) > 1}
    # Longest first: an alternation takes the first match, and one marker may begin with another.
    ordered = sorted(marks, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None
