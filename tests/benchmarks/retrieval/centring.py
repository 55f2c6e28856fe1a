"""``python -m tests.benchmarks.retrieval.centring``: computes what lies in the middle of multilingual-e5-small's vectors.

Prints both constants of ``rag/retrieval/embeddings/centre.py``: the mean of each side over the handbook in both languages and the
training conversations of Doc2Dial with their documents, each language counting as much as the other.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag.knowledge.chunking import embedding_text, split
from rag.knowledge.loaders.documents import LoadedDocument
from rag.retrieval.embeddings.centre import packed
from rag.retrieval.embeddings.multilingual import MultilingualEmbeddings
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.data import Page
from tests.benchmarks.retrieval.figures import SEED

HANDBOOK = Path(__file__).resolve().parents[3] / "docs"
TEXTS = 300
"""Of each kind; more move a cosine in its third place."""


def centres(folder: Path, model: MultilingualEmbeddings) -> tuple[str, str]:
    """The middle of questions and that of passages, as text."""
    pages, _, turns = data.doc2dial(folder, "train")
    passages = [_passages(_handbook("en"), model), _passages(pages, model), _passages(_handbook("es"), model)]
    questions = [_questions("en"), _some([turn.asked.text for turn in turns]), _questions("es")]
    read = [_mean(model.embed_documents(texts)) for texts in passages]
    asked = [_mean(model.embed_queries(texts)) for texts in questions]
    return packed(_balanced(asked)), packed(_balanced(read))


def _balanced(means: Sequence[np.ndarray]) -> list[float]:
    """Of two English means and a Spanish one."""
    first, second, spanish = means
    middle: list[float] = (((first + second) / 2 + spanish) / 2).tolist()
    return middle


def _handbook(language: str) -> list[Page]:
    files = sorted((HANDBOOK / language).rglob("*.md"))
    return [Page(path=file.name, markdown=file.read_text(encoding="utf-8"), language=language) for file in files]


def _questions(language: str) -> list[str]:
    rows = data.lines(data.QUESTIONS / "handbook_questions.jsonl")
    return [row["question"] for row in rows if row["language"] == language]


def _passages(pages: Sequence[Page], model: MultilingualEmbeddings) -> list[str]:
    documents = [
        LoadedDocument(
            id=page.path, source="", title="", url=page.path, markdown=page.markdown, language="", audience="public"
        )
        for page in pages
    ]
    cut = (split(document, window=256, count_tokens=model.count_tokens) for document in documents)
    return _some([embedding_text(passage) for passages in cut for passage in passages])


def _some(texts: Sequence[str]) -> list[str]:
    return random.Random(SEED).sample(texts, min(TEXTS, len(texts)))


def _mean(vectors: list[list[float]]) -> np.ndarray:
    middle: np.ndarray = np.mean(vectors, axis=0)
    return middle


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    print("\n".join(centres(parser.parse_args().data, MultilingualEmbeddings(exact=True, centred=False))))
