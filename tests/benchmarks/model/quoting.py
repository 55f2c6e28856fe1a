"""``python -m tests.benchmarks.model.quoting``: learns the weights of quoting and prints them for rag/answering/quoting.py.

A unit answers where it lies in the span that grounds the agent's turn, or holds it: Doc2Dial's training conversations, each
turn with what our search finds and with the passage that holds the span. Questions about the handbook in English and
Spanish (``handbook_quotes.jsonl``) keep the weights honest where documents have headings and steps. Nothing of dev is read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rag.answering.extractive import ExtractiveAnswerer, recent
from rag.answering.quoting import BY_MEANING, BY_WORDS
from rag.answering.selection import Candidate
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings
from rag.types import Exchange, Hit
from tests.benchmarks.model.grounded import LONG_AGO, Documents, Met, Span, in_order, searched
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.figures import auroc
from tests.benchmarks.retrieval.ours import Cotorra
from tests.benchmarks.retrieval.spans import Places

HANDBOOK = Path(__file__).resolve().parents[3] / "docs"
QUOTES = Path(__file__).resolve().parent.parent / "handbook_quotes.jsonl"
AGAINST = {"said", "asks"}
"""What speaks against a unit; every other feature may only speak for it."""
SHARES = (0.5, 0.5, 0.3)
"""What the units of the search, of the gold passages and of the handbook count, each set in all."""
PENALTY = 0.002
"""Of the squared weights, beside the loss of all sets."""

Figures = NDArray[np.float64]
JudgedTurn: TypeAlias = list[tuple[Candidate, bool]]
"""Units, and whether each answers."""


class Labels:
    """Which units answer, by where they stand in the document."""

    def __init__(self, found: Documents) -> None:
        self._places = {path: Places(text) for path, text in found.texts.items()}

    def of(self, candidate: Candidate, span: Span) -> bool:
        """Half of the unit lies in the span, or half of the span in the unit."""
        path = candidate.hit.passage.document.removeprefix("any/")
        if path != span.path:
            return False
        own = set(self._places[path].of(candidate.unit.words).values())
        shared = len(own & set(range(span.start, span.end)))
        return 2 * shared >= min(len(own), span.end - span.start) and shared > 0


def asked_of_handbook() -> Iterator[tuple[dict[str, Any], tuple[Exchange, ...]]]:
    """Rows of the file with their histories as exchanges."""
    for row in map(json.loads, QUOTES.read_text(encoding="utf-8").splitlines()):
        said = row["history"]
        pairs = zip(said[::2], said[1::2], strict=True)
        yield (
            row,
            tuple(
                Exchange(turn_id="t", question=question, answer=answer, asked_at=LONG_AGO, speaker="ana")
                for question, answer in pairs
            ),
        )


async def handbook_hits(rows: Sequence[dict[str, Any]]) -> list[tuple[Hit, ...]]:
    """What the search finds for each row in the handbook."""
    pages = [
        data.Page(
            path=str(file.relative_to(HANDBOOK)),
            markdown=file.read_text(encoding="utf-8"),
            language=file.relative_to(HANDBOOK).parts[0],
        )
        for file in sorted(HANDBOOK.rglob("*.md"))
    ]
    with tempfile.TemporaryDirectory() as home:
        system = Cotorra(Path(home))
        await system.load(pages)
        found = [await system.retrieve(data.Asked(text=row["question"], history=tuple(row["history"]))) for row in rows]
        await system.close()
    return [in_order(each.hits) for each in found]


def answers(candidate: Candidate, row: dict[str, Any]) -> bool:
    """Whether the unit is one of those that the row calls an answer."""
    return any(quote in candidate.unit.words for quote in row["quotes"])


async def handbook(answerer: ExtractiveAnswerer) -> list[JudgedTurn]:
    """The units of each question."""
    asked = list(asked_of_handbook())
    hits = await handbook_hits([row for row, _ in asked])
    return [
        [(each, answers(each, row)) for each in answerer.candidates(row["question"], history, found, row["language"])]
        for (row, history), found in zip(asked, hits, strict=True)
    ]


async def by_meaning(answerer: ExtractiveAnswerer, met: Met, hits: Sequence[Hit]) -> list[Candidate]:
    """The units of the first passages with their cosines, also where words would decide: the few others teach little."""
    found = answerer.candidates(met.turn.question.text, met.turn.history, hits, "en")
    await answerer.compare(recent(met.turn.question.text, met.turn.history), found)
    return [candidate for candidate in found if "cosine" in candidate.evidence]


def fit(features: Sequence[str], sets: Sequence[JudgedTurn]) -> tuple[Figures, Figures, Figures, float]:
    """Means, scales, weights and intercept of a logistic whose weights have the sign that they should have."""
    tables = [_table(features, judged) for judged in sets]
    table = np.concatenate([rows for rows, _ in tables])
    labels = np.concatenate([truth for _, truth in tables])
    counts = np.concatenate(
        [np.full(len(truth), share / len(truth)) for (_, truth), share in zip(tables, SHARES, strict=True)]
    )
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


def _table(features: Sequence[str], judged: JudgedTurn) -> tuple[Figures, Figures]:
    rows = np.array([[candidate.evidence[name] for name in features] for candidate, _ in judged])
    return rows, np.array([float(truth) for _, truth in judged])


def show(name: str, features: Sequence[str], sets: Sequence[JudgedTurn]) -> None:
    """Learns and prints."""
    means, scales, weights, intercept = fit(features, sets)
    print(f"{name}: features={features},")
    for label, figures in (("weights", weights), ("means", means), ("scales", scales)):
        print(f"    {label}=({', '.join(f'{figure:.3f}' for figure in figures)}),")
    print(f"    intercept={intercept:.3f},")
    for part, judged in zip(("search", "gold", "handbook"), sets, strict=True):
        rows, labels = _table(features, judged)
        odds = (rows - means) / scales @ weights + intercept
        area = auroc(odds[labels == 1].tolist(), odds[labels == 0].tolist())
        print(f"# {part}: {len(labels)} units, {int(labels.sum())} answer, AUROC on them {area:.3f}")


async def main(folder: Path) -> None:
    """Both sets of weights."""
    answerer = ExtractiveAnswerer(PackagedEmbeddings(), SparseEncoder(), ModelSettings())
    documents, met = await searched(folder, "train")
    labels = Labels(documents)
    asked = await handbook(answerer)
    at_home = [pair for judged in asked for pair in judged]
    words: list[JudgedTurn] = [[], []]
    meaning: list[JudgedTurn] = [[], []]
    for one in met:
        for place, hits in enumerate((one.hits, (one.gold,))):
            found = answerer.candidates(one.turn.question.text, one.turn.history, hits, "en")
            words[place] += [(each, labels.of(each, one.turn.span)) for each in found]
            meaning[place] += [(each, labels.of(each, one.turn.span)) for each in await by_meaning(answerer, one, hits)]
    show("BY_WORDS", BY_WORDS.features, [*words, at_home])
    await _compared(answerer, asked)
    show("BY_MEANING", BY_MEANING.features, [*meaning, [pair for pair in at_home if "cosine" in pair[0].evidence]])


async def _compared(answerer: ExtractiveAnswerer, asked: Sequence[JudgedTurn]) -> None:
    for (row, history), judged in zip(asked_of_handbook(), asked, strict=True):
        await answerer.compare(recent(row["question"], history), [candidate for candidate, _ in judged])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    asyncio.run(main(parser.parse_args().data))
