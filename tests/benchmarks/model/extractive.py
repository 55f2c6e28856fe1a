"""``python -m tests.benchmarks.model.extractive``: how well the quotes answer, and how few they are.

Doc2Dial's dev conversations, every turn with a grounded answer of the agent: the quotes against the text of the grounding
span, by SQuAD's token F1 and exact match (lower case, no punctuation, no articles). ``hits``: quotes from what our search
finds among all documents; ``gold``: from the one passage that holds the span. Published for BERT-base fine-tuned on Doc2Dial:
F1 56.3, EM 39.7, another task: it is handed the right document and points at any words in it, while we find the
document first and quote whole sentences, so that a span of half a sentence can never match exactly. No turn is declined here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import string
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from rag.answering.answerer import Quoted
from rag.answering.extractive import ExtractiveAnswerer
from rag.grounding.citations import Citations
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings
from rag.types import Exchange, Hit, Question
from tests.benchmarks.judging import quantile
from tests.benchmarks.model.grounded import Met, in_order, searched
from tests.benchmarks.model.quoting import asked_of_handbook, handbook_hits
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.figures import Json, each, mean, together
from tests.benchmarks.retrieval.ours import Cotorra

DEVELOPMENT = Path(__file__).resolve().parent.parent / "fastapi_development.es.jsonl"
NAMES = ("f1", "exact", "contains", "characters", "quotes")
_SERVICE = re.compile(r"(?m)^(?:According to|Also, in|Según|Además, en) \*\*.*\*\*:\n\n")
_MARKER = re.compile(r"[ \t]*\[\d{1,3}\](?![(:])")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """An answer: its Markdown, the quotes in it without what stands around them, and how many these are."""

    text: str
    words: str
    count: int
    seconds: float


def quotes_in(text: str, seconds: float = 0.0) -> Quotes:
    """An answer taken apart."""
    inner = _SERVICE.sub("", text)
    words = _MARKER.sub("", inner).replace(" … ", " ")
    return Quotes(text=text, words=words, count=len(_MARKER.findall(inner)), seconds=seconds)


def normalised(text: str) -> list[str]:
    """Words as SQuAD's evaluation compares them."""
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return _ARTICLES.sub(" ", bare).split()


def token_f1(given: Sequence[str], gold: Sequence[str]) -> float:
    """Of two bags of words."""
    shared = sum((Counter(given) & Counter(gold)).values())
    return 2 * shared / (len(given) + len(gold)) if shared else 0.0


def row(quotes: Quotes, gold: str) -> list[float]:
    """The figures of one answer, as ``NAMES`` names them."""
    given, wanted = normalised(quotes.words), normalised(gold)
    contains = f" {' '.join(wanted)} " in f" {' '.join(given)} "
    return [
        token_f1(given, wanted),
        float(given == wanted),
        float(contains),
        float(len(quotes.words)),
        float(quotes.count),
    ]


async def answered(
    answerer: ExtractiveAnswerer, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
) -> Quotes:
    """The answer and the seconds that it took."""
    started = perf_counter()
    pieces = [piece async for piece in answerer.astream(question, history, hits, language)]
    seconds = perf_counter() - started
    return quotes_in("".join(piece.text for piece in pieces if isinstance(piece, Quoted)), seconds)


async def doc2dial(answerer: ExtractiveAnswerer, met: Sequence[Met]) -> Json:
    """Both figures of quotes, and what an answer takes the first time that its passages are met and later."""
    first = [await answered(answerer, one.turn.question, one.turn.history, one.hits, "en") for one in met]
    again = [await answered(answerer, one.turn.question, one.turn.history, one.hits, "en") for one in met]
    gold = [await answered(answerer, one.turn.question, one.turn.history, (one.gold,), "en") for one in met]
    return {
        "hits": each([row(quotes, one.turn.span.text) for quotes, one in zip(first, met, strict=True)], NAMES),
        "gold": each([row(quotes, one.turn.span.text) for quotes, one in zip(gold, met, strict=True)], NAMES),
        "first_ms": _milliseconds(first),
        "again_ms": _milliseconds(again),
    }


def _milliseconds(found: Sequence[Quotes]) -> Json:
    seconds = [quotes.seconds for quotes in found]
    return {
        "p50": round(1000 * quantile(seconds, 0.5), 2),
        "p99": round(1000 * quantile(seconds, 0.99), 2),
        "mean": round(1000 * sum(seconds) / max(1, len(seconds)), 2),
    }


async def handbook(answerer: ExtractiveAnswerer) -> Json:
    """Whether a sentence that answers is quoted; weights were learned with these questions, so it is a check, no result."""
    asked = list(asked_of_handbook())
    found = await handbook_hits([wanted for wanted, _ in asked])
    rows: list[list[float]] = []
    for (wanted, history), hits in zip(asked, found, strict=True):
        quotes = await answered(answerer, _question(wanted["question"]), history, hits, wanted["language"])
        right = any(quote in quotes.text for quote in wanted["quotes"])
        rows.append([float(right), float(len(quotes.words)), float(quotes.count)])
    return each(rows, ("answered", "characters", "quotes"))


async def fastapi(answerer: ExtractiveAnswerer, folder: Path) -> Json:
    """Whether a page that answers is quoted, and quoted first: the questions in Spanish that settings were chosen on."""
    pages, _ = data.fastapi(folder)
    firsts: list[float] = []
    rows: list[list[float]] = []
    with tempfile.TemporaryDirectory() as home:
        system = Cotorra(Path(home))
        await system.load(pages)
        for wanted in data.lines(DEVELOPMENT):
            hits = in_order((await system.retrieve(data.Asked(text=wanted["question"]))).hits)
            quotes = await answered(answerer, _question(wanted["question"]), (), hits, "es")
            cited = Citations(hits)
            cited.feed(quotes.text)
            cited.finish()
            paths = [source.passage.document.removeprefix(f"{source.passage.source}/") for source in cited.sources]
            rows.append([float(bool({*paths} & {*wanted["pages"]})), float(len(quotes.words)), float(quotes.count)])
            firsts.append(float(paths[:1] != [] and paths[0] in wanted["pages"]))
        await system.close()
    return together(each(rows, ("page", "characters", "quotes")), mean("first_page", firsts))


def _question(text: str) -> Question:
    return Question(turn_id="t", conversation="c", text=text, audiences=frozenset({"public"}))


async def measure(folder: Path, part: str = "dev", every: int = 1) -> dict[str, object]:
    """All figures, those of Doc2Dial of one turn in ``every`` of a part."""
    answerer = ExtractiveAnswerer(PackagedEmbeddings(), SparseEncoder(), ModelSettings())
    _, met = await searched(folder, part, every)
    return {
        "doc2dial": await doc2dial(answerer, met),
        "published": {"bert_base_f1": 0.563, "bert_base_exact": 0.397, "setting": "span in the right document"},
        "handbook": await handbook(answerer),
        "fastapi_development": await fastapi(answerer, folder),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    parser.add_argument("--part", choices=("train", "dev"), default="dev")
    parser.add_argument("--every", type=int, default=1, help="one turn in so many")
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(measure(chosen.data, chosen.part, chosen.every)), indent=2))
