"""Reads a question set: turns in their conversations, and the places in the documents that answer them.

One JSON object a line::

    {"conversation": ["How many days off?", "27.", "And for contractors?"], "expected": {"document": "contractors.md"}}
    {"question": "Who won in 1987?", "expected": null}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rag.errors import EvaluationError
from rag.language import detect
from rag.text.utterances import cleaned, unmarked
from rag.types import Query

Role = Literal["user", "bot"]

KEYS = ("conversation", "question", "expected", "language", "audience", "conversation_id", "note")
PLACES = ("source", "document", "url", "passage")
ROLES: Mapping[str, Role] = {"user": "user", "bot": "bot", "assistant": "bot", "agent": "bot"}
NAMED = 20
"""Most bad lines named in one error; the others are only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A place of the answer; empty fields match anything. ``passage`` is an id, or text that the passage contains."""

    source: str = ""
    document: str = ""
    url: str = ""
    passage: str = ""

    def __str__(self) -> str:
        parts = (f"{place} {getattr(self, place)}" for place in PLACES if getattr(self, place))
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One turn. ``line`` is its line in the file; ``history`` has the utterances of both sides before it, oldest first.

    ``language`` (ISO 639-1) is detected if the file does not give it. Each place in ``expected`` answers the turn; there may be
    none although ``answerable`` is true. Turns with the same ``conversation`` are not independent observations.
    """

    line: int
    question: str
    conversation: str
    language: str
    history: tuple[str, ...] = ()
    expected: tuple[Expected, ...] = ()
    answerable: bool = False
    audiences: frozenset[str] = frozenset()

    @property
    def query(self) -> Query:
        """The query of the turn, cleaned in the same way as the chain cleans a message."""
        history = tuple(filter(None, map(unmarked, self.history)))
        return Query(text=cleaned(self.question), history=history, language=self.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """All turns of a file, and the file's digest."""

    file: Path
    sha256: str
    cases: tuple[Case, ...]


def read_questions(file: Path) -> QuestionSet:
    """The question set in ``file``. Raises ``EvaluationError`` with the wrong lines if there is any; nothing is used then."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read: {error.strerror}") from error
    cases: list[Case] = []
    errors: list[str] = []
    # A byte order mark comes from editors on Windows. Bytes are split, because str.splitlines also splits at U+2028, which JSON
    # allows within a string.
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            try:
                cases.append(_case(number, line))
            except ValueError as error:
                errors.append(f"line {number}: {error}")
    if errors:
        raise EvaluationError(f"{file} was not used; {_error_list(errors)}")
    if not cases:
        raise EvaluationError(f"{file} holds no questions; write one JSON object a line")
    return QuestionSet(file=file, sha256=hashlib.sha256(content).hexdigest(), cases=tuple(cases))


def _error_list(errors: Sequence[str]) -> str:
    more = f"; and {len(errors) - NAMED} more lines" if len(errors) > NAMED else ""
    return "; ".join(errors[:NAMED]) + more


def _case(number: int, line: bytes) -> Case:
    values = _object(line)
    turns = _conversation(values)
    if "expected" not in values and "answerable" not in values:
        raise ValueError('no "expected"; write null where the documents do not answer')
    places = _expected(values.get("expected"))
    return Case(
        line=number,
        question=turns[-1],
        history=turns[:-1],
        conversation=_text(values, "conversation_id") or turns[0],
        expected=places or (),
        answerable=places is not None,
        language=_text(values, "language") or detect(turns[-1], detect(" ".join(turns[:-1]))),
        audiences=frozenset(_audiences(values.get("audience"))),
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()
        values = json.loads(text)
        text.encode()
        json.dumps(values, ensure_ascii=False).encode()  # JSON may spell half a surrogate pair, which no text holds
    except UnicodeDecodeError:
        raise ValueError("no UTF-8") from None
    except UnicodeEncodeError:
        raise ValueError("holds half of a character (a lone surrogate)") from None
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep or too large"
        raise ValueError(f"no JSON ({reason})") from None
    if not isinstance(values, dict):
        raise ValueError('no JSON object; write {"question": …, "expected": …}')  # noqa: TRY004 - one error for a line
    _require_known_keys(values, KEYS)
    return values


def _require_known_keys(values: Mapping[str, Any], known: Sequence[str], where: str = "") -> None:
    """Raises ``ValueError`` for an unknown key."""
    # not ignored: a misspelt "expected" would turn an answerable question into an unanswerable one
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{where}{unknown[0]!r} is unknown; known are {', '.join(known)}")


def _conversation(values: Mapping[str, Any]) -> tuple[str, ...]:
    if ("question" in values) == ("conversation" in values):
        raise ValueError("one of conversation and question is needed, and not both")
    turns = [values["question"]] if "question" in values else values["conversation"]
    if not isinstance(turns, list) or not turns:
        raise ValueError("conversation must be a list of what was said, oldest first")
    roles = [_role(turn) for turn in turns]
    if roles[-1] == "bot":
        raise ValueError("conversation must end with what the user asks")
    return tuple(map(_utterance, turns))


def _role(turn: object) -> Role | None:
    """The role that a turn names; None if it is plain text, whose role follows from the order."""
    if not isinstance(turn, dict):
        return None
    _require_known_keys(turn, ("role", "text"), "in conversation, ")
    if (role := _text(turn, "role")) not in ROLES:
        raise ValueError(f"role {role!r} is unknown; known are {', '.join(ROLES)}")
    return ROLES[role]


def _utterance(turn: object) -> str:
    text = turn.get("text") if isinstance(turn, dict) else turn
    if not isinstance(text, str) or not text.strip():
        raise ValueError("what was said must be text that is not empty")
    return text


def _expected(value: object) -> tuple[Expected, ...] | None:
    """The places; empty if the set only says that there is one; None if the documents do not answer."""
    if value is None:
        return None
    if isinstance(value, list):
        if not value:
            raise ValueError("expected is an empty list; use null where the documents do not say it")
        return tuple(map(_place, value))
    if isinstance(value, dict) and "answerable" in value:
        _require_known_keys(value, ("answerable", *PLACES), "in expected, ")
        if not isinstance(value["answerable"], bool):
            raise ValueError("answerable must be true or false")
        place = {name: value_text for name, value_text in value.items() if name != "answerable"}
        if not value["answerable"] and place:
            raise ValueError("expected names a place and says that the documents do not answer")
        return ((_place(place),) if place else ()) if value["answerable"] else None
    return (_place(value),)


def _place(value: object) -> Expected:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"expected must name one or more of {', '.join(PLACES)}, or be null")
    _require_known_keys(value, PLACES, "in expected, ")
    return Expected(**{name: _required_text(value, name) for name in value})


def _required_text(values: Mapping[str, Any], name: str) -> str:
    if not (text := _text(values, name).strip()):
        raise ValueError(f"{name} is empty")
    return text


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")  # noqa: TRY004 - one error for a line
    return value


def _audiences(value: object) -> Sequence[str]:
    listed = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        raise ValueError("audience must be a name or a list of names")
    return listed
