"""``python -m tests.benchmarks.retrieval.calibrating --embedding NAME``: learns a packaged calibration and prints it.

From the libraries of ``tests/benchmarks/calibration``, each with its pages in both languages and in one: what their questions
find, what questions to other libraries and those of BANKING77 find there, alone and after a question that was answered.
And from Doc2Dial's training conversations: a turn is answered with its document in the index, and not with it taken out.
Neither the handbook, which benchmarks ask about, nor a test part of anything is learnt from.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import random
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rag.retrieval.embeddings.models import TextEmbeddings, load_embeddings
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import Choose, IndexQuery, RetrievedPassage
from rag.retrieval.retriever import HybridRetriever
from rag.retrieval.sparse import SparseEncoder
from rag.settings import EmbeddingSettings
from rag.types import Query
from tests.benchmarks.calibration.questions import ALONE, LIBRARIES, LibraryQuestion, pages, questions
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.figures import auroc
from tests.benchmarks.retrieval.ours import EVERYONE, Cotorra, retriever

PACKAGED = ("matched_recent", "matched_best", "later_matched", "peak", "lead", "missing_alike", "length")
"""Chosen one after the other as long as the loss on a library that was not learnt from became smaller by .001."""
GENERAL = ("covered", "missing_alike", "conversation_covered", "lead", "terms", "alone")
"""What means the same whatever the scale of a model's cosines."""
FREE = frozenset({"later_matched", "length", "terms", "alone"})
"""May speak for an answer or against it."""
AGAINST = frozenset({"missing", "missing_alike"})
"""What may only speak against an answer; every other feature but those of ``FREE`` may only speak for it."""
EVERY = 4
"""Of Doc2Dial's training turns, one in so many."""
STRANGE = 10
"""Questions of each other library that are put to one."""
BANKING = 15
SEED = 5
WEIGHT_OF_DOC2DIAL = 2.0
"""Relative to one library: its documents are as many as all of theirs."""
PENALTY = 0.01
"""Of the squared weights, beside a mean loss of 1."""

Figures = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a turn found, and whether its library answers it; ``group`` is the library, ``kind`` the kind of the question."""

    group: str
    kind: str
    evidence: dict[str, float]
    answered: bool


class Without(EdgeIndex):
    """An index of which one document may be left out."""

    absent = ""

    async def search(self, query: IndexQuery, choose: Choose) -> list[RetrievedPassage]:
        """As if that document were not there."""
        return await super().search(
            query, lambda legs: choose([[match for match in leg if match.document != self.absent] for leg in legs])
        )


@dataclass(slots=True, kw_only=True)
class Learner:
    """Asks everything with one embedding model and collects the rows."""

    embeddings: TextEmbeddings
    data: Path
    chance: random.Random
    rows: list[Row]

    async def libraries(self) -> None:
        """All libraries, each with both languages and with one."""
        for library in LIBRARIES:
            for languages in (("en", "es"), ("en",), ("es",)):
                async with _loaded(pages(library, languages), self.embeddings) as (_, finder):
                    await self._library(library, languages, finder)

    async def _library(self, library: str, languages: Sequence[str], finder: HybridRetriever) -> None:
        own = questions(library)
        for question in own:
            sections = [name for name in question.sections if name.partition("/")[0] in languages]
            if sections or not question.sections:
                abroad = sections and not any(name.startswith(question.language) for name in sections)
                await self._ask(finder, library, "across" if abroad else question.kind, question, bool(sections))
        asked = [question for question in own if question.sections and not question.history]
        for strange in self._strangers(library, STRANGE if len(languages) > 1 else STRANGE // 2):
            before = self.chance.choice([one for one in asked if one.language == strange.language])
            history = (before.question,) if self.chance.random() < 1 / 2 else ()
            await self._ask(finder, library, "strange", _after(strange, history), answered=False)

    def _strangers(self, library: str, count: int) -> list[LibraryQuestion]:
        """Questions to other libraries, and of BANKING77 where the library is no bank."""
        others = [
            one
            for other in LIBRARIES
            if other != library
            for one in self.chance.sample([each for each in questions(other) if _stands_alone(each)], count)
        ]
        return others if library == "bank" else others + self._banking(BANKING)

    def _banking(self, count: int) -> list[LibraryQuestion]:
        with (self.data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
            texts = [row["text"] for row in csv.DictReader(file)]
        return [
            LibraryQuestion(language="en", question=text, kind="strange") for text in self.chance.sample(texts, count)
        ]

    async def doc2dial(self) -> None:
        """Turns with their document and without it, and questions of strangers."""
        documents, _, turns = data.doc2dial(self.data, "train", answers=False)
        async with _loaded(documents, self.embeddings) as (index, finder):
            for turn in turns[::EVERY]:
                asked = LibraryQuestion(
                    language="en", question=turn.asked.text, kind="turn", history=tuple(turn.asked.history)
                )
                for absent, answered in (("", True), (f"any/{turn.path}", False)):
                    index.absent = absent
                    await self._ask(finder, "doc2dial", "turn" if answered else "removed", asked, answered=answered)
            index.absent = ""
            first = [turn.asked.text for turn in turns if not turn.asked.history]
            for strange in self._strangers("doc2dial", 2 * STRANGE):
                history = (self.chance.choice(first),) if self.chance.random() < 1 / 2 else ()
                await self._ask(finder, "doc2dial", "strange", _after(strange, history), answered=False)

    async def _ask(
        self, finder: HybridRetriever, group: str, kind: str, asked: LibraryQuestion, answered: bool
    ) -> None:
        query = Query(text=asked.question, history=asked.history, language=asked.language)
        found = await finder.find(query, EVERYONE)
        self.rows.append(Row(group=group, kind=kind, evidence=dict(found.evidence), answered=answered))


@asynccontextmanager
async def _loaded(
    documents: Sequence[data.Page], embeddings: TextEmbeddings
) -> AsyncIterator[tuple[Without, HybridRetriever]]:
    """The pages in an index, and what finds in it."""
    with tempfile.TemporaryDirectory() as folder:
        system = Cotorra(Path(folder), embeddings)
        await system.load(documents)
        await system.close()
        index = Without(Path(folder) / "passages", embeddings.dimension)
        await index.open()
        try:
            yield index, retriever(index, embeddings, SparseEncoder())
        finally:
            await index.close()


def _stands_alone(question: LibraryQuestion) -> bool:
    return question.kind in ALONE and not question.history


def _after(question: LibraryQuestion, history: tuple[str, ...]) -> LibraryQuestion:
    return LibraryQuestion(language=question.language, question=question.question, kind=question.kind, history=history)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A logistic over standardised features."""

    features: tuple[str, ...]
    means: Figures
    scales: Figures
    weights: Figures
    intercept: float

    def odds(self, rows: Sequence[Row]) -> Figures:
        """Log odds that the passages answer."""
        odds: Figures = (_table(rows, self.features) - self.means) / self.scales @ self.weights + self.intercept
        return odds


def fit(features: tuple[str, ...], rows: Sequence[Row]) -> Fit:
    """Each group counts the same, and in it what is answered as much as what is not; weights have the sign that they should."""
    table, labels = _table(rows, features), np.array([float(row.answered) for row in rows])
    counts = _counts(rows)
    means, scales = table.mean(0), table.std(0) + 1e-9
    scaled = (table - means) / scales

    def loss(weights: Figures) -> tuple[float, Figures]:
        odds = scaled @ weights[:-1] + weights[-1]
        error = (1 / (1 + np.exp(-odds)) - labels) * counts
        slope = np.append(scaled.T @ error + 2 * PENALTY * weights[:-1], error.sum())
        return float(
            (counts * (np.logaddexp(0, odds) - labels * odds)).sum() + PENALTY * (weights[:-1] ** 2).sum()
        ), slope

    bounds = [_bounds(name) for name in features]
    found = minimize(loss, np.zeros(len(features) + 1), jac=True, bounds=[*bounds, (None, None)], method="L-BFGS-B").x
    return Fit(features=features, means=means, scales=scales, weights=found[:-1], intercept=float(found[-1]))


def _bounds(name: str) -> tuple[float | None, float | None]:
    if name in FREE:
        return None, None
    return (None, 0) if name in AGAINST else (0, None)


def _counts(rows: Sequence[Row]) -> Figures:
    sizes: defaultdict[tuple[str, bool], int] = defaultdict(int)
    for row in rows:
        sizes[row.group, row.answered] += 1
    groups = {row.group for row in rows}
    total = sum(WEIGHT_OF_DOC2DIAL if group == "doc2dial" else 1.0 for group in groups)
    shares = {
        key: (WEIGHT_OF_DOC2DIAL if key[0] == "doc2dial" else 1.0) / size / 2 / total for key, size in sizes.items()
    }
    return np.array([shares[row.group, row.answered] for row in rows])


def _table(rows: Sequence[Row], features: Sequence[str]) -> Figures:
    return np.array([[row.evidence[name] for name in features] for row in rows])


def say(name: str, fitted: Fit, rows: Sequence[Row]) -> None:
    """Print the constants, and what each group would see when it was not learnt from."""
    print(f"{name}\n    features={fitted.features},")
    for key, figures in (("weights", fitted.weights), ("means", fitted.means), ("scales", fitted.scales)):
        print(f"    {key}=({', '.join(f'{figure:.3f}' for figure in figures)}),")
    print(f"    intercept={fitted.intercept:.3f},  # {len(rows)} cases, {sum(row.answered for row in rows)} answered")
    for group in dict.fromkeys(row.group for row in rows):
        inside, outside = ([row for row in rows if (row.group == group) == within] for within in (True, False))
        odds = fit(fitted.features, outside).odds(inside)
        area = auroc(
            [one for one, row in zip(odds, inside, strict=True) if row.answered],
            [one for one, row in zip(odds, inside, strict=True) if not row.answered],
        )
        print(f"# held out: {group} {len(inside)} cases, AUROC {area:.3f}, wrong {_wrong(odds, inside)}")


def _wrong(odds: Figures, rows: Sequence[Row]) -> str:
    """By kind: the share that is declined, or of what has no answer the share that is answered."""
    kinds: defaultdict[str, list[bool]] = defaultdict(list)
    for one, row in zip(odds, rows, strict=True):
        kinds[row.kind].append((one > 0) != row.answered)
    return ", ".join(f"{kind} {np.mean(wrong):.2f}" for kind, wrong in sorted(kinds.items()))


async def main(folder: Path, names: Sequence[str]) -> None:
    """Learn a calibration for each embedding model, and with several of them the general one too."""
    everything: list[Row] = []
    for name in names:
        embeddings = load_embeddings(EmbeddingSettings(model=name))
        embeddings.load()
        learner = Learner(embeddings=embeddings, data=folder, chance=random.Random(SEED), rows=[])
        await learner.libraries()
        await learner.doc2dial()
        say(embeddings.name, fit(PACKAGED, learner.rows), learner.rows)
        everything += learner.rows
    if len(names) > 1:
        say("general", fit(GENERAL, everything), everything)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    parser.add_argument("--embedding", action="append", default=[], help="as embedding.model in the settings")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.data, arguments.embedding or ["multilingual", "english"]))
