"""What a second sync of ten thousand documents costs when nothing changed."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from time import perf_counter

from rag.settings import SourceSettings
from tests.benchmarks.retrieval.data import Page
from tests.benchmarks.retrieval.figures import SEED, Json
from tests.benchmarks.retrieval.measures import Say
from tests.benchmarks.retrieval.ours import Cotorra, Metered, write

DOCUMENTS = 10_000
WORDS = ("invoice", "order", "parcel", "refund", "account", "delivery", "contract", "warranty", "ticket", "voucher")


def documents(count: int) -> list[Page]:
    """Small pages that differ."""
    chosen = random.Random(SEED)
    return [
        Page(
            path=f"{number % 100:02}/{number:05}.md",
            markdown=f"# Note {number}\n\nThe {' '.join(chosen.choices(WORDS, k=12))} of case {number}.\n",
            language="en",
        )
        for number in range(count)
    ]


async def measure(folder: Path, say: Say) -> Json:
    """Seconds of both syncs, and how many passages the second one embedded."""
    with tempfile.TemporaryDirectory() as home:
        embeddings = Metered()
        embeddings.load()
        system = Cotorra(Path(home) / "ours", embeddings)
        sources = write(documents(DOCUMENTS), Path(home) / "pages")
        first = await _seconds(system, sources)
        passages, embedded = await system.count(), len(embeddings.texts)
        say(f"  first sync: {embedded} passages embedded in {first:.1f} s")
        second = await _seconds(system, sources)
        await system.close()
    return {
        "unchanged_s": round(second, 2),
        "embedded": len(embeddings.texts) - embedded,
        "first_s": round(first, 1),
        "documents": DOCUMENTS,
        "passages": passages,
    }


async def _seconds(system: Cotorra, sources: list[SourceSettings]) -> float:
    started = perf_counter()
    await system.synchronise(sources)
    return perf_counter() - started
