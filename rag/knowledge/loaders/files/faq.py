"""Reads questions and answers from CSV or JSON lines; other CSV files become tables."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rag.errors import KnowledgeError
from rag.knowledge.loaders.tables import cell, table

_COLUMNS = {
    "question": (
        "question",
        "pregunta",
        "frage",
        "pergunta",
        "domanda",
        "faq",
        "consulta",
        "问题",
        "問題",
        "質問",
        "вопрос",
        "q",
    ),
    "answer": (
        "answer",
        "respuesta",
        "antwort",
        "réponse",
        "reponse",
        "resposta",
        "risposta",
        "solution",
        "solución",
        "答案",
        "回答",
        "ответ",
        "a",
    ),
    "title": ("title", "título", "titulo"),
    "url": ("url", "link", "enlace"),
    "language": ("language", "idioma", "lang"),
    "category": ("category", "categoría", "categoria", "tema"),
}
HUGE = 500
"""From this many entries on, each category is a document: a change then re-embeds one category, not the whole file."""
HEAD = 6
"""Rows in which the names of the columns are looked for: a title or a note may stand above them."""
LONGEST_CELL = 1_000_000


_SEPARATOR = re.compile(r"\"?sep=(\\t|[,;|\t])\"?[ ]*\r?\n", re.IGNORECASE)
"""The line with which Excel names the delimiter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One question with its answer, category and other fields."""

    question: str
    answer: str
    title: str = ""
    url: str = ""
    language: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The entries of one document. ``name`` distinguishes the parts of a file; "" if there is only one."""

    name: str
    title: str
    url: str
    language: str
    markdown: str


def read_csv(text: str) -> list[Part]:
    """The parts of a FAQ, or one part with a table. Raises ``KnowledgeError`` for an empty or damaged file."""
    rows = _rows(text)
    head = next((index for index, row in enumerate(rows[:HEAD]) if _is_head(row)), -1)
    if head >= 0:
        columns = _columns(rows[head])
        return _parts([entry for row in rows[head + 1 :] if (entry := _entry(columns, row))])
    if _are_questions(rows):
        return _parts([entry for row in rows if (entry := _entry({"question": 0, "answer": 1}, row))])
    if not (markdown := table(rows)):
        raise KnowledgeError("is empty; fill it, or remove it")
    return [Part(name="", title="", url="", language="", markdown=markdown)]


def read_jsonl(text: str) -> list[Part]:
    """The parts of a FAQ. Raises ``KnowledgeError`` that names the first invalid line."""
    entries = [_line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _parts(entries)


def _rows(text: str) -> list[list[str]]:
    # The default of 131,072 characters is too small for a long answer.
    csv.field_size_limit(LONGEST_CELL)
    text = text.lstrip("\ufeff \r\n")
    declared = _SEPARATOR.match(text)
    text = text[declared.end() :] if declared else text
    try:
        return _split(text, (declared and declared[1].replace("\\t", "\t")) or _delimiter(text))
    except csv.Error as error:
        raise KnowledgeError(f"is no CSV that can be read ({error}); save it as CSV again") from error


def _split(text: str, delimiter: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(map(str.strip, row))]


def _delimiter(text: str) -> str:
    """The character that splits the first rows most evenly; csv.Sniffer takes letters for delimiters in short files."""
    beginning = "".join(text[:20_000].splitlines(keepends=True)[:40])

    def evenness(delimiter: str) -> tuple[bool, float, int]:
        widths = [len(row) for row in _split(beginning, delimiter)]
        usual = max(set(widths), key=lambda width: (widths.count(width), width), default=1)
        return usual > 1, widths.count(usual) / max(1, len(widths)), usual

    return max(",;\t|", key=evenness)


def _is_head(row: Sequence[str]) -> bool:
    return {"question", "answer"} <= _columns(row).keys()


def _are_questions(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a file without names of columns has a question in each first cell and something else in the second."""
    if len(rows) < 2 or any(len(row) < 2 for row in rows):
        return False
    asked = sum(row[0].strip().endswith("?") and not row[1].strip().endswith("?") for row in rows)
    return asked >= 0.8 * len(rows)


def _columns(head: Sequence[str]) -> dict[str, int]:
    names = [_name(cell) for cell in head]
    indexes: dict[str, int] = {}
    for key, aliases in _COLUMNS.items():
        near = (index for index, name in enumerate(names) if _is_near(name, aliases))
        index = next((names.index(name) for name in aliases if name in names), next(near, -1))
        if index >= 0 and index not in indexes.values():
            indexes[key] = index
    return indexes


def _name(cell: str) -> str:
    return re.sub(r"[^\w]+", " ", cell).strip().lower()


def _is_near(name: str, aliases: Sequence[str]) -> bool:
    """Whether a column's name has one of these words, also in the plural ("Preguntas frecuentes", "FAQ question")."""
    if len(name.split()) > 3:
        return False
    return any(word.removesuffix("s") in aliases or word in aliases for word in name.split() if len(word) > 2)


def _entry(columns: Mapping[str, int], row: Sequence[str]) -> Entry | None:
    """The entry of a row; None if question or answer is empty, because someone may still fill it in."""
    values = {key: row[index].strip() for key, index in columns.items() if index < len(row)}
    return Entry(**values) if values.get("question") and values.get("answer") else None


def _line(number: int, line: str) -> Entry:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise KnowledgeError(
            f"is no JSON in line {number}; write one object with question and answer a line"
        ) from error
    lowered = {str(key).strip().lower(): value for key, value in fields.items()} if isinstance(fields, dict) else {}
    values = {
        key: next((_text(lowered[name]) for name in aliases if name in lowered), "")
        for key, aliases in _COLUMNS.items()
    }
    if not values["question"] or not values["answer"]:
        raise KnowledgeError(f"has no question and answer in line {number}; name the fields question and answer")
    return Entry(**values)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _parts(entries: Sequence[Entry]) -> list[Part]:
    if not entries:
        raise KnowledgeError("has no entry with question and answer; fill it, or remove it")
    huge = len(entries) >= HUGE
    groups: dict[tuple[str, str, str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.language, entry.category if huge else "", entry.title, entry.url), []).append(entry)
    return [
        Part(
            name="·".join(key).strip("·") if len(groups) > 1 else "",
            title=title or (category if huge else ""),
            url=url,
            language=language,
            markdown="\n\n".join(_sections(group)),
        )
        for key, group in groups.items()
        for language, category, title, url in [key]
    ]


def _sections(entries: Sequence[Entry]) -> Iterator[str]:
    """Headings with answers, one for each question, grouped by category if there are several categories."""
    by_category: dict[str, list[Entry]] = {}
    for entry in entries:
        by_category.setdefault(entry.category, []).append(entry)
    for category, members in by_category.items():
        nested = bool(category) and len(by_category) > 1
        if nested:
            yield f"## {cell(category)}"
        for entry in members:
            yield f"{'###' if nested else '##'} {' '.join(entry.question.split())}"
            yield entry.answer
