"""Tokens to text while they come: never half a character, and the spaces as the whole text has them."""

from __future__ import annotations

from typing import Any

HALF = "\ufffd"
PATIENCE = 12
"""Tokens that may stand in for one character: after so many it is none, and what follows is not held back for it."""


class Speller:
    """Spells one reply. A token may be part of a character, and its text may depend on the tokens before it: so the tokens of
    the last piece that was shown are spelt again with each new one, and what they gave is taken off.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._context = 0

    def feed(self, token: int) -> str:
        """What may be shown after this token: nothing while a character is incomplete."""
        self._tokens.append(token)
        text = self._new()
        if not text or (text.endswith(HALF) and len(self._tokens) - self._context < PATIENCE):
            return ""
        return self._shown(text)

    def finish(self) -> str:
        """What was held back; what is no character at the very end is left out."""
        return self._shown(self._new().rstrip(HALF))

    def _new(self) -> str:
        known = self._spelt(self._tokens[: self._context])
        return self._spelt(self._tokens)[len(known) :]

    def _shown(self, text: str) -> str:
        self._tokens = self._tokens[self._context :]
        self._context = len(self._tokens)
        return text

    def _spelt(self, tokens: list[int]) -> str:
        if not tokens:
            return ""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))
