"""Interface texts in Slack (buttons, labels, status lines, suggested prompts), in English and Spanish."""

from __future__ import annotations

from typing import Final, Literal

from rag.types import Stage

Reason = Literal["wrong", "incomplete", "outdated", "off_topic", "other"]
Word = Literal[
    Reason, "sources", "good", "bad", "share", "shared_by", "not_shared", "too_private", "too_old", "title", "submit",
    "cancel", "reason", "better", "prompts", "wants_person", "question", "summary", "last", "withheld", "resume", "silent_until",
    "resumed", "time", "asker", "nobody_came", "text_deleted", "in_private", "open",
]  # fmt: skip

_WORDS: Final[dict[Word, tuple[str, str]]] = {
    "sources": ("Sources", "Fuentes"),
    "good": ("Good answer", "Buena respuesta"),
    "bad": ("Bad answer", "Mala respuesta"),
    "share": ("Share in the channel", "Compartir en el canal"),
    "shared_by": ("Shared by", "Compartido por"),
    "not_shared": (
        "I could not post in this channel. Invite me to it, then try again.",
        "No he podido publicar en este canal. Invítame y vuelve a intentarlo.",
    ),
    "too_private": (
        "This answer uses pages that not everybody in this channel may read, so I keep it between us.",
        "Esta respuesta usa páginas que no todo el mundo en este canal puede leer, así que queda entre nosotros.",
    ),
    "too_old": ("This answer is too old to be shared. Ask again.", "Esta respuesta es muy antigua. Pregunta de nuevo."),
    "title": ("What was wrong?", "¿Qué falló?"),
    "submit": ("Send", "Enviar"),
    "cancel": ("Cancel", "Cancelar"),
    "reason": ("Reason", "Motivo"),
    "better": ("What would be a better answer?", "¿Cuál sería una respuesta mejor?"),
    "wrong": ("It is wrong", "Es incorrecta"),
    "incomplete": ("Something is missing", "Falta algo"),
    "outdated": ("It is out of date", "Está desactualizada"),
    "off_topic": ("It does not answer the question", "No responde a la pregunta"),
    "other": ("Something else", "Otra cosa"),
    "prompts": ("Things you can ask", "Cosas que puedes preguntar"),
    "wants_person": ("wants to talk to a person", "quiere hablar con una persona"),
    "in_private": ("in a conversation with the bot", "en una conversación con el bot"),
    "open": ("open the conversation", "abrir la conversación"),
    "question": ("Message", "Mensaje"),
    "summary": ("What it was about before", "De qué se habló antes"),
    "last": ("The last exchanges", "Lo último que se dijo"),
    "withheld": (
        "(the answer may use pages that not everybody here may read)",
        "(la respuesta puede usar páginas que no todos los de aquí pueden leer)",
    ),
    "resume": ("Resume the bot", "Reactivar el bot"),
    "silent_until": (
        "The bot is silent there until someone presses the button, until the person goes on with it, or until",
        "El bot no responde allí hasta que alguien pulse el botón, hasta que la persona siga con él o hasta",
    ),
    "resumed": ("The bot answers there again; resumed by", "El bot vuelve a responder allí; lo ha reactivado"),
    "time": ("The bot answers there again: the time was over", "El bot vuelve a responder allí: ha pasado el plazo"),
    "asker": (
        "The bot answers there again: the person went on with it",
        "El bot vuelve a responder allí: la persona siguió con él",
    ),
    "nobody_came": ("The bot answered there instead", "El bot respondió allí en su lugar"),
    "text_deleted": ("What was said has been deleted", "Lo que se dijo se ha borrado"),
}

_STATUS: Final[dict[Stage, tuple[str, str]]] = {
    "condense": ("is reading the conversation…", "está leyendo la conversación…"),
    "retrieve": ("is searching the documents…", "está buscando en los documentos…"),
    "answer": ("is writing the answer…", "está escribiendo la respuesta…"),
    "ground": ("is checking the sources…", "está comprobando las fuentes…"),
}

_PROMPTS: Final = (
    (("What can you do?", "What can you do?"), ("¿Qué sabes hacer?", "¿Qué sabes hacer?")),
    (
        ("What do you know about?", "Which documents do your answers come from?"),
        ("¿De qué sabes?", "¿De qué documentos salen tus respuestas?"),
    ),
    (
        ("What do you remember?", "What do you remember of our conversations?"),
        ("¿Qué recuerdas?", "¿Qué recuerdas de nuestras conversaciones?"),
    ),
)


def word(key: Word, language: str | None) -> str:
    """The text in Spanish for ``es`` and its regions, in English otherwise."""
    return _WORDS[key][_column(language)]


def status(stage: Stage, language: str | None) -> str:
    """The status line of a stage; Slack shows it after the bot's name."""
    return _STATUS[stage][_column(language)]


def prompts(language: str | None) -> list[dict[str, str]]:
    """Suggested prompts, as ``assistant.threads.setSuggestedPrompts`` takes them."""
    # The title is what the person sees, the message what is sent in their name when they choose it.
    chosen = [pair[_column(language)] for pair in _PROMPTS]
    return [{"title": title, "message": message} for title, message in chosen]


def _column(language: str | None) -> int:
    return 1 if (language or "").startswith("es") else 0
