"""Detects the language of a text, among those that retrieval can stem."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from threading import Lock
from typing import Protocol

LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "nl", "sv", "da", "no", "fi", "ro", "hu", "ru", "tr")
"""ISO 639-1 codes that have a Snowball stemmer; the first two also have the chain's own sentences."""

LONGEST = 2000
"""Characters that are examined; more do not change the result, and a whole page costs milliseconds."""
SHORT = 12
"""The most words of a text in which function words decide before the statistical model."""
FAVOUR = 3.0
"""Prior odds of English, Spanish and the default, because the model alone takes "reset password" for Danish or Dutch."""
CERTAIN = 0.5
FEW = 5
"""The most words of a text of which the statistical model alone knows too little: it takes "run on port 5000" for Finnish."""
UNMISTAKABLE = 8.0
"""How many times as probable as the likely languages another one must be in so short a text ("Posso usare Telegram?": 14)."""
PREFERRED = 0.75
"""Share among the likely languages from which on one of them is chosen in place of the default."""

_WORD = re.compile(r"[^\W\d_]+")
_SPANISH_SIGNS = re.compile(r"[¿¡ñÑ]")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Words that no other language of the list shares, so that a single one can decide.
_ENGLISH = _words(
    """
    and could did does explain get hello how it my need should show tell thank thanks that the their there these
    they this those use used what when where which who why with would you your
    """
)
_SPANISH = _words(
    """
    adiós adónde ayuda ayúdame buenas buenos cómo cuál cuáles cuándo cuánto cuántos dónde ejemplo ellos está están
    estoy gracias hacer hago hay hola las muchas necesito pero pongo puede puedo puedes quiero quién qué sirve
    tengo tiene usted
    """
)


class _Identifier(Protocol):
    def rank(self, text: str) -> list[tuple[str, float]]: ...


# Two messages may need the model for the first time at once, in different threads.
_lock = Lock()
_identifiers: list[_Identifier] = []


def load() -> None:
    """Loads the language model (about a second, blocking): call it in a thread before the first message needs it."""
    with _lock:
        if not _identifiers:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier

            identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
            identifier.set_languages(LANGUAGES)
            _identifiers.append(identifier)


def detect(text: str, default: str = "en") -> str:
    """The language of a text (ISO 639-1); ``default`` if it cannot be detected (no words, another script, only names)."""
    return _detect(text[:LONGEST], default)


async def adetect(text: str, default: str = "en") -> str:
    """As :func:`detect`, but loads the statistical model in a thread if it is needed for the first time."""
    if not _identifiers and _LATIN.search(text[:LONGEST]) and hint(text) is None:
        await asyncio.to_thread(load)
    return detect(text, default)


def _detect(text: str, default: str) -> str:
    if not _LATIN.search(text):
        return "ru" if _CYRILLIC.search(text) else default
    return hint(text) or _statistical(text, default)


def hint(text: str) -> str | None:
    """English or Spanish if the signs or function words of a short text are unambiguous, else None."""
    words = [word.lower() for word in _WORD.findall(text[:LONGEST])]
    if len(words) > SHORT:
        return None
    if _SPANISH_SIGNS.search(text):
        return "es"
    english = sum(word in _ENGLISH for word in words)
    spanish = sum(word in _SPANISH for word in words)
    if english == spanish:
        return None
    return "en" if english > spanish else "es"


def _statistical(text: str, default: str) -> str:
    if not _identifiers:
        load()
    likely = {"en", "es", default}
    shares = dict(_identifiers[0].rank(text))
    if len(_WORD.findall(text)) <= FEW:
        return _of_few_words(shares, likely, default)
    weighted = [(share * (FAVOUR if code in likely else 1.0), code) for code, share in shares.items()]
    best, code = max(weighted)
    return code if best >= CERTAIN * sum(weight for weight, _ in weighted) else default


def _of_few_words(shares: Mapping[str, float], likely: Collection[str], default: str) -> str:
    """One of the likely languages, unless another one is unmistakable.

    A default other than English is preferred among them: English is also what stands where nothing is known of the asker.
    """
    foremost = max(shares, key=lambda code: shares[code])
    if shares[foremost] >= max(CERTAIN, UNMISTAKABLE * max(shares[code] for code in likely)):
        return foremost
    weighted = {code: shares[code] * (FAVOUR if code == default != "en" else 1.0) for code in likely}
    best = max(weighted, key=lambda code: weighted[code])
    return best if weighted[best] >= PREFERRED * sum(weighted.values()) else default
