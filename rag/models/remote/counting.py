"""Estimates the tokens of a prompt for servers whose tokenizer is not available here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_core.messages import BaseMessage

MESSAGE_TOKENS = 8
"""Tokens that a chat template adds to each message: its role and two or three markers."""
SHORT = 4
"""Letters of a word that is one token. A word with a capital inside (identifier, key, upper case) has a token per 2 letters."""
_PARTS = re.compile(
    r"(?P<word>[A-Za-z\u00c0-\u024f]+)|(?P<space>[ \t]+)|(?P<digit>\d)|(?P<ascii>[\x00-\x7f])|(?P<other>.)", re.DOTALL
)
_CAPITAL_INSIDE = re.compile(r"(?<=.)[A-Z]")


def estimate(messages: Sequence[BaseMessage]) -> int:
    """Estimated tokens of a prompt, rather too high: a server refuses a prompt that is too long.

    It counts one token for a short word and one for every three letters of a longer one, one more for every accent, one for
    each digit and punctuation mark, and one for each byte of another script. On the handbook the estimate is 1.45 times the
    count of all-MiniLM-L6-v2's tokenizer (30,000 English pieces) for English, 1.17 times for Spanish, and in no paragraph
    below 0.9 times.
    """
    return MESSAGE_TOKENS + sum(MESSAGE_TOKENS + tokens(message.text) for message in messages)


def tokens(text: str) -> int:
    """Estimated tokens of a text without a chat template."""
    return sum(_cost(part.lastgroup or "", part.group()) for part in _PARTS.finditer(text))


def _cost(kind: str, part: str) -> int:
    match kind:
        case "word":
            letters = 2 if _CAPITAL_INSIDE.search(part) else 3 if len(part) > SHORT else SHORT
            return -(-len(part) // letters) + sum(letter > "\x7f" for letter in part)
        case "space":
            return len(part) // 2  # a single space before a word belongs to the word's token
        case "digit" | "ascii":
            return 1
        case _:
            return len(part.encode("utf-8", "surrogatepass"))
