"""Numbers of a text as plain decimals: digits and number words, in English and Spanish, and names of months."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

_UNITS = {
    word: value
    for value, words in enumerate(
        (
            "zero cero", "one uno una un", "two dos", "three tres", "four cuatro", "five cinco", "six seis", "seven siete",
            "eight ocho", "nine nueve", "ten diez", "eleven once", "twelve doce", "thirteen trece", "fourteen catorce",
            "fifteen quince", "sixteen dieciséis", "seventeen diecisiete", "eighteen dieciocho", "nineteen diecinueve",
            "twenty veinte",
        )
    )
    for word in words.split()
}  # fmt: skip
_TENS = {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "treinta": 30,
    "cuarenta": 40, "cincuenta": 50, "sesenta": 60, "setenta": 70, "ochenta": 80, "noventa": 90, "veintiuno": 21,
    "veintiún": 21, "veintidós": 22, "veintitrés": 23, "veinticuatro": 24, "veinticinco": 25, "veintiséis": 26,
    "veintisiete": 27, "veintiocho": 28, "veintinueve": 29,
}  # fmt: skip
_SCALES = {"hundred": 100, "cien": 100, "ciento": 100, "thousand": 1000, "mil": 1000, "million": 10**6, "millón": 10**6}
_SCALES |= {"millones": 10**6, "billion": 10**9, "doscientos": 200, "trescientos": 300, "quinientos": 500}
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "once": 1, "twice": 2, "double": 2, "doble": 2, "half": 0.5, "medio": 0.5, "media": 0.5, "dozen": 12,
    "docena": 12,
}  # fmt: skip
_MONTHS = {
    month: number
    for number, names in enumerate(
        (
            "january enero jan", "february febrero feb", "march marzo", "april abril apr", "may mayo", "june junio jun",
            "july julio jul", "august agosto aug", "september septiembre setiembre sept", "october octubre oct",
            "november noviembre nov", "december diciembre dec",
        ),
        start=1,
    )
    for month in names.split()
}  # fmt: skip
_VAGUE = frozenset({"one", "un", "una", "uno", "once", "first", "second"})
"""Number words that usually mean something else: "the first one", *una*, *once* (Spanish eleven, English "as soon as")."""
# First numbers with separators between thousands, then all others with dots and commas, versions among them.
_FIGURE = re.compile(r"(?<![\w.,])\d+(?:[.,\u202f\u00a0' ]\d{3})*(?:[.,]\d+)?|\d+(?:[.,]\d+)*")
_ENGLISH = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_SPANISH = re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d+(?:,\d+)?")
_WORD = re.compile(r"[^\W\d_]+")
_SPELLED = {**_UNITS, **_TENS}


def figures(text: str) -> frozenset[str]:
    """All numbers of a text, as plain decimals. A number that can be read in two ways (1.000 or 1,000) appears in both forms."""
    values = {form for match in _FIGURE.finditer(text) for form in _forms(match[0])}
    return frozenset(values | _spelled(text, certain=False))


def claimed_numbers(text: str) -> list[frozenset[str]]:
    """For each number in a statement, its possible forms; a passage must contain at least one of them."""
    written = [frozenset(_forms(match[0])) for match in _FIGURE.finditer(text)]
    return [*written, *(frozenset({form}) for form in sorted(_spelled(text, certain=True)))]


def _forms(written: str) -> list[str]:
    """The possible readings of a number: 1,000.50 equals 1.000,50; 1.000 is a thousand or one; 2,5 is two and a half, not 25."""
    compact = re.sub(r"[\u202f\u00a0' ]", "", written)
    english, spanish = compact.replace(",", ""), compact.replace(".", "").replace(",", ".")
    readings = {english} if _ENGLISH.fullmatch(compact) else set()
    readings |= {spanish} if _SPANISH.fullmatch(compact) else set()
    return sorted({_plain(reading) for reading in readings or {compact}})


def _plain(reading: str) -> str:
    try:
        value = Decimal(reading)
    except InvalidOperation:
        return reading
    return format(value.normalize(), "f")


def _spelled(text: str, *, certain: bool) -> set[str]:
    """The values of number words, as decimals. With ``certain``, words that rarely mean numbers do not count."""
    values: set[str] = set()
    total = current = 0  # "two thousand and five": what is multiplied already, and what a scale may still multiply
    run = ""
    for word in [*_WORD.findall(text.lower()), ""]:
        if word in _SPELLED:
            current += _SPELLED[word]
            run = run or word
        elif word in _SCALES and (run or not certain or word not in {"mil"}):
            current = (current or 1) * _SCALES[word] if _SCALES[word] != 100 else (current or 1) * 100
            total, current = (total + current, 0) if _SCALES[word] >= 1000 else (total, current)
            run = f"{run} {word}"
        # "two hundred and five", "treinta y dos": the conjunction does not end a number
        elif word not in {"and", "y"} or not run:
            if run and not (certain and run in _VAGUE):
                values.add(str(total + current))
            total, current, run = 0, 0, ""
            if word in _ORDINALS and not (certain and word in _VAGUE):
                values.add(str(_ORDINALS[word]))
    return values


def months(text: str) -> frozenset[int]:
    """The months that a text names, 1 to 12. "May" counts only beside a number, because it is a verb too."""
    values = {_MONTHS[word] for word in _WORD.findall(text.lower()) if word in _MONTHS and word != "may"}
    return frozenset(values | ({5} if re.search(r"\bMay(?: \d|,? \d)|\d (?:of )?May\b", text) else set()))
