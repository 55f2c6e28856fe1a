"""Syncs in processes of their own, to be killed: a folder that changes, and what must be the same afterwards."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from itertools import zip_longest
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

from rag.knowledge.loaders.sources import Candidate, LoadedDocument
from rag.knowledge.sync.source import Synchronizer, SyncReport, recipe_for
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.retrieval.index.collections import Recipe
from rag.retrieval.index.edge.collections import EdgeCollections
from rag.retrieval.index.passages import IndexQuery, Leg, Match, PassageIndex, RetrievedPassage, Scope
from rag.retrieval.serving import Serving
from rag.retrieval.sparse import SparseEncoder
from rag.settings import SourceSettings
from rag.types import Passage
from tests.rag.fakes import WordEmbeddings

SPARSE = SparseEncoder()
NOWHERE = Path("/nonexistent")
WORDS = [f"word{number}" for number in range(400)]
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.rag.syncing"])  # a process takes 20 ms instead of a second of imports


def source(folder: Path) -> SourceSettings:
    return SourceSettings(name="kb", path=folder)


def write(folder: Path, number: int, random: Random) -> None:
    """A page of one to six sections; one in thirty has so many that it is written in several steps."""
    sections = (
        f"## Section {at}\n\n{' '.join(random.choices(WORDS, k=40))}.\n"
        for at in range(90 if random.random() < 1 / 30 else random.randint(1, 6))
    )
    (folder / f"page{number:03}.md").write_text(f"# Page {number}\n\n" + "\n".join(sections))


def mutate(folder: Path, random: Random) -> None:
    """Some pages change, some go, some come."""
    pages = sorted(folder.iterdir())
    for page in random.sample(pages, 8):
        page.unlink()
    for number in random.sample(range(160), 60):
        write(folder, number, random)


def candidate(document: str, loaded: list[str] | None = None, *, says: str = "Some words.") -> Candidate:
    """A document of a loader; ``loaded`` hears when it is loaded."""

    def load() -> LoadedDocument:
        if loaded is not None:
            loaded.append(document)
        return LoadedDocument(
            id=document, source="kb", title="Page", url="", markdown=says, language="en", audience="public"
        )

    return Candidate(document=document, fingerprint=says, load=load)


def embeddings_of(model: str) -> WordEmbeddings:
    """Of one width; the name makes another model of it."""
    embeddings = WordEmbeddings()
    embeddings.name = model
    return embeddings


def recipe_of(model: str) -> Recipe:
    return recipe_for(embeddings_of(model))


def serving(home: Path, model: str) -> Serving:
    embeddings = embeddings_of(model)
    return Serving(EdgeCollections(home), embeddings, recipe_of(model), embeddings_of)


async def sync_fully(pair: Serving, model: str, folder: Path) -> SyncReport:
    """As the service does: into the target, which serves when it is complete."""
    synchronizer = Synchronizer(await pair.target(), embeddings_of(model), SPARSE, former=await pair.former())
    report = await synchronizer.sync(source(folder), NOWHERE, allow_shrink=True)
    await pair.complete()
    return report


def begin(home: Path, folder: Path, model: str) -> tuple[ForkServerProcess, Connection]:
    """A process that syncs, and where it says when it begins."""
    here, there = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_sync_in_process, args=(home, folder, model, there))
    process.start()
    there.close()
    return process, here


def _sync_in_process(home: Path, folder: Path, model: str, there: Connection) -> None:
    there.send("begun")
    asyncio.run(_sync_once(home, folder, model))


async def _sync_once(home: Path, folder: Path, model: str) -> None:
    pair = serving(home, model)
    await pair.open()
    await sync_fully(pair, model, folder)
    await pair.close()


async def contents(index: PassageIndex) -> tuple[dict[str, str], dict[str, list[Passage]], int]:
    """All that an index holds, but for the versions' numbers."""
    documents = dict(await index.documents("kb"))
    return documents, {each: await index.passages(each) for each in sorted(documents)}, await index.count()


async def found(index: PassageIndex, embeddings: TextEmbeddings, text: str, limit: int = 40) -> list[Passage]:
    """A search by meaning and one by words, one after the other; equal scores in the order of passages."""
    legs = (Leg(dense=embeddings.embed_query(text)), Leg(sparse=SPARSE.encode_query(text, "en")))
    query = IndexQuery(legs=legs, scope=Scope(audiences=frozenset({"public"})), candidates=1000)
    hits: list[RetrievedPassage] = await index.search(query, lambda legs: _in_fixed_order(legs)[:limit])
    return [hit.passage for hit in hits]


def _in_fixed_order(legs: Sequence[Sequence[Match]]) -> list[str]:
    ranked = (sorted(leg, key=lambda each: (-round(each.score, 4), each.document, each.position)) for leg in legs)
    return list(dict.fromkeys(match.key for pair in zip_longest(*ranked) for match in pair if match))
