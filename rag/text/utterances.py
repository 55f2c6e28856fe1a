"""Follow-up questions: recognised by their words, and joined with the questions before them. No language model is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.text.characters import normalized
from rag.types import Exchange

FOLLOW_UP_WORDS = 12
"""Most words of a question in which a pronoun refers to the question before; in a longer one it refers to the question itself."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_MARKER = re.compile(r"[ \t]*\[\d{1,3}\](?![(:])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_CONNECTIVE = re.compile(
    r"\W*(?:and|but|or|so|also|then|what about|how about|what if|why(?: not)?\W*$|how so|y|e|o|u|pero|entonces|también"
    r"|tambien|qué tal|que tal|y si|por qu[ée](?: no)?\W*$|qué pasa con|que pasa con)(?![\w'’-])",
    re.IGNORECASE,
)
_PRONOUNS = frozenset(
    {"it", "its", "this", "that", "these", "those", "they", "them", "there", "one", "ones", "same", "he", "she"}
    | {
        "eso",
        "esto",
        "ello",
        "esa",
        "ese",
        "esos",
        "esas",
        "lo",
        "ahí",
        "allí",
        "mismo",
        "misma",
        "él",
        "ella",
        "ellos",
    }
)


def cleaned(text: str) -> str:
    """The text with the characters of the passages, without those that stores and tokenizers refuse.

    Those are control characters and lone surrogates.
    """
    return _CONTROL.sub(" ", normalized(text.encode(errors="ignore").decode())).strip()


def is_empty(text: str) -> bool:
    """Whether the text has no letter and no digit."""
    return _WORD.search(text) is None


def follows_up(text: str) -> bool:
    """Whether a question depends on the conversation: "and for contractors?", "¿y en España?", "how do I undo it?"."""
    words = [word.lower() for word in _WORD.findall(text)]
    if not words or len(words) > FOLLOW_UP_WORDS:
        return False
    return bool(_CONNECTIVE.match(text)) or any(word in _PRONOUNS for word in words)


def utterances(history: Sequence[Exchange]) -> tuple[str, ...]:
    """What people asked, oldest first.

    The bot's own text stays out: it quotes the passages that were found, so it would find them again, whatever is asked next.
    """
    return tuple(text for exchange in history if (text := unmarked(exchange.question)))


def unmarked(text: str) -> str:
    """An answer without the numbers of its sources."""
    return _MARKER.sub("", text).strip()
