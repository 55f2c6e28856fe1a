"""A set of questions of one's own: turns in their conversations, and where the documents answer them.

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
"""Bad lines named in one error; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Where an answer stands; what is empty does not matter. ``passage`` is an id, or text that the passage holds."""

    source: str = ""
    document: str = ""
    url: str = ""
    passage: str = ""

    def __str__(self) -> str:
        parts = (f"{place} {getattr(self, place)}" for place in PLACES if getattr(self, place))
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One turn. ``line`` is its line in the file; ``history`` is what both sides said before it, oldest first.

    ``language`` (ISO 639-1) is detected where the file does not tell. ``expected`` holds the places that are as good as each
    other; it may be empty although ``answerable`` is true. ``conversation`` tells the turns of one conversation: they are no
    independent observations.
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
        """What is looked for: read as the chain reads what people write."""
        history = tuple(filter(None, map(unmarked, self.history)))
        return Query(text=cleaned(self.question), history=history, language=self.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """All turns of a file, and what identifies it."""

    file: Path
    sha256: str
    cases: tuple[Case, ...]


def read_questions(file: Path) -> QuestionSet:
    """The set in ``file``. Raises ``EvaluationError`` that names every line that is wrong: then nothing was read."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read: {error.strerror}") from error
    cases: list[Case] = []
    wrong: list[str] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            try:
                cases.append(_case(number, line))
            except ValueError as error:
                wrong.append(f"line {number}: {error}")
    if wrong:
        raise EvaluationError(f"{file} was not used; {_listed(wrong)}")
    if not cases:
        raise EvaluationError(f"{file} holds no questions; write one JSON object a line")
    return QuestionSet(file=file, sha256=hashlib.sha256(content).hexdigest(), cases=tuple(cases))


def _listed(wrong: Sequence[str]) -> str:
    more = f"; and {len(wrong) - NAMED} more lines" if len(wrong) > NAMED else ""
    return "; ".join(wrong[:NAMED]) + more


def _case(number: int, line: bytes) -> Case:
    values = _object(line)
    said = _said(values)
    if "expected" not in values and "answerable" not in values:
        raise ValueError('no "expected"; write null where the documents do not answer')
    places = _expected(values.get("expected"))
    return Case(
        line=number,
        question=said[-1],
        history=said[:-1],
        conversation=_text(values, "conversation_id") or said[0],
        expected=places or (),
        answerable=places is not None,
        language=_text(values, "language") or detect(said[-1], detect(" ".join(said[:-1]))),
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
    _only(values, KEYS)
    return values


def _only(values: Mapping[str, Any], known: Sequence[str], where: str = "") -> None:
    """A misspelt "expected" would make an answerable question an unanswerable one."""
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{where}{unknown[0]!r} is unknown; known are {', '.join(known)}")


def _said(values: Mapping[str, Any]) -> tuple[str, ...]:
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
    """None where only the order tells."""
    if not isinstance(turn, dict):
        return None
    _only(turn, ("role", "text"), "in conversation, ")
    if (role := _text(turn, "role")) not in ROLES:
        raise ValueError(f"role {role!r} is unknown; known are {', '.join(ROLES)}")
    return ROLES[role]


def _utterance(turn: object) -> str:
    text = turn.get("text") if isinstance(turn, dict) else turn
    if not isinstance(text, str) or not text.strip():
        raise ValueError("what was said must be text that is not empty")
    return text


def _expected(value: object) -> tuple[Expected, ...] | None:
    """The places; empty where it is only known that there is one, None where the documents do not say it."""
    if value is None:
        return None
    if isinstance(value, list):
        if not value:
            raise ValueError("expected is an empty list; use null where the documents do not say it")
        return tuple(map(_place, value))
    if isinstance(value, dict) and "answerable" in value:
        _only(value, ("answerable", *PLACES), "in expected, ")
        if not isinstance(value["answerable"], bool):
            raise ValueError("answerable must be true or false")
        place = {name: named for name, named in value.items() if name != "answerable"}
        if not value["answerable"] and place:
            raise ValueError("expected names a place and says that the documents do not answer")
        return ((_place(place),) if place else ()) if value["answerable"] else None
    return (_place(value),)


def _place(value: object) -> Expected:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"expected must name one or more of {', '.join(PLACES)}, or be null")
    _only(value, PLACES, "in expected, ")
    return Expected(**{name: _filled(value, name) for name in value})


def _filled(values: Mapping[str, Any], name: str) -> str:
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
