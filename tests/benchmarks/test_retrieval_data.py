"""The data sets of ``make bench-retrieval`` are read as their formats say; our own questions keep what they promise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rag.retrieval.embeddings import minilm
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.ingesting import operations
from tests.benchmarks.retrieval.ours import write


def jsonl(file: Path, rows: Sequence[Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_claim_knows_the_abstracts_that_are_relevant(tmp_path: Path) -> None:
    jsonl(tmp_path / "scifact" / "corpus.jsonl", [{"_id": "7", "title": "Tea", "text": "Tea is hot."}])
    jsonl(tmp_path / "scifact" / "queries.jsonl", [{"_id": "1", "text": "Is tea hot?"}, {"_id": "2", "text": "No?"}])
    qrels = tmp_path / "scifact" / "qrels" / "test.tsv"
    qrels.parent.mkdir()
    qrels.write_text("query-id\tcorpus-id\tscore\n1\t7\t1\n1\t8\t0\n", encoding="utf-8")
    pages, claims = data.scifact(tmp_path)
    assert [(page.path, page.markdown) for page in pages] == [("7.md", "# Tea\n\nTea is hot.\n")]
    assert [(claim.asked.text, claim.relevant) for claim in claims] == [("Is tea hot?", frozenset({"7.md"}))]


def test_a_grounded_turn_has_the_last_question_all_before_it_and_the_span_without_white_space(tmp_path: Path) -> None:
    document = {"id": "Fees#1", "domain": "dmv", "title": "Fees", "text": "Hello. It costs 20 dollars. "}
    gold = {"document": "Fees#1", "text": " It costs 20 dollars. ", "start": 6}
    turns = [
        {"role": "user", "text": "Hi"},
        {"role": "agent", "text": "What do you need?"},
        {"role": "user", "text": "How much?"},
        {"role": "agent", "grounding": [gold]},
    ]
    jsonl(tmp_path / "doc2dial" / "documents.jsonl", [document])
    jsonl(tmp_path / "doc2dial" / "dev.jsonl", [{"id": "1", "turns": turns}])
    _, texts, (turn,) = data.doc2dial(tmp_path)
    assert (turn.asked.text, turn.asked.history) == ("How much?", ("Hi", "What do you need?"))
    assert texts[turn.path][turn.start : turn.end] == "It costs 20 dollars."


def test_the_passages_of_all_conversations_are_one_pool_without_repetition(tmp_path: Path) -> None:
    one, two = {"document_id": "a", "text": "A."}, {"document_id": "b", "text": "B."}
    turn = {"speaker": "user", "text": "And B?"}
    rows = [
        {"contexts": [one], "input": [turn], "answerability": ["ANSWERABLE"]},
        {"contexts": [two, one], "input": [{"speaker": "user", "text": "A?"}, turn], "answerability": ["PARTIAL"]},
    ]
    jsonl(tmp_path / "mtrag" / "answerability_dev.jsonl", rows)
    pool, judged = data.mtrag(tmp_path)
    assert sorted(page.markdown for page in pool) == ["A.", "B."]
    assert [one.answerability for one in judged] == ["answerable", "partial"]
    assert judged[1].asked.history == ("A?",)


@pytest.mark.parametrize("language", data.LANGUAGES)
def test_there_are_sixty_questions_a_language_over_many_pages(language: str) -> None:
    rows = list(data.lines(data.QUESTIONS / f"fastapi_questions.{language}.jsonl"))
    assert len({row["question"] for row in rows}) == len(rows) == 60
    assert {row["language"] for row in rows} == {language}
    assert len({row["pages"][0] for row in rows}) >= 45
    assert all(page.startswith(f"{language}/docs/") for row in rows for page in row["pages"])


def test_pages_become_a_source_a_language(tmp_path: Path) -> None:
    pages = [data.Page(path="en/a.md", markdown="A", language="en"), data.Page(path="b.md", markdown="B")]
    sources = {source.name: source for source in write(pages, tmp_path)}
    assert (tmp_path / "en" / "en" / "a.md").read_text(encoding="utf-8") == "A"
    assert {name: source.language for name, source in sources.items()} == {"any": None, "en": "en"}


@pytest.mark.parametrize("tokens", [1, 17, 256])
def test_the_operations_of_a_text_are_those_that_torch_counts(tokens: int) -> None:
    model = (
        minilm.untrained().train()
    )  # in evaluation torch takes one fused step a layer, which its counter does not see into
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros((1, tokens), dtype=torch.long), torch.ones((1, tokens), dtype=torch.bool))
    assert operations(tokens) == counter.get_total_flops()
