"""Redaction and pseudonyms: what is replaced before a turn is written to the log.

Personal data becomes a placeholder that names its kind; the ids of people become keyed hashes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from tuning.conversations.identifiers import (
    Span,
    find_addresses,
    find_cards,
    find_emails,
    find_ibans,
    find_phones,
    find_secrets,
)
from tuning.conversations.national_ids import find_national_ids
from tuning.conversations.records import LoggedFeedback, LoggedTurn

Kind = Literal["secret", "email", "iban", "card", "national id", "ip", "phone"]

# The most certain first: a card must not be taken for a phone, nor the digits of an e-mail address for an identity number.
FINDERS: tuple[tuple[Kind, Callable[[str, str], list[Span]]], ...] = (
    ("secret", find_secrets),
    ("email", find_emails),
    ("iban", find_ibans),
    ("card", find_cards),
    ("national id", find_national_ids),
    ("ip", find_addresses),
    ("phone", find_phones),
)
_PLACEHOLDER = re.compile(r"\[(?:secret|email|iban|card|national id|ip|phone)\]")
_PSEUDONYM = re.compile(r"~[0-9a-f]{32}")
DEPTH = 12
"""How often the text between findings is searched again, at most; ordinary text needs two rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Personal data between two offsets of a text."""

    start: int
    end: int
    kind: Kind


def pseudonym(secret: bytes, speaker: str) -> str:
    """The speaker's name in the log: ``~`` and a keyed hash, so that nobody can try out ids without the secret.

    A pseudonym and the empty string are returned unchanged.
    """
    return speaker if not speaker or _PSEUDONYM.fullmatch(speaker) else f"~{keyed_hash(secret, speaker)}"


def keyed_hash(secret: bytes, value: str) -> str:
    """The first 32 hex digits of the value's HMAC-SHA256."""
    # "surrogatepass", because an id may hold a lone surrogate, which UTF-8 refuses to encode.
    return hmac.new(secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def redact(text: str, *, language: str) -> str:
    """The text with personal data replaced by its kind, such as ``[email]``. A second redaction changes nothing."""
    return _replace(text, find(text, language))


def redact_turn(turn: LoggedTurn) -> LoggedTurn:
    """The turn as it is written to the log.

    Passages stay unchanged: they are documents, and a snapshot is exact. What the answer quotes from a passage (the number of a
    help desk) stays too, so that the answer can be used for training, unless the asker wrote the same in the question.
    """
    question = redact(turn.question, language=turn.language)
    in_question = find(turn.question, turn.language)
    personal = {_canonical(turn.question[finding.start : finding.end]) for finding in in_question}
    documents = "\n".join(passage.text for passage in turn.passages)
    answer = [
        finding
        for finding in find(turn.answer, turn.language)
        if (quoted := turn.answer[finding.start : finding.end]) not in documents or _canonical(quoted) in personal
    ]
    return replace(
        turn,
        question=question,
        answer=_replace(turn.answer, answer),
        summary=redact(turn.summary, language=turn.language),
        notes=tuple(redact(note, language=turn.language) for note in turn.notes),
    )


def redact_feedback(feedback: LoggedFeedback) -> LoggedFeedback:
    """The feedback as it is written to the log. Its language is unknown."""
    return replace(
        feedback,
        reason=redact(feedback.reason, language=""),
        better_answer=redact(feedback.better_answer, language=""),
    )


def find(text: str, language: str) -> list[Finding]:
    """Every piece of personal data in the text, in order.

    The text between findings is searched again by itself, as it will stand between the placeholders; so a second redaction
    finds nothing more.
    """
    findings: list[Finding] = []
    rest = [(*piece, 0) for piece in _between((0, len(text)), [match.span() for match in _PLACEHOLDER.finditer(text)])]
    while rest:
        start, end, depth = rest.pop()
        kind, spans = _first_findings(text[start:end], language)
        findings += [Finding(start=start + left, end=start + right, kind=kind) for left, right in spans]
        if spans and depth < DEPTH:
            rest += [(start + left, start + right, depth + 1) for left, right in _between((0, end - start), spans)]
    return sorted(findings, key=lambda finding: finding.start)


def _first_findings(text: str, language: str) -> tuple[Kind, list[Span]]:
    for kind, finder in FINDERS:
        if spans := finder(text, language):
            return kind, spans
    return "secret", []


def _between(whole: Span, spans: list[Span]) -> list[Span]:
    """The parts of ``whole`` between the spans that have more than 3 characters: shorter ones hold no personal data."""
    starts = [whole[0], *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), whole[1]]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end - start > 3]


def _replace(text: str, findings: list[Finding]) -> str:
    pieces: list[str] = []
    position = 0
    for finding in findings:
        pieces += [text[position : finding.start], f"[{finding.kind}]"]
        position = finding.end
    return "".join([*pieces, text[position:]])


def _canonical(written: str) -> str:
    """Letters and digits only, so that two ways of writing the same number are equal."""
    return "".join(filter(str.isalnum, written)).casefold()
