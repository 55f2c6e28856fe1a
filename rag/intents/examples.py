"""The labelled messages that intents are learnt from, kept as data in ``examples.jsonl``."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rag.intents.intent import NONE, Heard, Intent

FILE = Path(__file__).with_name("examples.jsonl")

_NO_WORD = re.compile(r"[^\w\s']")
_MODIFIERS = re.compile("[\ufe00-\ufe0f\u200d\U0001f3fb-\U0001f3ff\\s]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A message, its language (ISO 639-1) and its label: an intent, or ``none`` for an ordinary question."""

    intent: Intent | None
    language: str
    text: str


@cache
def read_examples() -> tuple[Example, ...]:
    """All examples, in the order of the file."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return tuple(
        Example(intent=None if row["intent"] == NONE else row["intent"], language=row["language"], text=row["text"])
        for row in rows
    )


def normalized(text: str) -> str:
    """The words of a text in lower case without accents and punctuation; of one without words, its different signs."""
    bare = "".join(char for char in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(char))
    words = _NO_WORD.sub(" ", bare.replace("’", "'")).split()
    return " ".join(words) or "".join(dict.fromkeys(_MODIFIERS.sub("", text)))


@cache
def known_messages() -> Mapping[str, Heard]:
    """The examples by their normalized text, without those that are labelled differently in another place."""
    known: dict[str, set[tuple[Intent | None, str]]] = {}
    for example in read_examples():
        known.setdefault(normalized(example.text), set()).add((example.intent, example.language))
    return {text: heard for text, labels in known.items() if (heard := _heard(text, tuple(labels)))}


def _heard(text: str, labels: Sequence[tuple[Intent | None, str]]) -> Heard | None:
    intents, languages = ({label[place] for label in labels} for place in (0, 1))
    intent = labels[0][0]
    if intent is None or len(intents) > 1:
        return None
    certain = len(languages) == 1 and any(map(str.isalpha, text))
    return Heard(intent=intent, language=labels[0][1] if certain else "")
