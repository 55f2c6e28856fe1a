"""``python -m tests.benchmarks.retrieval.calibrating``: learns the packaged calibration and prints it for calibration.py.

A turn of Doc2Dial's training conversations is answered where its grounding is among the passages found, and cannot be with
its document left out of what the legs match: the nearest negatives there are. The handbook's questions teach what lies
further off, and Spanish. Both are asked in their conversations and after a change of subject, since what was asked before must
not stand in for the question; histories hold questions only, as the chain gives them. All four sets count the same, and so do
both classes of each. Nothing of any dev or test part is read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rag.retrieval.calibration import DEFAULT
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.evidence import FEATURES
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import Choose, IndexQuery, RetrievedPassage
from rag.retrieval.retriever import HybridRetriever
from rag.retrieval.sparse import SparseEncoder
from rag.types import Query, Retrieval
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.data import Grounded
from tests.benchmarks.retrieval.figures import auroc
from tests.benchmarks.retrieval.measures import characters_until
from tests.benchmarks.retrieval.ours import EVERYONE, Cotorra, retriever, shown
from tests.benchmarks.retrieval.spans import Places

HANDBOOK = Path(__file__).resolve().parents[3] / "docs"
QUESTIONS = Path(__file__).resolve().parent.parent / "handbook_questions.jsonl"
AGAINST = {"missing"}
"""What speaks against an answer; every other feature may only speak for it."""
EVERY = 3
"""Of the training turns, one in so many."""
SEED = 3
TURNS = 3
"""Questions of the conversation before a change of subject."""
NAMES = ("Doc2Dial train", "Doc2Dial train after another subject", "handbook", "handbook after another question")
PENALTY = 0.02
"""Of the squared weights, beside a mean loss per set of 1."""

Figures = NDArray[np.float64]
Row = dict[str, Any]
Table = tuple[Figures, Figures]
"""Rows of evidence, and for each 1 (answered) or 0."""


class Without(EdgeIndex):
    """An index of which one document may be left out."""

    absent = ""

    async def search(self, query: IndexQuery, choose: Choose) -> list[RetrievedPassage]:
        """As if that document were not there."""
        return await super().search(
            query, lambda legs: choose([[match for match in leg if match.document != self.absent] for leg in legs])
        )


async def loaded(pages: Sequence[data.Page], home: Path) -> tuple[Without, HybridRetriever]:
    """The pages in an index, and what finds in it."""
    embeddings = PackagedEmbeddings()
    system = Cotorra(home, embeddings)
    await system.load(pages)
    await system.close()
    index = Without(home / "passages", embeddings.dimension)
    await index.open()
    return index, retriever(index, embeddings, SparseEncoder())


async def doc2dial(folder: Path, home: Path) -> list[Table]:
    """Evidence and labels: of turns in their conversations, and of first turns after another conversation."""
    pages, texts, turns = data.doc2dial(folder, "train", answers=False)
    index, finder = await loaded(pages, home)
    places = {path: Places(text) for path, text in texts.items()}
    tables = []
    for asked in (turns[::EVERY], _changed(turns)):
        rows: list[tuple[Retrieval, float]] = []
        for turn in asked:
            query = Query(text=turn.asked.text, history=turn.asked.history, language="en")
            index.absent = ""
            found = await finder.find(query, EVERYONE)
            if characters_until(turn, [shown(hit) for hit in found.hits], places) < float("inf"):
                rows.append((found, 1.0))
            index.absent = f"any/{turn.path}"
            rows.append((await finder.find(query, EVERYONE), 0.0))
        tables.append(_table(rows))
    await index.close()
    return tables


def _changed(turns: Sequence[Grounded]) -> list[Grounded]:
    """First turns, each after the questions of a conversation about another document."""
    chance = random.Random(SEED)
    others = [turn for turn in turns if len(turn.asked.history) >= TURNS - 1]
    changed = []
    for turn in (turn for turn in turns if not turn.asked.history):
        before = chance.choice([other for other in chance.sample(others, 20) if other.path != turn.path]).asked
        asked = data.Asked(text=turn.asked.text, history=(*before.history, before.text)[-TURNS:])
        changed.append(replace(turn, asked=asked))
    return changed


async def handbook(home: Path) -> list[Table]:
    """Evidence and labels: of questions as they stand, and of each that stands alone after a question that was answered."""
    pages = [
        data.Page(
            path=str(file.relative_to(HANDBOOK)),
            markdown=file.read_text(encoding="utf-8"),
            language=file.relative_to(HANDBOOK).parts[0],
        )
        for file in sorted(HANDBOOK.rglob("*.md"))
    ]
    index, finder = await loaded(pages, home)
    questions: list[Row] = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    tables = []
    for asked in ([(row, tuple(row["history"][::2])) for row in questions], _after_another(questions)):
        rows: list[tuple[Retrieval, float]] = []
        for row, history in asked:
            query = Query(text=row["question"], history=history, language=row["language"])
            rows.append((await finder.find(query, EVERYONE), float(row["answerable"])))
        tables.append(_table(rows))
    await index.close()
    return tables


def _after_another(questions: Sequence[Row]) -> list[tuple[Row, tuple[str, ...]]]:
    """Each question that stands alone, after two others of its language in turn."""
    chance = random.Random(SEED)
    alone = [row for row in questions if not row["history"]]
    pairs: list[tuple[Row, tuple[str, ...]]] = []
    for row in alone:
        others = [
            each["question"]
            for each in alone
            if each["answerable"] and each["language"] == row["language"] and each is not row
        ]
        pairs += [(row, (chance.choice(others),)) for _ in range(2)]
    return pairs


def fit(features: Sequence[str], sets: Sequence[Table]) -> tuple[Figures, Figures, Figures, float]:
    """Means, scales, weights and intercept of a logistic whose weights have the sign that they should have."""
    table, labels = np.concatenate([rows for rows, _ in sets]), np.concatenate([labels for _, labels in sets])
    counts = np.concatenate([_balanced(labels) for _, labels in sets])
    means, scales = table.mean(0), table.std(0)
    scaled = (table - means) / scales

    def loss(weights: Figures) -> tuple[float, Figures]:
        odds = scaled @ weights[:-1] + weights[-1]
        error = (1 / (1 + np.exp(-odds)) - labels) * counts
        slope = np.append(scaled.T @ error + 2 * PENALTY * weights[:-1], error.sum())
        return float(
            (counts * (np.logaddexp(0, odds) - labels * odds)).sum() + PENALTY * (weights[:-1] ** 2).sum()
        ), slope

    bounds = [(None, 0) if name in AGAINST else (0, None) for name in features]
    found = minimize(loss, np.zeros(len(features) + 1), jac=True, bounds=[*bounds, (None, None)], method="L-BFGS-B").x
    return means, scales, found[:-1], float(found[-1])


def _balanced(labels: Figures) -> Figures:
    shares: Figures = np.where(labels == 1, 0.5 / (labels == 1).sum(), 0.5 / (labels == 0).sum())
    return shares


def _table(rows: Sequence[tuple[Retrieval, float]]) -> Table:
    table = np.array([[found.evidence[name] for name in FEATURES] for found, _ in rows])
    return table, np.array([label for _, label in rows])


def _chosen(rows: Figures) -> Figures:
    return rows[:, [FEATURES.index(name) for name in DEFAULT.features]]


async def main(folder: Path) -> None:
    """Learn and print."""
    with tempfile.TemporaryDirectory() as home:
        sets = [*await doc2dial(folder, Path(home) / "doc2dial"), *await handbook(Path(home) / "handbook")]
    chosen = [(_chosen(rows), labels) for rows, labels in sets]
    means, scales, weights, intercept = fit(DEFAULT.features, chosen)
    for name, figures in (("weights", weights), ("means", means), ("scales", scales)):
        print(f"    {name}=({', '.join(f'{figure:.3f}' for figure in figures)}),")
    print(f"    intercept={intercept:.3f},")
    for name, (rows, labels) in zip(NAMES, chosen, strict=True):
        odds = (rows - means) / scales @ weights + intercept
        area = auroc(odds[labels == 1].tolist(), odds[labels == 0].tolist())
        print(f"# {name}: {len(labels)} cases, {int(labels.sum())} answered, AUROC on them {area:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    asyncio.run(main(parser.parse_args().data))
