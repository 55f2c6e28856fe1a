"""Cuts the note out of a message that asks to remember something, and words the replies about notes.

Whether a message asks for that, the classifier has decided; a message out of which no note can be cut counts as a question,
because a question kept as a note would get no answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rag.intents.intent import NotesIntent
from rag.prompts.sentences import plain
from rag.text.utterances import cleaned

LONGEST = 200
"""Most characters of a note."""

_LONGEST_MESSAGE = 1000
"""Most characters of a message that can be a request about notes."""

NoteAction = Literal["remember", "forget", "list"]
Reply = Literal["remembered", "too_long", "forgotten", "none", "listed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteWish:
    """A request about the speaker's notes; ``text`` is the note to remember."""

    action: NoteAction
    language: str
    text: str = ""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.VERBOSE)


# "Note that" and "keep in mind that" also begin remarks on anything: only statements about the speaker count as notes.
_REMEMBER = {
    "en": _pattern(r"""
        (?:[^?:]{0,60}?[,:!.]?\ )??(?P<asked>(?:can|could|will|would)\ you\ )?(?:please\ )?
        (?:(?:remember|memori[sz]e)(?:\ this(?:\ about\ me)?)?(?:\ +that\ |\ *:\ *|\ (?=(?:i|i'm|im|i've|ive|my|we|we're|our)\ ))
          |(?:(?:save|store|keep|note|write|put)(?:\ (?:this|that|down|about\ me)){1,3}|make\ a\ note|keep\ a\ note)\ *:\ *
          |(?:note(?:\ down)?|take\ note|make\ a\ note|keep\ a\ note|write\ down|keep\ in\ mind|bear\ in\ mind|don't\ forget
           |do\ not\ forget|save|store)
           (?:\ +that\ |\ *:\ *|\ )(?=(?:i|i'm|im|i've|ive|my|we|we're|we've|our)\ ))
        (?P<note>\S.*)"""),
    "es": _pattern(r"""
        (?:¿?[^?:]{0,60}?[,:!.]?\ )??¿?(?P<asked>(?:puedes|podrías|podrias|puede|podría|podria)\ )?
        (?:(?:recuerda|recuerde|recordar|recuerdes|acuérdate\ de|acuerdate\ de|acuérdese\ de|memoriza)
           (?:\ esto)?(?:\ +(?:que|q|k)\ |\ *:\ *)
          |(?:guarda|apunta|anota|toma\ nota)(?:\ (?:esto|de\ esto|sobre\ mí|sobre\ mi|de\ mí|de\ mi)){0,3}\ *:\ *
          |(?:ten\ en\ cuenta|tenga\ en\ cuenta|apunta|apúntate|apunte|anota|anote|guarda|guárdate|toma\ nota\ de|no\ olvides
           |no\ olvide|no\ te\ olvides\ de|que\ no\ se\ te\ olvide)
           (?:\ +(?:que|q|k)\ |\ *:\ *)(?=(?:yo|mi|mis|me|nuestr[oa]s?|nos|no|ya|soy|estoy|tengo|trabajo|vivo|uso|prefiero|hablo
           |somos|estamos|tenemos|trabajamos|vivimos|usamos)\ ))
        (?P<note>\S.*)"""),
}

_REPLIES: dict[str, dict[Reply, str]] = {
    "en": {
        "remembered": "I'll remember this about you: “{note}”. To delete what I keep, write “forget my notes”.",
        "too_long": f"That is too long for a note: tell me in at most {LONGEST} characters.",
        "forgotten": "I have deleted your notes.",
        "none": "I have no notes about you.",
        "listed": "This is what you asked me to remember:",
    },
    "es": {
        "remembered": "Lo recordaré: «{note}». Para borrar lo que guardo sobre ti, escribe «olvida mis notas».",
        "too_long": f"Es demasiado largo para una nota: dímelo en {LONGEST} caracteres como máximo.",
        "forgotten": "He borrado tus notas.",
        "none": "No tengo ninguna nota sobre ti.",
        "listed": "Esto es lo que me has pedido que recuerde:",
    },
}


def note_in(text: str) -> str | None:
    """The words that ``text`` asks to remember, or None if they cannot be told for certain."""
    whole = " ".join(cleaned(text[: _LONGEST_MESSAGE + 1]).replace("’", "'").split())
    if len(whole) > _LONGEST_MESSAGE:
        return None
    for language in ("en", "es"):
        match = _REMEMBER[language].fullmatch(whole)
        if match is None or not re.search(r"\w", match["note"]):
            continue
        # "Could you remember that …?" asks for it; any other question mark may ask something else
        note = match["note"]
        if "?" in note and not (match["asked"] and note.endswith("?")):
            return None
        note = note.rstrip("?. ")
        return None if "?" in note else note
    return None


def wish_of(intent: NotesIntent, text: str, language: str) -> NoteWish | None:
    """The request about notes that a message with this intent makes; None if its note cannot be told."""
    match intent:
        case "notes_list":
            return NoteWish(action="list", language=language)
        case "notes_forget":
            return NoteWish(action="forget", language=language)
        case "notes_remember":
            note = note_in(text)
            return None if note is None else NoteWish(action="remember", language=language, text=note)


def reply_text(language: str, reply: Reply, notes: Sequence[str] = ()) -> str:
    """One reply, in Spanish or else English, with the notes that it repeats as plain text."""
    sentence = _REPLIES["es" if language == "es" else "en"][reply]
    escaped_notes = [plain(note) for note in notes]
    if reply == "listed":
        return "\n".join((sentence, "", *(f"- {note}" for note in escaped_notes)))
    return sentence.replace("{note}", escaped_notes[0] if escaped_notes else "")
