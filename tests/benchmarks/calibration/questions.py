"""Libraries of companies that do not exist, and questions that strangers put to them, with the sections that answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.retrieval.data import Page

FOLDER = Path(__file__).resolve().parent
LIBRARIES = tuple(sorted(path.name for path in (FOLDER / "libraries").iterdir()))
ALONE = frozenset({"plain", "short", "rough", "paraphrase"})
"""Kinds of questions that stand alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryQuestion:
    """A turn and the questions before it, oldest first. ``sections`` are ``language/page.md#anchor``; none: not answered."""

    language: str
    question: str
    kind: str
    history: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()


def questions(library: str) -> list[LibraryQuestion]:
    """The questions to a library, in both languages."""
    rows = (json.loads(line) for line in (FOLDER / f"questions.{library}.jsonl").read_text("utf-8").splitlines())
    return [
        LibraryQuestion(
            language=row["language"],
            question=row["question"],
            kind=row["kind"],
            history=tuple(row["history"]),
            sections=tuple(row["sections"]),
        )
        for row in rows
    ]


def pages(library: str, languages: Sequence[str]) -> list[Page]:
    """The pages of a library in some languages, by their paths below its folder."""
    root = FOLDER / "libraries" / library
    return [
        Page(path=str(file.relative_to(root)), markdown=file.read_text("utf-8"), language=language)
        for language in languages
        for file in sorted((root / language).rglob("*.md"))
    ]
