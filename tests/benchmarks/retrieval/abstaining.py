"""Whether the score tells the turns that the pool answers from those that it does not."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.figures import Json, separation, together
from tests.benchmarks.retrieval.measures import Say
from tests.benchmarks.retrieval.ours import Cotorra

OTHERS = ("partial", "underspecified")


async def measure(folder: Path, say: Say) -> Json:
    """Area under the ROC of answerable against unanswerable; the two classes in between by themselves."""
    pool, judged = data.mtrag(folder)
    with tempfile.TemporaryDirectory() as home:
        system = Cotorra(Path(home))
        passages = await system.load(pool)
        say(f"  {len(pool)} texts as {passages} passages")
        scores: dict[str, list[float]] = {}
        for one in judged:
            scores.setdefault(one.answerability, []).append((await system.retrieve(one.asked)).score)
        await system.close()
    figures = separation("auroc", scores["answerable"], scores["unanswerable"])
    others = [separation(f"auroc_{name}", scores["answerable"], scores[name]) for name in OTHERS]
    counts: Json = {f"n_{name}": len(found) for name, found in scores.items()}
    return together(*others, figures, counts)
