"""Incremental detokenizer: converts tokens to text while they arrive, in complete characters."""

from __future__ import annotations

from typing import Any

REPLACEMENT = "\ufffd"
LONGEST_CHARACTER = 12
"""The most tokens of one character; after so many the bytes are invalid, and the text is passed on as it is."""


class Detokenizer:
    """Decodes the tokens of one reply.

    A token may be a part of a character, and its text (a leading space) may depend on the tokens before it. So the tokens of
    the last piece are decoded again together with the new ones, and their text is cut off the result.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._context = 0

    def feed(self, token: int) -> str:
        """The new text after this token; "" while its last character is incomplete."""
        self._tokens.append(token)
        text = self._new_text()
        if not text or (text.endswith(REPLACEMENT) and len(self._tokens) - self._context < LONGEST_CHARACTER):
            return ""
        return self._emit(text)

    def finish(self) -> str:
        """The text that was kept back, without an incomplete character at its end."""
        return self._emit(self._new_text().rstrip(REPLACEMENT))

    def _new_text(self) -> str:
        context = self._decode(self._tokens[: self._context])
        return self._decode(self._tokens)[len(context) :]

    def _emit(self, text: str) -> str:
        self._tokens = self._tokens[self._context :]
        self._context = len(self._tokens)
        return text

    def _decode(self, tokens: list[int]) -> str:
        if not tokens:
            return ""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))
