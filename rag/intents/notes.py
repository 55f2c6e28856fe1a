"""Recognises requests about personal notes (remember, list, forget), in English and Spanish, and words the replies.

A doubtful case counts as a question: a question kept as a note would get no answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
        (?:(?:please|ok|okay|hi|hello|hey|cotorra|(?:can|could)\ you)[,:]?\ +){0,3}
        (?:remember(?:\ this)?(?:\ +that\ |\ *:\ *|\ (?=(?:i|i'm|i've|my|we|we're|our)\ ))
          |(?:note|keep\ in\ mind|bear\ in\ mind|don't\ forget|do\ not\ forget)
           (?:\ +that\ |\ *:\ *|\ )(?=(?:i|i'm|i've|my|we|we're|we've|our)\ ))
        (?P<note>\S.*)"""),
    "es": _pattern(r"""
        (?:(?:por\ favor|vale|hola|oye|cotorra|(?:puedes|podrías))[,:]?\ +){0,3}
        (?:(?:recuerda|recuerde|recordar|acuérdate\ de|acuerdate\ de|acuérdese\ de)(?:\ +que\ |\ *:\ *)
          |(?:ten\ en\ cuenta|tenga\ en\ cuenta|apunta|apunte|anota|anote|no\ olvides|no\ olvide|no\ te\ olvides\ de)
           (?:\ +que\ |\ *:\ *)(?=(?:yo|mi|mis|me|nuestr[oa]s?|nos|no|ya|soy|estoy|tengo|trabajo|vivo|uso|prefiero|hablo
           |somos|estamos|tenemos|trabajamos|vivimos|usamos)\ ))
        (?P<note>\S.*)"""),
}
_POLITE_EN = r"(?:please[,]?\ +)?"
_POLITE_ES = r"(?:por\ favor[,]?\ +)?"
_FORGET = {
    "en": _pattern(
        _POLITE_EN
        + r"""
        (?:(?:forget|delete|erase|remove|clear)\ +(?:all\ +)?(?:of\ +)?my\ +notes
          |forget\ +(?:everything|what)\ +(?:that\ +)?you\ +(?:remember|noted)\ +about\ +me)(?:[,]?\ +please)?"""
    ),
    "es": _pattern(
        _POLITE_ES
        + r"""
        (?:(?:olvida|olvide|borra|borre|elimina|elimine)\ +(?:todas\ +)?mis\ +notas
          |(?:olvida|olvide|borra|borre)\ +(?:todo\ +)?lo\ +que\ +(?:recuerdas|recuerda|has\ +apuntado)\ +(?:de|sobre)\ +m[ií])
        (?:[,]?\ +por\ +favor)?"""
    ),
}
_LIST = {
    "en": _pattern(
        _POLITE_EN
        + r"""
        (?:what\ +(?:do\ +you\ +remember\ +about\ +me|are\ +my\ +notes)
          |(?:show|list|tell)(?:\ +me)?(?:\ +all)?\ +my\ +notes)(?:[,]?\ +please)?"""
    ),
    "es": _pattern(
        _POLITE_ES
        + r"""
        (?:qu[eé]\ +recuerdas\ +(?:de|sobre)\ +m[ií]|cu[aá]les\ +son\ +mis\ +notas
          |(?:muéstrame|muestrame|enséñame|ensename|dime)\ +(?:todas\ +)?mis\ +notas)(?:[,]?\ +por\ +favor)?"""
    ),
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
    """The note that ``text`` asks to remember, or None."""
    wish = wish_in(text)
    return wish.text if wish is not None and wish.action == "remember" else None


def wish_in(text: str) -> NoteWish | None:
    """The request about notes that the whole message is, or None. A question is never a note."""
    normalized = " ".join(cleaned(text[: _LONGEST_MESSAGE + 1]).replace("’", "'").split())
    if len(normalized) > _LONGEST_MESSAGE:
        return None
    # "What do you remember about me?" is a request in spite of its question mark
    bare = normalized.strip("¿?¡!. ")
    for language in ("en", "es"):
        if _FORGET[language].fullmatch(bare):
            return NoteWish(action="forget", language=language)
        if _LIST[language].fullmatch(bare):
            return NoteWish(action="list", language=language)
        match = None if "?" in normalized else _REMEMBER[language].fullmatch(normalized)
        if match is not None and re.search(r"\w", match["note"]):
            return NoteWish(action="remember", language=language, text=match["note"].rstrip(". "))
    return None


def reply_text(language: str, reply: Reply, notes: Sequence[str] = ()) -> str:
    """One reply, in Spanish or else English, with the notes that it repeats as plain text."""
    sentence = _REPLIES["es" if language == "es" else "en"][reply]
    escaped_notes = [plain(note) for note in notes]
    if reply == "listed":
        return "\n".join((sentence, "", *(f"- {note}" for note in escaped_notes)))
    return sentence.replace("{note}", escaped_notes[0] if escaped_notes else "")
