"""The figures of quotes, on data of the same form as Doc2Dial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.answering.extractive import ExtractiveAnswerer
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings
from tests.benchmarks.model.extractive import NAMES, answered, quotes_in, row
from tests.benchmarks.model.grounded import GoldPassages, documents, turns
from tests.benchmarks.model.quoting import AGAINST, Labels, fit
from tests.rag.fakes import WordEmbeddings

TEXT = "Plates are returned by mail. The deposit is 20 dollars. It is paid back within a month."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "doc2dial"
    home.mkdir()
    document = {"id": "plates#1", "domain": "dmv", "title": "Plates", "text": TEXT}
    gold = [{"document": "plates#1", "text": " The deposit is 20 dollars. ", "start": TEXT.index(" The")}]
    said = [
        {"role": "user", "text": "How do I return plates?"},
        {"role": "agent", "text": "By mail.", "grounding": [{"document": "plates#1", "text": TEXT[:28], "start": 0}]},
        {"role": "agent", "text": "Anything else?"},
        {"role": "user", "text": "How much is the deposit?"},
        {"role": "agent", "text": None, "grounding": gold},
    ]
    (home / "documents.jsonl").write_text(json.dumps(document) + "\n")
    (home / "train.jsonl").write_text(json.dumps({"id": "c1", "turns": said}) + "\n")
    return tmp_path


def test_turns_hold_the_exchanges_before_them_and_the_span_without_its_margins(folder: Path) -> None:
    first, last = turns(folder, "train")
    assert (first.question.text, first.history) == ("How do I return plates?", ())
    assert [(one.question, one.answer) for one in last.history] == [
        ("How do I return plates?", "By mail. Anything else?")
    ]
    assert TEXT[last.span.start : last.span.end] == last.span.text == "The deposit is 20 dollars."


async def test_the_gold_passage_is_quoted_and_the_unit_in_the_span_is_the_one_that_answers(folder: Path) -> None:
    found, (_, turn) = documents(folder), turns(folder, "train")
    gold = GoldPassages(found, WordEmbeddings()).of(turn.span)
    answerer = ExtractiveAnswerer(WordEmbeddings(), SparseEncoder(), ModelSettings(quotes=1))
    quotes = await answered(answerer, turn.question, turn.history, (gold,), "en")
    assert (quotes.words, quotes.count) == ("The deposit is 20 dollars.", 1)
    labels = Labels(found)
    units = answerer.candidates(turn.question.text, turn.history, (gold,), "en")
    assert [unit.unit.text for unit in units if labels.of(unit, turn.span)] == ["The deposit is 20 dollars."]


def test_quotes_are_compared_without_what_stands_around_them() -> None:
    quotes = quotes_in("According to **Plates**:\n\nIt costs 20. [1] … See [it](https://e.org). [2]")
    assert (quotes.words, quotes.count) == ("It costs 20. See [it](https://e.org).", 2)
    spanish = quotes_in("Según **A**:\n\nUno. [1]\n\nAdemás, en **B**:\n\n- Dos [2]")
    assert spanish.words.split() == ["Uno.", "-", "Dos"]


@pytest.mark.parametrize(
    ("text", "f1", "exact", "contains"),
    [("The deposit: 20 dollars! [1]", 1, 1, 1), ("Yes, deposit 20 dollars. [1]", 6 / 7, 0, 1), ("No. [1]", 0, 0, 0)],
)
def test_articles_case_and_punctuation_do_not_count(text: str, f1: float, exact: float, contains: float) -> None:
    figures = dict(zip(NAMES, row(quotes_in(text), "the deposit 20 dollars"), strict=True))
    assert figures["f1"] == pytest.approx(f1)
    assert (figures["exact"], figures["contains"]) == (exact, contains)


async def test_no_weight_is_learned_with_the_wrong_sign(folder: Path) -> None:
    found, (_, turn) = documents(folder), turns(folder, "train")
    gold = GoldPassages(found, WordEmbeddings()).of(turn.span)
    answerer = ExtractiveAnswerer(WordEmbeddings(), SparseEncoder(), ModelSettings())
    units = answerer.candidates(turn.question.text, turn.history, (gold,), "en")
    judged = [(unit, unit.place == 1) for unit in units]
    wrong = [(unit, unit.place != 1) for unit in units]
    for labels in (judged, wrong):
        _, _, weights, _ = fit(("covers", "said"), [labels] * 3)
        assert weights[0] >= 0 >= weights[1]
    assert "said" in AGAINST
