"""The conversations that are played: written for this benchmark and kept beside it, half to choose with, half for the end.

A section is named as ``page#anchor``: the path of its page below the documents, and the anchor of its heading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from tests.benchmarks.retrieval.data import LANGUAGES, lines

Part = Literal["choose", "final"]
PARTS: tuple[Part, ...] = ("choose", "final")
FOLDER = Path(__file__).resolve().parent
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question and the sections that answer it; none: the library does not answer it."""

    question: str
    sections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two turns of a conversation; the second moves on to another section, or to another subject."""

    language: str
    library: str
    first: Turn
    then: Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """A question that stands alone. ``kind`` says what its section has: a list, an opening word, or neither."""

    language: str
    library: str
    turn: Turn
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person writes that no document answers; ``before`` is asked first, where it needs something before it."""

    language: str
    intent: str
    text: str
    before: str = ""


def followups(part: Part, limit: int | None) -> list[Pair]:
    """Follow-ups that move on to another section."""
    return _read("followups", part, limit, _pair)


def offtopic(part: Part, limit: int | None) -> list[Pair]:
    """Second questions that have nothing to do with the first; a few have sections of their own elsewhere."""
    return _read("offtopic", part, limit, _pair)


def paraphrases(part: Part, limit: int | None) -> list[Single]:
    """Questions in other words than their sections'."""
    return _read("paraphrase", part, limit, _single)


def across(part: Part, limit: int | None) -> list[Single]:
    """Questions in one language about pages in the other: the library holds the pages of that other language only."""
    return _read("cross", part, limit, lambda row: _single(row | {"library": f"fastapi.{row['pages']}"}))


def composition(part: Part, limit: int | None) -> list[Single]:
    """Questions whose sections have a list, an opening yes or no, or markup that a reader must not see."""
    return _read("composition", part, limit, _single)


def wishes(part: Part, limit: int | None) -> list[Wish]:
    """Wishes and courtesies."""
    return _read("intents", part, limit, lambda row: Wish(**{key: row[key] for key in row if key != "part"}))


def in_language(cases: Iterable[T], language: str) -> list[T]:
    """Those in one language."""
    return [case for case in cases if getattr(case, "language") == language]  # noqa: B009 - every case has one


def _read(name: str, part: Part, limit: int | None, case: Callable[[dict[str, Any]], T]) -> list[T]:
    """The cases of a part, at most ``limit`` of them a language."""
    rows = [row for row in lines(FOLDER / f"{name}.jsonl") if row["part"] == part]
    return [case(row) for language in LANGUAGES for row in spread(in_rows(rows, language), limit)]


def in_rows(rows: Iterable[dict[str, Any]], language: str) -> list[dict[str, Any]]:
    """The rows of one language."""
    return [row for row in rows if row["language"] == language]


def spread(cases: Sequence[T], limit: int | None) -> list[T]:
    """At most ``limit`` cases, evenly taken from all."""
    if limit is None or limit >= len(cases):
        return list(cases)
    return [cases[number * len(cases) // limit] for number in range(limit)]


def _pair(row: dict[str, Any]) -> Pair:
    return Pair(language=row["language"], library=row["library"], first=_turn(row["first"]), then=_turn(row["then"]))


def _single(row: dict[str, Any]) -> Single:
    return Single(language=row["language"], library=row["library"], turn=_turn(row), kind=row.get("kind", ""))


def _turn(row: dict[str, Any]) -> Turn:
    return Turn(question=row["question"], sections=tuple(row["sections"]))
