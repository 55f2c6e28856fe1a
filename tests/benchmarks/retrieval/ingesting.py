"""Passages a second into the embedded default against LangChain's way, and how well the processor is used."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import torch

from rag.models.processor import bfloat16_is_fast
from rag.retrieval.embeddings import bert, minilm
from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.figures import Json, median_by
from tests.benchmarks.retrieval.measures import Say
from tests.benchmarks.retrieval.ours import Cotorra, Metered, write

RUNS = 3
SIDE = 2048
WARM = ["A sentence that loads the weights before the clock starts."]


async def measure(folder: Path, say: Say) -> Json:
    """The FastAPI documentation from files to an index on disk, by turns; each side's median run by passages a second."""
    from tests.benchmarks.retrieval.peers.langchain import LangChain

    pages, _ = data.fastapi(folder)
    ours: list[Json] = []
    peers: list[Json] = []
    for run in range(RUNS):
        ours.append(await _ours(pages))
        with tempfile.TemporaryDirectory() as home:
            peer = LangChain(Path(home))
            peer.warm(WARM)
            started = perf_counter()
            passages = await peer.load(pages)
            peers.append(_rates(passages, pages, perf_counter() - started))
            await peer.close()
        say(f"  run {run + 1}: {ours[-1]} against {peers[-1]}")
    mine, theirs = median_by(_passages_per_s, ours), median_by(_passages_per_s, peers)
    own_figures: Json = dict(mine)
    return own_figures | {f"peer_{name}": value for name, value in theirs.items()} | _ratios(mine, theirs)


async def _ours(pages: Sequence[data.Page]) -> Json:
    with tempfile.TemporaryDirectory() as home:
        embeddings = Metered()
        embeddings.embed_documents(WARM)
        embeddings.texts, embeddings.seconds = [], 0.0
        system = Cotorra(Path(home) / "ours", embeddings)
        sources = write(pages, Path(home) / "pages")
        started = perf_counter()
        await system.synchronise(sources)
        seconds = perf_counter() - started
        figures = _rates(await system.count(), pages, seconds)
        await system.close()
        shutil.rmtree(home, ignore_errors=True)
    return figures | {"embedding_s": round(embeddings.seconds, 2)} | utilisation(embeddings)


def utilisation(embeddings: Metered) -> Json:
    """Floating-point operations that the tokens need, over the embedder's seconds, over a matmul's rate in the same run."""
    window = embeddings.window
    needed = sum(operations(min(window, embeddings.count_tokens(text))) for text in embeddings.texts)
    achieved, peak = needed / embeddings.seconds, matmul_rate()
    return {
        "model_flops_utilisation": round(achieved / peak, 3),
        "achieved_gflops": round(achieved / 1e9, 1),
        "matmul_gflops": round(peak / 1e9, 1),
        "dtype": str(_dtype()).removeprefix("torch."),
    }


def operations(tokens: int) -> int:
    """Of one text through the encoder, a multiplication and an addition counted as two.

    A layer multiplies each token by four matrices of width x width (query, key, value, output) and two of width x inner,
    2 (4 w² + 2 w i) a token, and each token with every other for scores and for values, 4 t² w. Padding is no use, so it
    does not count; nor do norms, activations and embeddings.
    """
    width, inner = bert.WIDTH, bert.INNER
    return minilm.LAYERS * (2 * tokens * (4 * width**2 + 2 * width * inner) + 4 * tokens**2 * width)


def matmul_rate() -> float:
    """Operations a second of a square product in the model's dtype, the best of twenty."""
    one = torch.randn(SIDE, SIDE).to(_dtype())
    best = float("inf")
    for _ in range(20):
        started = perf_counter()
        torch.mm(one, one)
        best = min(best, perf_counter() - started)
    return 2 * SIDE**3 / best


def _dtype() -> torch.dtype:
    return torch.bfloat16 if bfloat16_is_fast() else torch.float32


def _rates(passages: int, pages: Sequence[data.Page], seconds: float) -> Json:
    characters = sum(len(page.markdown) for page in pages)
    return {
        "passages_per_s": round(passages / seconds, 2),
        "characters_per_s": round(characters / seconds),
        "passages": passages,
        "seconds": round(seconds, 2),
    }


def _passages_per_s(figures: Json) -> float:
    return _number(figures, "passages_per_s")


def _ratios(ours: Json, theirs: Json) -> Json:
    return {
        "ratio": round(_passages_per_s(ours) / _passages_per_s(theirs), 2),
        "characters_ratio": round(_number(ours, "characters_per_s") / _number(theirs, "characters_per_s"), 2),
    }


def _number(figures: Json, key: str) -> float:
    value = figures[key]
    assert isinstance(value, int | float)
    return value
