"""The fixed sentences of the chain, in English and Spanish."""

from __future__ import annotations

import re
from math import ceil
from typing import Literal

from rag.types import Passage, Source

Rest = Literal["steps", "items", "rows", "code"]
"""What an answer leaves out of a quote that is too long."""
Sentence = Literal[
    "greeting", "thanks", "goodbye", "acknowledgement", "identity", "abilities", "from_sources", "no_documents",
    "asked_before", "asked_nothing", "so_far", "nothing_to_repeat", "no_notes", "offer_gone", "empty",
    "unknown", "closest", "instead", "reword", "according", "also",
    "person", "quoted", "busy", "cut_off", "too_long", "stopped",
]  # fmt: skip

_ENGLISH: dict[Sentence, str] = {
    "greeting": "Hello! Ask me anything about the documents I know; I answer from them and show where it stands.",
    "thanks": "You're welcome!",
    "goodbye": "Goodbye! Write whenever you have another question.",
    "identity": (
        "I'm Cotorra, a bot. I answer questions from your organisation's documents, quote the place where the answer "
        "stands, and say so when I don't find it."
    ),
    "acknowledgement": "All right. Write whenever you have a question.",
    "abilities": (
        "I answer questions from your organisation's documents. Ask in your own words, in English or Spanish, for example "
        "“How do I …?”; you can ask further about an answer. I quote the documents and show where each answer stands; when I "
        "don't find one, I say so. You can also ask which documents I know, what you asked before, or for a person."
    ),
    "from_sources": "My answers come only from these sources of documents:",
    "no_documents": "My answers come only from documents, and there are none here yet that you may read.",
    "asked_before": "You asked here before:",
    "asked_nothing": "I remember nothing that you asked here before.",
    "so_far": "This is what we talked about so far:",
    "nothing_to_repeat": "There is no answer in this conversation yet that I could repeat.",
    "no_notes": (
        "I keep no notes about you here. I only remember the last messages of a conversation, so that you can ask further; "
        "the command **forget** deletes them."
    ),
    "offer_gone": "I can no longer find the page that I offered.",
    "empty": "I found no question in your message. Write it in words, for example: “How do I …?”",
    "unknown": "I could not find this in the documents, so I won't guess.",
    "closest": "The closest page is {page}.",
    "instead": "I can tell you what it says if you ask about it.",
    "reword": "Ask again with a name or a word that the documents would use, and I will look again.",
    "according": "According to **{page}**:",
    "also": "Also, in **{page}**:",
    "person": "You would like to talk to a person.",
    "quoted": "I cannot write an answer of my own right now, so these are the documents' words.",
    "busy": (
        "I am writing many answers right now; in about {seconds} s I can write one for you. "
        "Meanwhile, these are the documents' words."
    ),
    "cut_off": "_My answer ends here because of a fault on my side, so something may be missing. Please ask again._",
    "too_long": "_My answer ends here because it got too long. Ask about the part you need._",
    "stopped": "_I stopped here because you wrote again._",
}
_SPANISH: dict[Sentence, str] = {
    "greeting": "¡Hola! Pregúntame lo que quieras sobre los documentos que conozco; respondo con ellos y los cito.",
    "thanks": "¡De nada!",
    "goodbye": "¡Hasta luego! Escríbeme cuando tengas otra pregunta.",
    "identity": (
        "Soy Cotorra, un bot. Respondo preguntas con los documentos de tu organización, cito el lugar donde está la "
        "respuesta y lo digo cuando no la encuentro."
    ),
    "acknowledgement": "De acuerdo. Escríbeme cuando tengas una pregunta.",
    "abilities": (
        "Respondo preguntas con los documentos de tu organización. Pregunta con tus palabras, en español o en inglés, por "
        "ejemplo «¿Cómo puedo …?»; después puedes seguir preguntando. Cito los documentos y muestro dónde está cada respuesta; "
        "si no la encuentro, lo digo. También puedes preguntarme qué documentos conozco o qué me preguntaste antes, o pedir "
        "que te atienda una persona."
    ),
    "from_sources": "Mis respuestas salen únicamente de estas fuentes de documentos:",
    "no_documents": "Mis respuestas salen únicamente de documentos, y aquí todavía no hay ninguno que puedas leer.",
    "asked_before": "Esto es lo que me has preguntado aquí:",
    "asked_nothing": "No recuerdo que me hayas preguntado nada antes en esta conversación.",
    "so_far": "Esto es lo que hemos hablado hasta ahora:",
    "nothing_to_repeat": "En esta conversación todavía no hay ninguna respuesta que pueda repetir.",
    "no_notes": (
        "Aquí no guardo notas sobre ti. Solo recuerdo los últimos mensajes de cada conversación, para que puedas seguir "
        "preguntando; la orden **forget** los borra."
    ),
    "offer_gone": "Ya no encuentro la página que te ofrecí.",
    "empty": "No he encontrado ninguna pregunta en tu mensaje. Escríbela con palabras, por ejemplo: «¿Cómo puedo …?»",
    "unknown": "No he encontrado esto en los documentos y prefiero no adivinar.",
    "closest": "La página más cercana es {page}.",
    "instead": "Si me preguntas por ella, te cuento lo que dice.",
    "reword": "Pregúntame otra vez con un nombre o una palabra que usarían los documentos y vuelvo a buscar.",
    "according": "Según **{page}**:",
    "also": "Además, en **{page}**:",
    "person": "Quieres hablar con una persona.",
    "quoted": "Ahora mismo no puedo redactar una respuesta propia, así que esto es lo que dicen los documentos.",
    "busy": (
        "Ahora mismo estoy redactando muchas respuestas; en unos {seconds} s podré redactar la tuya. "
        "Mientras tanto, esto es lo que dicen los documentos."
    ),
    "cut_off": "_Mi respuesta acaba aquí por un fallo mío, así que puede faltar algo. Vuelve a preguntarme, por favor._",
    "too_long": "_Mi respuesta acaba aquí porque se estaba alargando demasiado. Pregúntame por la parte que necesites._",
    "stopped": "_He parado aquí porque has vuelto a escribir._",
}


def say(language: str, sentence: Sentence, *, page: str = "", seconds: float = 0) -> str:
    """A sentence in Spanish or, for any other language, in English; ``page`` (Markdown) and ``seconds`` fill its placeholders."""
    texts = _SPANISH if language == "es" else _ENGLISH
    # replace and not format: a page's title may contain braces
    return texts[sentence].replace("{page}", page).replace("{seconds}", str(ceil(seconds)))


def abstention(language: str, closest: Passage | None) -> str:
    """Says that the documents do not answer, which page is closest (with a link if it has one), and what may help."""
    unknown = say(language, "unknown")
    if closest is None:
        return f"{unknown} {say(language, 'reword')}"
    return f"{unknown} {say(language, 'closest', page=_linked(closest))} {say(language, 'instead')}"


_RESTS: dict[str, dict[Rest, tuple[str, str]]] = {
    "en": {
        "steps": ("… 1 more step: {page}", "… {count} more steps: {page}"),
        "items": ("… 1 more item: {page}", "… {count} more items: {page}"),
        "rows": ("… 1 more row: {page}", "… {count} more rows: {page}"),
        "code": ("… more of this code: {page}",) * 2,
    },
    "es": {
        "steps": ("… 1 paso más: {page}", "… {count} pasos más: {page}"),
        "items": ("… 1 punto más: {page}", "… {count} puntos más: {page}"),
        "rows": ("… 1 fila más: {page}", "… {count} filas más: {page}"),
        "code": ("… el código sigue en {page}",) * 2,
    },
}


def the_rest(language: str, rest: Rest, count: int, passage: Passage) -> str:
    """The sign that a quote goes on, how much, and where: "… 4 more steps: [Installing: Linux](<https://…>)"."""
    texts = _RESTS["es" if language == "es" else "en"][rest]
    return texts[count != 1].replace("{count}", str(count)).replace("{page}", _linked(passage))


_MONTHS = {
    "en": (
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    "es": (
        "enero", "febrero", "marzo", "abril", "mayo", "junio",
        "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
    ),
}  # fmt: skip


def dated(title: str, passage: Passage, language: str) -> str:
    """A source's title with the day of the page's last change, where that is known: "Holidays (updated 3 May 2026)"."""
    changed = passage.updated_at
    if changed is None:
        return title
    month = _MONTHS["es" if language == "es" else "en"][changed.month - 1]
    if language == "es":
        return f"{title} (actualizado el {changed.day} de {month} de {changed.year})"
    return f"{title} (updated {changed.day} {month} {changed.year})"


def _linked(passage: Passage) -> str:
    """The titles of page and section, as a link if there is one that a reader can open."""
    title = plain(Source(number=1, passage=passage, score=0.0).title)
    is_link = passage.url.startswith(("http://", "https://")) and not re.search(r"[<>\s]", passage.url)
    return f"[{title}](<{passage.url}>)" if is_link else f"**{title}**"


def plain(title: str) -> str:
    """Markdown that shows exactly the characters of a title."""
    return "".join(f"\\{char}" if char in r"\`*_[]<>" else char for char in title)


SENTENCES: tuple[Sentence, ...] = tuple(_ENGLISH)
