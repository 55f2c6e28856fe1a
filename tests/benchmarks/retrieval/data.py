"""The data sets as questions about pages. Nothing of them is kept: the folder is an argument."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "es")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A document as every system gets it: its name, the whole file, and its language (ISO 639-1, empty: to be detected)."""

    path: str
    markdown: str
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A turn and what was said before it, oldest first."""

    text: str
    history: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A query of SciFact with the paths of the abstracts that are relevant."""

    asked: Asked
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounded:
    """A turn of Doc2Dial; ``start`` and ``end`` are offsets into the text of the page ``path``."""

    asked: Asked
    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A question on the FastAPI documentation, the paths that answer it and the anchor on the first of them."""

    asked: Asked
    language: str
    pages: tuple[str, ...]
    section: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedTurn:
    """A conversation of MTRAG and what its annotators called its last turn."""

    asked: Asked
    answerability: str


def lines(path: Path) -> Iterator[Any]:
    """The values of a JSONL file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def scifact(folder: Path) -> tuple[list[Page], list[Claim]]:
    """The corpus, and the queries of the test part."""
    pages = [
        Page(path=f"{row['_id']}.md", markdown=f"# {row['title']}\n\n{row['text']}\n")
        for row in lines(folder / "scifact" / "corpus.jsonl")
    ]
    relevant: dict[str, set[str]] = {}
    for row in (folder / "scifact" / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = row.split("\t")
        if int(score) > 0:
            relevant.setdefault(query, set()).add(f"{document}.md")
    texts = {row["_id"]: row["text"] for row in lines(folder / "scifact" / "queries.jsonl")}
    claims = [Claim(asked=Asked(text=texts[query]), relevant=frozenset(found)) for query, found in relevant.items()]
    return pages, claims


def doc2dial(
    folder: Path, part: str = "dev", *, answers: bool = True
) -> tuple[list[Page], dict[str, str], list[Grounded]]:
    """The documents as pages, their original texts by path, and every agent turn with a grounding.

    Without ``answers``, a history holds what the user said, and nothing of the agent.
    """
    rows = list(lines(folder / "doc2dial" / "documents.jsonl"))
    paths = {row["id"]: f"{number:03}.txt" for number, row in enumerate(rows)}
    pages = [Page(path=paths[row["id"]], markdown=f"{row['title']}\n\n{row['text']}\n") for row in rows]
    turns = [
        turn
        for conversation in lines(folder / "doc2dial" / f"{part}.jsonl")
        for turn in _grounded(conversation["turns"], paths, answers=answers)
    ]
    return pages, {paths[row["id"]]: row["text"] for row in rows}, turns


def _grounded(turns: Sequence[dict[str, Any]], paths: dict[str, str], *, answers: bool) -> Iterator[Grounded]:
    """The last turn of the user before each, and all before that; the very last turn has a grounding and no text."""
    for number, turn in enumerate(turns):
        if turn["role"] != "agent" or not turn.get("grounding"):
            continue
        last = max(earlier for earlier in range(number) if turns[earlier]["role"] == "user")
        history = tuple(earlier["text"] for earlier in turns[:last] if answers or earlier["role"] == "user")
        gold = turn["grounding"][0]
        start = gold["start"] + len(gold["text"]) - len(gold["text"].lstrip())
        end = gold["start"] + len(gold["text"].rstrip())
        asked = Asked(text=turns[last]["text"], history=history)
        yield Grounded(asked=asked, path=paths[gold["document"]], start=start, end=end)


def fastapi(folder: Path) -> tuple[list[Page], list[Expected]]:
    """The pages of both languages, and our own questions in both."""
    root = folder / "fastapi-docs" / "docs"
    pages = [
        Page(path=str(file.relative_to(root)), markdown=file.read_text(encoding="utf-8"), language=language)
        for language in LANGUAGES
        for file in sorted((root / language).rglob("*.md"))
    ]
    questions = [
        Expected(
            asked=Asked(text=row["question"]),
            language=row["language"],
            pages=tuple(row["pages"]),
            section=row.get("section", ""),
        )
        for language in LANGUAGES
        for row in lines(QUESTIONS / f"fastapi_questions.{language}.jsonl")
    ]
    return pages, questions


def mtrag(folder: Path) -> tuple[list[Page], list[JudgedTurn]]:
    """All passages of all conversations as one pool, and the conversations."""
    pool: dict[str, str] = {}
    judged: list[JudgedTurn] = []
    for row in lines(folder / "mtrag" / "answerability_dev.jsonl"):
        pool |= {context["document_id"]: context["text"] for context in row["contexts"]}
        *history, last = (turn["text"] for turn in row["input"])
        judged.append(
            JudgedTurn(asked=Asked(text=last, history=tuple(history)), answerability=row["answerability"][0].lower())
        )
    return [Page(path=f"{number:04}.md", markdown=text) for number, text in enumerate(pool.values())], judged
