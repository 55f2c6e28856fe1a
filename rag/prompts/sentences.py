"""Every sentence that the chain says by itself, in English and Spanish."""

from __future__ import annotations

from typing import Literal

from rag.types import Passage, Source

SmallTalk = Literal["greeting", "thanks", "goodbye", "identity"]
Sentence = Literal[SmallTalk, "empty", "unknown", "closest", "instead", "reword", "according", "also"]

_ENGLISH: dict[Sentence, str] = {
    "greeting": "Hello! Ask me anything about the documents I know; I answer from them and show where it stands.",
    "thanks": "You're welcome!",
    "goodbye": "Goodbye! Write whenever you have another question.",
    "identity": (
        "I'm Cotorra, a bot. I answer questions from your organisation's documents, quote the place where the answer "
        "stands, and say so when I don't find it."
    ),
    "empty": "I found no question in your message. Write it in words, for example: “How do I …?”",
    "unknown": "I could not find this in the documents, so I won't guess.",
    "closest": "The closest page is {page}.",
    "instead": "I can tell you what it says if you ask about it.",
    "reword": "Ask again with a name or a word that the documents would use, and I will look again.",
    "according": "According to **{page}**:",
    "also": "Also, in **{page}**:",
}
_SPANISH: dict[Sentence, str] = {
    "greeting": "¡Hola! Pregúntame lo que quieras sobre los documentos que conozco; respondo con ellos y los cito.",
    "thanks": "¡De nada!",
    "goodbye": "¡Hasta luego! Escríbeme cuando tengas otra pregunta.",
    "identity": (
        "Soy Cotorra, un bot. Respondo preguntas con los documentos de tu organización, cito el lugar donde está la "
        "respuesta y lo digo cuando no la encuentro."
    ),
    "empty": "No he encontrado ninguna pregunta en tu mensaje. Escríbela con palabras, por ejemplo: «¿Cómo puedo …?»",
    "unknown": "No he encontrado esto en los documentos y prefiero no adivinar.",
    "closest": "La página más cercana es {page}.",
    "instead": "Si me preguntas por ella, te cuento lo que dice.",
    "reword": "Pregúntame otra vez con un nombre o una palabra que usarían los documentos y vuelvo a buscar.",
    "according": "Según **{page}**:",
    "also": "Además, en **{page}**:",
}


def say(language: str, sentence: Sentence, *, page: str = "") -> str:
    """A sentence in Spanish or, for every other language, in English. ``page`` fills the place of a page's name."""
    spoken = _SPANISH if language == "es" else _ENGLISH
    return spoken[sentence].replace("{page}", page)


def abstention(language: str, closest: Passage | None) -> str:
    """Says that the documents do not tell, which page comes closest, with its link where it has one, and what would help."""
    unknown = say(language, "unknown")
    if closest is None:
        return f"{unknown} {say(language, 'reword')}"
    title = plain(Source(number=1, passage=closest, score=0.0).title)
    linked = closest.url.startswith(("http://", "https://"))
    page = f"[{title}](<{closest.url}>)" if linked else f"**{title}**"
    return f"{unknown} {say(language, 'closest', page=page)} {say(language, 'instead')}"


def plain(title: str) -> str:
    """A title as Markdown that shows exactly its characters."""
    return "".join(f"\\{char}" if char in r"\`*_[]<>" else char for char in title)


SENTENCES: tuple[Sentence, ...] = tuple(_ENGLISH)
