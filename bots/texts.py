"""Sentences of the service to people, in English and Spanish. Those of answers are in ``rag/prompts``."""

from __future__ import annotations

from typing import Literal

Key = Literal[
    "help",
    "start",
    "new",
    "forgotten",
    "forgotten_own",
    "nothing_to_forget",
    "forget_all_refused",
    "no_sources",
    "sources",
    "limited",
    "too_long",
    "failed",
    "unknown_command",
    "attachments",
    "empty",
    "person_asked",
    "person_waiting",
    "nobody",
    "nobody_reached",
    "resumed",
]

_ENGLISH: dict[Key, str] = {
    "start": "Hello! I answer questions from the documents and show where each answer comes from. {help}",
    "help": (
        "Ask me anything that the documents may answer; I quote them and list the sources, and I say so when they do not "
        "tell.\n\n- **new**: start over; I forget what we talked about here.\n- **forget**: delete your messages and my "
        "answers to them.\n- **sources**: where the last answer came from.\n- **person**: talk to a person.\n"
        "- **help**: this text."
    ),
    "new": "Done. We start from scratch.",
    "forgotten": "Done. Everything said in this conversation is deleted.",
    "forgotten_own": "Done. Your messages here and my answers to them are deleted. Other people's words stay.",
    "nothing_to_forget": "There was nothing of yours to delete here.",
    "forget_all_refused": "Only an admin can delete everybody's words. Use **forget** to delete your own.",
    "no_sources": "There is no answer with sources in this conversation yet.",
    "sources": "The last answer came from:",
    "limited": "That is faster than I can answer. Please wait a minute and ask again.",
    "too_long": "That message is too long for me ({length} characters; {limit} at most). Please shorten it and ask again.",
    "failed": "Sorry, I could not answer this because of a fault on my side. Please try again; reference {reference}.",
    "unknown_command": "I do not know that command. {help}",
    "attachments": "I cannot read attached files, so I did not look at: {names}.",
    "empty": "I can only read text. Please write your question.",
    "person_asked": (
        "I have asked a person to take over, and I will be quiet here until they are done. "
        "To go on with me instead, write **new**."
    ),
    "person_waiting": "A person was asked to take over here, so I am quiet. To go on with me instead, write **new**.",
    "nobody": "There is nobody whom I could ask to come. You can go on asking me.",
    "nobody_reached": "I tried to ask a person to come, but I could not reach anybody. You can go on asking me.",
    "resumed": "I am back and answer here again.",
}

_SPANISH: dict[Key, str] = {
    "start": "¡Hola! Respondo preguntas a partir de los documentos y muestro de dónde sale cada respuesta. {help}",
    "help": (
        "Pregúntame lo que quieras sobre los documentos: los cito, indico las fuentes y, si no dicen nada, lo aviso.\n\n"
        "- **new**: empezar de cero; olvido lo que hemos hablado aquí.\n- **forget**: borrar tus mensajes y mis respuestas.\n"
        "- **sources**: de dónde salió la última respuesta.\n- **person**: hablar con una persona.\n- **help**: este texto."
    ),
    "new": "Listo. Empezamos de cero.",
    "forgotten": "Listo. Se ha borrado todo lo dicho en esta conversación.",
    "forgotten_own": "Listo. Se han borrado tus mensajes y mis respuestas. Lo que dijeron los demás se conserva.",
    "nothing_to_forget": "Aquí no había nada tuyo que borrar.",
    "forget_all_refused": "Solo un administrador puede borrar lo que dijeron los demás. Usa **forget** para borrar lo tuyo.",
    "no_sources": "En esta conversación aún no hay ninguna respuesta con fuentes.",
    "sources": "La última respuesta salió de:",
    "limited": "Vas más rápido de lo que puedo responder. Espera un minuto y vuelve a preguntar.",
    "too_long": "Ese mensaje es demasiado largo ({length} caracteres; el máximo es {limit}). Acórtalo y vuelve a preguntar.",
    "failed": "Lo siento, no he podido responder por un fallo mío. Inténtalo de nuevo; referencia {reference}.",
    "unknown_command": "No conozco esa orden. {help}",
    "attachments": "No puedo leer archivos adjuntos, así que no he mirado: {names}.",
    "empty": "Solo puedo leer texto. Escribe tu pregunta, por favor.",
    "person_asked": (
        "He avisado a una persona para que siga contigo y no diré nada más aquí hasta que termine. "
        "Si prefieres seguir conmigo, escribe **new**."
    ),
    "person_waiting": (
        "Ya he avisado a una persona para que siga contigo, así que aquí no respondo. "
        "Si prefieres seguir conmigo, escribe **new**."
    ),
    "nobody": "No tengo a nadie a quien avisar. Puedes seguir preguntándome.",
    "nobody_reached": "He intentado avisar a una persona, pero no he podido localizar a nadie. Puedes seguir preguntándome.",
    "resumed": "Ya estoy de vuelta y vuelvo a responder aquí.",
}


def say(language: str | None, key: Key, **values: object) -> str:
    """The sentence in Spanish for ``es`` (and its regions), in English for everything else."""
    # "es-419" and "es-MX" are Spanish too.
    texts = _SPANISH if (language or "").lower().startswith("es") else _ENGLISH
    return texts[key].format(help=texts["help"], **values)
