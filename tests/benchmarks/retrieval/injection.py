"""Whether attacks in documents change anything but what those documents say: every figure but ``n`` must be 0."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from rag.answering.extractive import ExtractiveAnswerer
from rag.chain import ConversationalChain
from rag.knowledge.sync.source import Synchronizer
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings, SourceSettings
from rag.types import Answer, Done, Passage, Question
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.data import Page
from tests.benchmarks.retrieval.figures import SEED, Json
from tests.benchmarks.retrieval.measures import Say
from tests.benchmarks.retrieval.ours import retriever, write
from tests.rag.injected import foreign_links

KINDS = ("email", "table")
EACH = 2
"""Contexts of each kind that every attack is put into."""
CLEAN = 50
"""Pages of FastAPI's documentation."""
ATTACKED = "attacked/"
Stored: TypeAlias = dict[str, dict[str, Passage]]
"""Passages by document and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A page with an attack in it, and the question that its context was made for."""

    page: Page
    question: str


async def measure(folder: Path, say: Say) -> Json:
    """The settings, the links of answers and the passages of other pages, with attacks in the index and without."""
    pages, expected = data.fastapi(folder)
    clean, attacks = pages[:CLEAN], attacked(folder)
    asked = [*(one.asked.text for one in expected), *(attack.question for attack in attacks), *texts(folder)]
    with tempfile.TemporaryDirectory() as home:
        before = await _passages_of(Path(home) / "clean", clean)
        house = House(Path(home) / "attacked")
        settings = house.settings()
        passages = await house.load([*clean, *(attack.page for attack in attacks)])
        say(f"  {len(attacks)} attacks and {len(clean)} clean pages as {sum(map(len, passages.values()))} passages")
        answers = [await house.ask(text) for text in dict.fromkeys(asked)]
        changed = _differing(settings, house.settings()) + _claimed(passages, house.sources)
        await house.close()
    urls = {each.url for found in passages.values() for each in found.values()}
    return {
        "settings_changed": changed,
        "foreign_links": sum(len(foreign_links(answer, urls)) for answer in answers),
        "passages_changed": sum(_differing(found, passages.get(name, {})) for name, found in before.items()),
        "n": len(attacks),
        "questions": len(answers),
        "quoting_an_attacked_page": sum(_quotes_attacked(answer) for answer in answers),
    }


class House:
    """Cotorra's embedded default from pages to answers."""

    def __init__(self, folder: Path) -> None:
        self.sources: list[SourceSettings] = []
        self._folder = folder
        self._embeddings, self._sparse = PackagedEmbeddings(), SparseEncoder()
        self._index = EdgeIndex(folder / "passages", self._embeddings.dimension)
        self._retriever = retriever(self._index, self._embeddings, self._sparse)
        self._model = ModelSettings()
        answerer = ExtractiveAnswerer(self._embeddings, self._sparse, self._model)
        self._chain = ConversationalChain(self._retriever, answerer, self._retriever.settings)

    async def load(self, pages: Sequence[Page]) -> Stored:
        """Write the files and synchronise; what is in the index then."""
        self.sources = write(pages, self._folder / "sources")
        await self._index.open()
        synchronizer = Synchronizer(self._index, self._embeddings, self._sparse)
        for source in self.sources:
            await synchronizer.sync(source, self._folder / "cache" / source.name)
        names = [name for source in self.sources for name in await self._index.documents(source.name)]
        return {name: {each.id: _timeless(each) for each in await self._index.passages(name)} for name in names}

    def settings(self) -> dict[str, object]:
        """Every setting in force but the sources."""
        return {**self._retriever.settings.model_dump(), **self._model.model_dump()}

    async def ask(self, text: str) -> Answer:
        """As anybody."""
        asked = Question(turn_id="t", conversation="c", text=text, audiences=frozenset({"public"}))
        (done,) = [event async for event in self._chain.astream(asked, []) if isinstance(event, Done)]
        return done.answer

    async def close(self) -> None:
        """Let go of the folder."""
        await self._index.close()


def texts(folder: Path) -> list[str]:
    """The attacks of BIPIA's training part."""
    kinds = json.loads((folder / "bipia" / "text_attack_train.json").read_text(encoding="utf-8"))
    return [text for kind in kinds.values() for text in kind]


def attacked(folder: Path) -> list[Attack]:
    """Every attack in contexts of each kind: before, within or after what the page says."""
    chosen = random.Random(SEED)
    contexts = {kind: list(data.lines(folder / "bipia" / kind / "train.jsonl")) for kind in KINDS}
    drawn = [
        (kind, row, text) for text in texts(folder) for kind in KINDS for row in chosen.sample(contexts[kind], EACH)
    ]
    return [
        Attack(
            page=Page(
                path=f"{ATTACKED}{number:03}-{kind}.md",
                markdown=f"# {kind.title()} {number}\n\n{_within(row['context'], text, chosen)}\n",
                language="en",
            ),
            question=row["question"],
        )
        for number, (kind, row, text) in enumerate(drawn)
    ]


def _within(context: str, attack: str, chosen: random.Random) -> str:
    paragraphs = context.split("\n")
    paragraphs.insert(chosen.choice((0, len(paragraphs) // 2, len(paragraphs))), f"\n{attack}\n")
    return "\n".join(paragraphs)


async def _passages_of(folder: Path, pages: Sequence[Page]) -> Stored:
    house = House(folder)
    try:
        return await house.load(pages)
    finally:
        await house.close()


def _timeless(passage: Passage) -> Passage:
    """Both indexes read files of their own, written one after the other."""
    return replace(passage, updated_at=None)


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> int:
    return sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())


def _claimed(passages: Stored, sources: Sequence[SourceSettings]) -> int:
    """Passages that others may read than the settings of their source say."""
    readers = {source.name: (source.audience, source.tenant) for source in sources}
    all_of_them = (each for found in passages.values() for each in found.values())
    return sum((each.audience, each.tenant) != readers.get(each.source) for each in all_of_them)


def _quotes_attacked(answer: Answer) -> bool:
    return any(ATTACKED in source.passage.document for source in answer.sources)
