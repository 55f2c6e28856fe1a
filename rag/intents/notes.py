"""Recognises what people want of their notes, in English and Spanish, and answers it. A doubtful case is a question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rag.prompts.sentences import plain
from rag.text.utterances import cleaned

LONGEST = 200
"""Characters of a note."""

_MOST = 1000
"""Characters looked at: longer than this, somebody wants more than a note."""

Wanted = Literal["remember", "forget", "list"]
Reply = Literal["remembered", "too_long", "forgotten", "none", "listed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteWish:
    """What is wanted of the notes; ``text`` is what is to be remembered."""

    wanted: Wanted
    language: str
    text: str = ""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.VERBOSE)


# "Note that" and "keep in mind that" also begin remarks on anything: only what people say of themselves is a note.
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

_SAID: dict[str, dict[Reply, str]] = {
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


def noted(text: str) -> str | None:
    """What ``text`` asks to be remembered, or None."""
    wish = wish_in(text)
    return wish.text if wish is not None and wish.wanted == "remember" else None


def wish_in(text: str) -> NoteWish | None:
    """What a message wants of the notes, or None where it is anything else; a question is never a note."""
    said = " ".join(cleaned(text[: _MOST + 1]).replace("’", "'").split())
    if len(said) > _MOST:
        return None
    bare = said.strip("¿?¡!. ")
    for language in ("en", "es"):
        if _FORGET[language].fullmatch(bare):
            return NoteWish(wanted="forget", language=language)
        if _LIST[language].fullmatch(bare):
            return NoteWish(wanted="list", language=language)
        found = None if "?" in said else _REMEMBER[language].fullmatch(said)
        if found is not None and re.search(r"\w", found["note"]):
            return NoteWish(wanted="remember", language=language, text=found["note"].rstrip(". "))
    return None


def said(language: str, reply: Reply, notes: Sequence[str] = ()) -> str:
    """One sentence, in Spanish or else English, with the notes that it tells back as plain text."""
    sentence = _SAID["es" if language == "es" else "en"][reply]
    shown = [plain(note) for note in notes]
    if reply == "listed":
        return "\n".join((sentence, "", *(f"- {note}" for note in shown)))
    return sentence.replace("{note}", shown[0] if shown else "")
