"""Personal data is replaced before a turn is written, and people are known to the log by a pseudonym only."""

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

# The most certain first: a card is never taken for a phone, nor an address's digits for an identity card.
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
"""How often what is left between findings is looked through again; ordinary text needs two rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Personal data between two offsets of a text."""

    start: int
    end: int
    kind: Kind


def pseudonym(secret: bytes, speaker: str) -> str:
    """The name under which the log knows a speaker: a keyed hash, so that nobody can try ids without the secret.

    A pseudonym is its own pseudonym; nobody's is nobody's.
    """
    return speaker if not speaker or _PSEUDONYM.fullmatch(speaker) else f"~{keyed_hash(secret, speaker)}"


def keyed_hash(secret: bytes, value: str) -> str:
    """32 hex digits of HMAC-SHA256."""
    return hmac.new(secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def redact(text: str, *, language: str) -> str:
    """The text with personal data replaced by its kind, such as ``[email]``. Redacting twice changes nothing more."""
    return _replace(text, find(text, language))


def redact_turn(turn: LoggedTurn) -> LoggedTurn:
    """The turn as it is written. Passages stay as they are: they are documents, and a snapshot is exact.

    What the answer quotes from a passage is the document's (a help desk's number) and stays, so that an answer can be
    trained on; unless the asker wrote it too.
    """
    question = redact(turn.question, language=turn.language)
    theirs = {_essence(turn.question[found.start : found.end]) for found in find(turn.question, turn.language)}
    shown = "\n".join(passage.text for passage in turn.passages)
    answer = [
        found
        for found in find(turn.answer, turn.language)
        if (quoted := turn.answer[found.start : found.end]) not in shown or _essence(quoted) in theirs
    ]
    return replace(
        turn,
        question=question,
        answer=_replace(turn.answer, answer),
        summary=redact(turn.summary, language=turn.language),
        notes=tuple(redact(note, language=turn.language) for note in turn.notes),
    )


def redact_feedback(feedback: LoggedFeedback) -> LoggedFeedback:
    """Feedback as it is written; nothing says in which language it is."""
    return replace(
        feedback,
        reason=redact(feedback.reason, language=""),
        better_answer=redact(feedback.better_answer, language=""),
    )


def find(text: str, language: str) -> list[Finding]:
    """Every piece of personal data in the text, in order.

    What lies between findings is looked through again on its own, as it will stand between placeholders: this makes
    redaction idempotent.
    """
    found: list[Finding] = []
    rest = [(*piece, 0) for piece in _between((0, len(text)), [match.span() for match in _PLACEHOLDER.finditer(text)])]
    while rest:
        start, end, depth = rest.pop()
        kind, spans = _first_findings(text[start:end], language)
        found += [Finding(start=start + left, end=start + right, kind=kind) for left, right in spans]
        if spans and depth < DEPTH:
            rest += [(start + left, start + right, depth + 1) for left, right in _between((0, end - start), spans)]
    return sorted(found, key=lambda finding: finding.start)


def _first_findings(text: str, language: str) -> tuple[Kind, list[Span]]:
    for kind, finder in FINDERS:
        if spans := finder(text, language):
            return kind, spans
    return "secret", []


def _between(whole: Span, spans: list[Span]) -> list[Span]:
    """What the spans leave of the whole, without what is too short to be anybody's data."""
    starts = [whole[0], *(end for _, end in spans)]
    ends = [*(start for start, _ in spans), whole[1]]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end - start > 3]


def _replace(text: str, found: list[Finding]) -> str:
    pieces: list[str] = []
    done = 0
    for finding in found:
        pieces += [text[done : finding.start], f"[{finding.kind}]"]
        done = finding.end
    return "".join([*pieces, text[done:]])


def _essence(written: str) -> str:
    """What two ways of writing the same number share."""
    return "".join(filter(str.isalnum, written)).casefold()
