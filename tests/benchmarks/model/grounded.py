"""Turns of Doc2Dial as an answerer meets them: the question, the exchanges before it, the hits, and the span that answers.

Nothing of the data set is kept: the folder is an argument.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.knowledge.chunking import split
from rag.knowledge.loaders.sources import LoadedDocument
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.text.utterances import utterances
from rag.types import Exchange, Hit, Passage, Question
from tests.benchmarks.retrieval.data import Asked, Page, lines
from tests.benchmarks.retrieval.ours import Cotorra
from tests.benchmarks.retrieval.spans import Places

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where the answer stands: ``start`` and ``end`` are offsets into the text of the page ``path``."""

    path: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question in its conversation and the span that the agent's answer was written from."""

    conversation: str
    question: Question
    history: tuple[Exchange, ...]
    span: Span

    @property
    def asked(self) -> Asked:
        """As it is searched for."""
        return Asked(text=self.question.text, history=utterances(self.history))


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The pages, and the text of each by its path, to which the offsets of spans refer."""

    pages: Sequence[Page]
    texts: dict[str, str]


def documents(folder: Path) -> Documents:
    """All of them, named as ``tests.benchmarks.retrieval.data`` names them."""
    rows = list(lines(folder / "doc2dial" / "documents.jsonl"))
    paths = [f"{number:03}.txt" for number in range(len(rows))]
    pages = [
        Page(path=path, markdown=f"{row['title']}\n\n{row['text']}\n") for path, row in zip(paths, rows, strict=True)
    ]
    return Documents(pages=pages, texts={path: row["text"] for path, row in zip(paths, rows, strict=True)})


def turns(folder: Path, part: str) -> list[Turn]:
    """Every agent turn of a part that has a grounding, the last one of a conversation too, which has no text."""
    rows = lines(folder / "doc2dial" / "documents.jsonl")
    paths = {row["id"]: f"{number:03}.txt" for number, row in enumerate(rows)}
    found = lines(folder / "doc2dial" / f"{part}.jsonl")
    return [turn for conversation in found for turn in _turns(conversation, paths)]


def _turns(conversation: dict[str, Any], paths: dict[str, str]) -> Iterator[Turn]:
    said: list[Exchange] = []
    for turn in conversation["turns"]:
        if turn["role"] == "user":
            said.append(_exchange(conversation["id"], len(said), turn["text"]))
            continue
        if turn.get("grounding"):
            *history, now = said
            yield Turn(
                conversation=conversation["id"],
                question=_question(now, conversation["id"]),
                history=tuple(history),
                span=_span(turn["grounding"][0], paths),
            )
        if said and turn["text"]:
            answer = f"{said[-1].answer} {turn['text']}".strip()
            said[-1] = _exchange(conversation["id"], len(said) - 1, said[-1].question, answer)


def _exchange(conversation: str, number: int, question: str, answer: str = "") -> Exchange:
    return Exchange(
        turn_id=f"{conversation}-{number}", question=question, answer=answer, asked_at=LONG_AGO, speaker="ana"
    )


def _question(exchange: Exchange, conversation: str) -> Question:
    return Question(
        turn_id=exchange.turn_id, conversation=conversation, text=exchange.question, audiences=frozenset({"public"})
    )


def _span(gold: dict[str, Any], paths: dict[str, str]) -> Span:
    text = gold["text"]
    start = gold["start"] + len(text) - len(text.lstrip())
    return Span(path=paths[gold["document"]], start=start, end=gold["start"] + len(text.rstrip()), text=text.strip())


class GoldPassages:
    """The passage that holds a span, for every span: what a perfect search would hand over."""

    def __init__(self, found: Documents, embeddings: TextEmbeddings) -> None:
        self._passages = {
            page.path: [(passage, set(places.of(passage.text).values())) for passage in _split(page, embeddings)]
            for page in found.pages
            for places in (Places(found.texts[page.path]),)
        }

    def of(self, span: Span) -> Hit:
        """The passage that holds most of it."""
        wanted = set(range(span.start, span.end))
        passage, _ = max(self._passages[span.path], key=lambda pair: len(pair[1] & wanted))
        return Hit(passage=passage, score=1.0)


def _split(page: Page, embeddings: TextEmbeddings) -> list[Passage]:
    document = LoadedDocument(
        id=f"any/{page.path}",
        source="any",
        title=page.markdown.partition("\n")[0],
        url="",
        markdown=page.markdown,
        language="en",
        audience="public",
    )
    return split(document, window=embeddings.window, count_tokens=embeddings.count_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A turn with what an answerer gets for it: ``hits`` of the search, or ``gold``, the passage that holds the span."""

    turn: Turn
    hits: tuple[Hit, ...]
    gold: Hit


async def searched(folder: Path, part: str, every: int = 1) -> tuple[Documents, list[Met]]:
    """One turn in ``every`` of a part, each searched for in its conversation with the settings of someone who set nothing."""
    found = documents(folder)
    with tempfile.TemporaryDirectory() as home:
        system = Cotorra(Path(home))
        await system.load(found.pages)
        gold = GoldPassages(found, system.embeddings)
        met = [
            Met(turn=turn, hits=in_order((await system.retrieve(turn.asked)).hits), gold=gold.of(turn.span))
            for turn in turns(folder, part)[::every]
        ]
        await system.close()
    return found, met


def in_order(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """As the chain hands them over: what belongs to the best one's section first."""
    return tuple(sorted(hits, key=lambda hit: _section(hit) != _section(hits[0])))


def _section(hit: Hit) -> tuple[str, ...]:
    return (hit.passage.document, *hit.passage.headings)
