"""What a statement hangs on besides its subject: names, negations, conditions, quantities, duties."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+(?:[-'’.]\w+)*")

_NEGATION = re.compile(
    r"\b(?:not|never|no|none|nobody|nothing|neither|nor|cannot|without|unless|except|excluding|fail(?:s|ed)? to|unable"
    r"|n['’]?t|(?:ca|do|does|did|is|are|was|were|wo|would|should|must|have|has|had|could|need) ?n['’ ]?t"
    r"|nunca|jamás|sin|salvo|excepto|ningún|ninguna|ninguno|nadie|nada|ni|tampoco|a menos que)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)

OPPOSITES: tuple[tuple[str, str], ...] = (
    (r"before|prior to|antes", r"after|following|once|después|tras"),
    (r"until|hasta", r"from|starting|a partir|desde"),
    (r"at least|no less than|minimum|al menos|como mínimo|por lo menos", r"at most|up to|no more than|maximum|como máximo|hasta"),
    (r"more than|over|above|exceeds?|más de|superior|older", r"less than|under|below|fewer than|menos de|inferior|younger"),
    (r"if|when|provided|si|cuando|siempre que", r"unless|except|a menos que|salvo|excepto"),
    (r"must|required?|mandatory|obligatorio|debe[ns]?|have to|has to", r"may|optional|not required|puede[ns]?|opcional"),
    (r"all|every|each|todos?|todas?|cada", r"some|few|certain|several|algun[oa]s|ciert[oa]s"),
    (r"always|siempre", r"never|nunca|sometimes|a veces"),
    (r"increase[sd]?|raise[sd]?|higher|aumenta\w*|sube\w*|mayor", r"decrease[sd]?|reduce[sd]?|lower|disminu\w*|baja\w*|menor"),
    (r"allow(?:s|ed)?|permit(?:s|ted)?|permit\w*", r"prohibit(?:s|ed)?|forbid(?:s|den)?|ban(?:s|ned)?|proh[ií]b\w*"),
    (r"include[sd]?|including|incluye\w*|incluid\w*", r"exclude[sd]?|excluding|excluye\w*|excluid\w*"),
    (r"accept(?:s|ed)?|approve[sd]?|acepta\w*|aprueba\w*", r"reject(?:s|ed)?|den(?:y|ies|ied)|refuse[sd]?|rechaza\w*|denega\w*"),
    (r"first|primero", r"last|último"),
    (r"eligible|qualif\w+", r"ineligible|disqualif\w+"),
    (r"enabled?|activa\w*|habilita\w*", r"disabled?|desactiva\w*|deshabilita\w*"),
    (r"earlier|early|antes", r"later|late|tarde"),
    (r"with|con", r"without|sin"),
    (r"inside|within|dentro", r"outside|fuera"),
)  # fmt: skip
"""Words of which one cannot stand for the other."""

_OPPOSITES = tuple(
    (re.compile(rf"\b(?:{one})\b", re.IGNORECASE), re.compile(rf"\b(?:{other})\b", re.IGNORECASE))
    for one, other in OPPOSITES
)


def words(text: str) -> list[str]:
    """Its words in small letters without accents, in order."""
    return _WORD.findall(folded(text))


def folded(text: str) -> str:
    """Small letters, no accents, one kind of apostrophe."""
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    return plain.lower().replace("’", "'")


def negations(text: str) -> int:
    """How often it denies."""
    return len(_NEGATION.findall(text))


def swapped(statement: str, source: str) -> int:
    """How many words of a statement have only their opposite in the source."""
    count = 0
    for one, other in _OPPOSITES:
        here, there = (
            (bool(one.search(statement)), bool(other.search(statement))),
            (
                bool(one.search(source)),
                bool(other.search(source)),
            ),
        )
        count += here != there and sum(here) == 1 and there == (here[1], here[0])
    return count


def names(text: str) -> list[str]:
    """Words that name: capitals within a sentence, capitals and figures mixed, code. Folded, each once."""
    found: list[str] = []
    for index, match in enumerate(_WORD.finditer(text)):
        word = match[0]
        capital = word[0].isupper() and (index > 0 and not _opens(text, match.start()))
        mixed = any(mark.isupper() for mark in word[1:]) or (
            any(mark.isdigit() for mark in word) and any(mark.isalpha() for mark in word)
        )
        if (capital or mixed or "_" in word) and len(word) > 1:
            found.append(folded(word))
    return list(dict.fromkeys(found))


def _opens(text: str, start: int) -> bool:
    """A word after a full stop, a colon or a bullet has a capital anyway."""
    return text[:start].rstrip(" *_\"'“«(¿¡").endswith((".", "!", "?", ":", "\n", "-", "•", ";")) or start == 0
