"""Questions and answers in CSV and JSON lines, and tables that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from rag.knowledge.loaders.files.faq import HUGE, read_csv, read_jsonl
from rag.knowledge.loaders.sources import Candidate, LoadedDocument, Unreadable, discover
from rag.settings import SourceSettings


def loaded(path: Path) -> list[LoadedDocument]:
    found = discover(SourceSettings(name="kb", path=path), path.parent / "cache")
    return [each.load() for each in found if isinstance(each, Candidate)]


def test_each_question_is_a_heading_with_its_answer_below(tmp_path: Path) -> None:
    file = tmp_path / "faq.csv"
    file.write_text('Question,Answer,Owner\nHow do I pay?,"By card,\nor by bank.",x\nTo do,,x\nIs it safe?,Yes.,x\n')
    (document,) = loaded(file)
    assert (document.id, document.title) == ("kb/faq.csv", "faq")
    assert document.markdown == "## How do I pay?\n\nBy card,\nor by bank.\n\n## Is it safe?\n\nYes."


def test_a_spanish_table_from_excel_is_read_as_one(tmp_path: Path) -> None:
    file = tmp_path / "preguntas.csv"
    file.write_bytes("Pregunta;Respuesta\n¿Cuántos días?;Veintitrés al año.\n".encode("cp1252"))
    (document,) = loaded(file)
    assert (document.markdown, document.language) == ("## ¿Cuántos días?\n\nVeintitrés al año.", "es")


def test_json_lines_are_read_and_an_entry_with_its_own_address_or_language_is_a_document(tmp_path: Path) -> None:
    lines = [
        {"question": "Where?", "answer": "Here."},
        {"Pregunta": "¿Dónde?", "Respuesta": "Aquí.", "idioma": "es"},
        {"question": "When?", "answer": "Now.", "url": "https://e.com/when", "title": "Times"},
    ]
    file = tmp_path / "faq.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    assert [(each.id, each.title, each.url, each.language) for each in loaded(file)] == [
        ("kb/faq.jsonl", "faq", "faq.jsonl", "en"),
        ("kb/faq.jsonl/es", "faq", "faq.jsonl", "es"),
        ("kb/faq.jsonl/Times·https://e.com/when", "Times", "https://e.com/when", "en"),
    ]


def test_categories_stand_above_their_questions() -> None:
    (part,) = read_csv("category,question,answer\nPay,How?,Card.\nShip,When?,Soon.\nPay,Who?,You.\n")
    assert part.markdown.split("\n\n") == [
        *("## Pay", "### How?", "Card.", "### Who?", "You."),
        *("## Ship", "### When?", "Soon."),
    ]


def test_a_huge_file_is_a_document_for_each_category() -> None:
    rows = "".join(f"c{number % 2},Question {number}?,Answer {number}.\n" for number in range(HUGE))
    parts = read_csv("category,question,answer\n" + rows)
    assert [(part.name, part.title, part.markdown.count("## ")) for part in parts] == [
        ("c0", "c0", HUGE // 2),
        ("c1", "c1", HUGE // 2),
    ]


def test_any_other_csv_is_a_table() -> None:
    (part,) = read_csv("Plan\tPrice\nBasic\t3\nPro\n")
    assert part.markdown == "| Plan | Price |\n| --- | --- |\n| Basic | 3 |\n| Pro |  |"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{}", "has no question and answer in line 1"),
        ('{"question": "a", "answer": "b"}\n[1]', "has no question and answer in line 2"),
        ('\n{"question": ', "is no JSON in line 2"),
        ("[" * 100_000, "is no JSON in line 1"),
    ],
)
def test_json_lines_that_are_no_questions_name_the_line(content: str, why: str) -> None:
    with pytest.raises(KnowledgeError, match=why):
        read_jsonl(content)


def test_a_csv_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\n")
    (tmp_path / "b.csv").write_text('a,"' + "x" * 2_000_000)
    found = list(discover(SourceSettings(name="kb", path=tmp_path), tmp_path / "cache"))
    assert [each.reason.partition(" (")[0] for each in found if isinstance(each, Unreadable)] == [
        "has no entry with question and answer; fill it, or remove it",
        "is no CSV that can be read",
    ]


@pytest.mark.parametrize(
    "text",
    [
        'sep=;\nquestion;answer\n"How long, please?";"Two; or three days."\n',
        '"sep=,"\r\nQuestion,Answer\r\n"How long, please?","Two; or three days."\r\n',
        '\ufeff\nPREGUNTA;RESPUESTA\n"How long, please?";"Two; or three days."\n',
        'FAQ of the shop;;\n;;\nPreguntas frecuentes;Respuestas;Owner\n"How long, please?";"Two; or three days.";x\n',
        "No.\tQuestion text\tAnswer text\n1\tHow long, please?\tTwo; or three days.\n",
        "Frage|Antwort\nHow long, please?|Two; or three days.\n",
        '"How long, please?";"Two; or three days."\n',
    ],
)
def test_a_faq_is_recognised_however_it_was_saved(text: str) -> None:
    second = '"Open, too?";"Yes, daily."\n' if text.startswith('"How') else ""
    assert read_csv(text + second)[0].markdown.startswith("## How long, please?\n\nTwo; or three days.")


def test_a_table_with_a_question_mark_is_no_faq() -> None:
    assert read_csv("Plan,Price\nBasic?,1\nPlus,2\n")[0].markdown.startswith("| Plan | Price |")
