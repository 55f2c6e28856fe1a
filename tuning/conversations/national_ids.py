"""National identity numbers, found by their form and their check digits.

A form that many other numbers have too (ten digits, one of them a check digit) counts only after a word that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from stdnum.ar import cuit
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cl import rut
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.do import cedula
from stdnum.ec import ci
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.mx import curp, rfc
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.se import personnummer
from stdnum.tr import tckimlik
from stdnum.us import itin, ssn

from tuning.conversations.identifiers import Span, preceded_by, without_overlaps


@dataclass(frozen=True, slots=True, kw_only=True)
class NationalId:
    """One kind of number. ``separators`` are removed before ``is_valid`` checks it; one of ``words``, if any, must precede it."""

    form: re.Pattern[str]
    is_valid: Callable[[str], bool]
    separators: re.Pattern[str]
    words: re.Pattern[str] | None


LEAST_DIGITS = 6
"""Every number below has at least so many digits, except an Italian tax code: its digits may all be written as letters."""
_ITALIAN_TAX_CODE = re.compile(r"(?<![A-Za-z0-9])[A-Z]{6}[\dL-NP-V]{2}[A-Z][\dL-NP-V]{2}", re.IGNORECASE)


def find_national_ids(text: str, _language: str) -> list[Span]:
    """The numbers of any country, whatever the language: people write in other languages than their country's."""
    if sum(map(str.isdigit, text)) < LEAST_DIGITS and not _ITALIAN_TAX_CODE.search(text):
        return []
    return without_overlaps(
        match.span() for kind in NATIONAL_IDS for match in kind.form.finditer(text) if _is_id(kind, match)
    )


def _is_id(kind: NationalId, match: re.Match[str]) -> bool:
    if kind.words and not preceded_by(kind.words, match.string, match.start()):
        return False
    return kind.is_valid(kind.separators.sub("", match.group()).upper())


def _id(form: str, is_valid: Callable[[str], bool], *, words: str = "", keep: str = "") -> NationalId:
    return NationalId(
        form=re.compile(rf"(?<![A-Za-z0-9])(?<![.+-])(?:{form})(?![A-Za-z0-9]|[.-]\d)", re.IGNORECASE),
        is_valid=is_valid,
        separators=re.compile(f"(?![{keep}])[ ./-]" if keep else "[ ./-]"),
        words=re.compile(rf"\b(?:{words})\b", re.IGNORECASE) if words else None,
    )


def _any_number(_number: str) -> bool:
    """The check of numbers without check digits: only their form, and the word before them if there is one, is known."""
    return True


NATIONAL_IDS = (
    _id(r"\d{3}([ -])\d{2}\1\d{4}", lambda number: bool(ssn.is_valid(number) or itin.is_valid(number))),
    _id(r"\d{9}", ssn.is_valid, words="ssn|social security|seguro social"),
    _id(r"\d{8}[ -]?[A-Z]|\d{1,2}\.\d{3}\.\d{3}[ -]?[A-Z]", dni.is_valid),
    _id(r"[XYZ][ -]?\d{7}[ -]?[A-Z]", nie.is_valid),
    _id(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d", curp.is_valid),
    _id(r"[A-ZÑ&]{4}-?\d{6}-?[A-Z0-9]{3}", lambda number: bool(rfc.is_valid(number, validate_check_digits=True))),
    _id(r"\d{3}\.?\d{3}\.?\d{3}-\d{2}|\d{11}", cpf.is_valid),
    _id(r"2[0-7]([ -]?)\d{8}\1\d", cuit.is_valid),
    _id(r"\d{1,2}(\.?)\d{3}\1\d{3}-[\dK]", rut.is_valid),
    _id(r"\d{3}-\d{7}-\d", cedula.is_valid),
    _id(r"\d{9}-?\d", ci.is_valid, words="c[eé]dula|ci"),
    # Without check digits: identity cards of Argentina, Colombia, Mexico, Peru, Uruguay.
    _id(r"\d{1,2}\.\d{3}\.\d{3}(?:-\d)?|\d{6,13}", _any_number, words="dni|c[eé]dula|documento de identidad"),
    _id(r"\d{3}([ -]?)\d{3}\1\d{3}", nif.is_valid, words="nif|contribuinte"),
    _id(r"\d{3}([ -]?)\d{3}\1\d{3}", sin.is_valid, words="sin|social insurance"),
    _id(r"\d{9}", bsn.is_valid, words="bsn|burgerservicenummer"),
    _id(r"\d{3}([ -]?)\d{3}\1\d{4}", nhs.is_valid, words="nhs"),
    _id(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]( ?)\d{2}\1\d{2}\1\d{2}\1[A-D]", _any_number),
    _id(r"[A-Z]{6}[\dL-NP-V]{2}[A-Z][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z]", codicefiscale.is_valid),
    _id(r"[1-478]( ?)\d{2}\1\d{2}\1(?:\d{2}|2[AB])\1\d{3}\1\d{3}\1\d{2}", nir.is_valid),
    _id(
        r"\d{2}( ?)\d{3}\1\d{3}\1\d{3}",
        idnr.is_valid,
        words="steuer-?id(?:entifikationsnummer)?|idnr|steuernummer|tax id",
    ),
    _id(r"\d{11}", pesel.is_valid, words="pesel"),
    _id(r"\d{11}", tckimlik.is_valid, words="t\\.?c\\.?|kimlik"),
    _id(r"756\.\d{4}\.\d{4}\.\d{2}|756\d{10}", ahv.is_valid),
    _id(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", nn.is_valid),
    _id(r"\d{4}([ -])\d{4}\1\d{4}", aadhaar.is_valid),
    _id(r"(?:\d{2})?\d{6}[-+]\d{4}", personnummer.is_valid, keep="+-"),
    _id(r"\d{6}-\d{4}", cpr.is_valid),
    _id(r"\d{6}[-+A]\d{3}[0-9A-Y]", hetu.is_valid, keep="+-"),
)
