"""Recognises greetings, thanks and the like, which need no documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rag.prompts.sentences import SmallTalk

LONGEST = 80
"""Characters: longer than this, somebody wants something."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Courtesy:
    """What kind of small talk was heard, and in which language."""

    kind: SmallTalk
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manner:
    """``phrases`` make the kind; beside them a message may hold ``fillers`` and nothing else."""

    language: str
    phrases: Mapping[SmallTalk, tuple[str, ...]]
    fillers: frozenset[str]


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_MANNERS = (
    _Manner(
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
    _Manner(
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
    """The small talk that the whole text is made of, or None."""
    words = _WORD.findall(text.lower().replace("’", "'")[: LONGEST + 1])
    if not words or len(text) > LONGEST:
        return None
    spoken = " ".join(words)
    for manner in _MANNERS:
        for kind, phrases in manner.phrases.items():
            if any(_is_all(spoken, phrase, manner.fillers) for phrase in phrases):
                return Courtesy(kind=kind, language=manner.language)
    return None


def _is_all(spoken: str, phrase: str, fillers: frozenset[str]) -> bool:
    before, found, after = f" {spoken} ".partition(f" {phrase} ")
    return bool(found) and all(word in fillers for word in (before + " " + after).split())
