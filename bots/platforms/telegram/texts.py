"""Interface texts in Telegram (command menu, buttons, prompts), in English and Spanish."""

from __future__ import annotations

from typing import Literal

Reason = Literal["wrong", "incomplete", "outdated", "not_my_question", "other"]
REASONS: dict[str, Reason] = {
    "w": "wrong",
    "i": "incomplete",
    "o": "outdated",
    "n": "not_my_question",
    "x": "other",
}
"""Reasons by their letter in the data of a button, which Telegram limits to 64 bytes."""

LANGUAGES = ("en", "es")

_ENGLISH = {
    "sources": "Sources",
    "thanks": "Thank you!",
    "why": "Thank you. What was wrong with it?",
    "wrong": "It is wrong",
    "incomplete": "It is incomplete",
    "outdated": "It is outdated",
    "not_my_question": "Not what I asked",
    "other": "Something else",
    "explain": "What would have been a better answer? Reply to this message, or just go on asking.",
    "noted": "Thank you, noted.",
    "photo": "photo",
    "video": "video",
    "audio": "audio",
    "voice": "voice message",
    "document": "file",
    "sticker": "sticker",
    "animation": "animation",
    "location": "location",
    "contact": "contact",
    "poll": "poll",
    "short": "Answers from the documents, with sources",
    "description": (
        "Ask me in your own words; I answer from the documents and show where each answer comes from. "
        "I keep our last exchanges so that you can ask further; /forget deletes them."
    ),
}

_SPANISH = {
    "sources": "Fuentes",
    "thanks": "¡Gracias!",
    "why": "Gracias. ¿Qué le pasaba a la respuesta?",
    "wrong": "Es incorrecta",
    "incomplete": "Está incompleta",
    "outdated": "Está desactualizada",
    "not_my_question": "No es lo que pregunté",
    "other": "Otra cosa",
    "explain": "¿Qué respuesta habría sido mejor? Responde a este mensaje o, si prefieres, sigue preguntando.",
    "noted": "Gracias, anotado.",
    "photo": "foto",
    "video": "vídeo",
    "audio": "audio",
    "voice": "mensaje de voz",
    "document": "archivo",
    "sticker": "pegatina",
    "animation": "animación",
    "location": "ubicación",
    "contact": "contacto",
    "poll": "encuesta",
    "short": "Respuestas a partir de los documentos, con sus fuentes",
    "description": (
        "Pregúntame con tus palabras: respondo a partir de los documentos y muestro de dónde sale cada respuesta. "
        "Guardo lo último que hemos hablado para que puedas seguir preguntando; /forget lo borra."
    ),
}

_MENU: dict[str, dict[str, str]] = {
    "en": {
        "start": "What I can do",
        "help": "How to ask, and what I understand",
        "new": "Start over with an empty memory",
        "forget": "Delete what you said here and my answers",
        "sources": "Where the last answer came from",
        "person": "Talk to a person",
    },
    "es": {
        "start": "Qué puedo hacer",
        "help": "Cómo preguntar y qué entiendo",
        "new": "Empezar de nuevo, sin memoria",
        "forget": "Borrar lo que dijiste aquí y mis respuestas",
        "sources": "De dónde salió la última respuesta",
        "person": "Hablar con una persona",
    },
}

COMMANDS = tuple(_MENU["en"])


def say(language: str | None, key: str) -> str:
    """The text in Spanish for ``es`` (and its regions), in English for everything else. ``KeyError`` on an unknown key."""
    return (_SPANISH if interface_language(language) == "es" else _ENGLISH)[key]


def interface_language(language: str | None) -> str:
    """The one of ``LANGUAGES`` that a reader of ``language`` (an IETF tag) gets."""
    return "es" if (language or "").lower().startswith("es") else "en"


def menu(language: str, *, private: bool) -> list[tuple[str, str]]:
    """Commands with their descriptions. /start is for private chats only."""
    return [(name, text) for name, text in _MENU[language].items() if private or name != "start"]
