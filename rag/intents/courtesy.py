"""Recognises small talk (greetings, thanks, goodbyes, questions about the bot), which needs no documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rag.prompts.sentences import SmallTalk

LONGEST = 80
"""Most characters of small talk: a longer message also asks for something."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Courtesy:
    """The kind of small talk, and its language (ISO 639-1)."""

    kind: SmallTalk
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phrasebook:
    """The small talk of one language. Besides one of the ``phrases`` a message may contain only ``fillers``."""

    language: str
    phrases: Mapping[SmallTalk, tuple[str, ...]]
    fillers: frozenset[str]


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_PHRASEBOOKS = (
    _Phrasebook(
        language="en",
        phrases={
            "identity": (
                "who are you", "what are you", "who is this", "what can you do", "what do you do", "are you a bot",
                "are you human", "what's your name", "what is your name",
            ),
            "thanks": ("thanks", "thank you", "thx", "ty", "cheers", "much appreciated"),
            "goodbye": ("bye", "goodbye", "see you", "good night", "see ya"),
            "greeting": ("hello", "hi", "hey", "good morning", "good afternoon", "good evening", "how are you"),
        },
        fillers=_words(
    """
    a again all and answer awesome bot bye cotorra everyone for good great have help helped helpful hello hey hi
    it lot many much nice now ok okay perfect quick so team that that's the there this very was works you your day
    one
    """
),
    ),
    _Phrasebook(
        language="es",
        phrases={
            "identity": (
                "quién eres", "quien eres", "qué eres", "que eres", "qué puedes hacer", "que puedes hacer", "qué haces",
                "que haces", "eres un bot", "eres humano", "cómo te llamas", "como te llamas",
            ),
            "thanks": ("gracias", "muchas gracias", "mil gracias", "te lo agradezco"),
            "goodbye": ("adiós", "adios", "hasta luego", "hasta mañana", "chao", "chau", "nos vemos"),
            "greeting": (
                "hola", "buenos días", "buenos dias", "buen día", "buenas", "buenas tardes", "buenas noches", "saludos",
                "qué tal", "que tal", "cómo estás", "como estas",
            ),
        },
        fillers=_words(
    """
    a ahora amigo ayuda bien bot cotorra de día días el equipo está funciona genial ha hola la lo me muchas muy ok
    oye perfecto por qué respuesta servido tal tan tardes te todo todos tu tus un vale y ya
    """
),
    ),
)  # fmt: skip


def recognise(text: str) -> Courtesy | None:
    """The small talk that makes up the whole text, or None."""
    words = _WORD.findall(text.lower().replace("’", "'")[: LONGEST + 1])
    if not words or len(text) > LONGEST:
        return None
    normalized = " ".join(words)
    for phrasebook in _PHRASEBOOKS:
        for kind, phrases in phrasebook.phrases.items():
            if any(_is_only(normalized, phrase, phrasebook.fillers) for phrase in phrases):
                return Courtesy(kind=kind, language=phrasebook.language)
    return None


def _is_only(normalized: str, phrase: str, fillers: frozenset[str]) -> bool:
    before, matched, after = f" {normalized} ".partition(f" {phrase} ")
    return bool(matched) and all(word in fillers for word in (before + " " + after).split())
