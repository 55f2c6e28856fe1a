"""``make bench-retrieval``: every figure of retrieval in one run, ours and others', on the same documents and machine.

Writes the file anew after each part, so that a run that is stopped loses little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from rag.retrieval.embeddings.models import load_embeddings
from rag.settings import EmbeddingSettings
from tests.benchmarks.results import Results, say, some_of
from tests.benchmarks.retrieval import measures
from tests.benchmarks.retrieval.figures import Json
from tests.benchmarks.retrieval.systems import Build, System

PEERS = ("langchain", "llamaindex", "haystack")
ON_DEMAND = ("langchain_1000",)
"""Takes five minutes more."""
Measure = Callable[[System, Path, measures.Say], Awaitable[Json]]
COMPARED: dict[str, Measure] = {
    "scifact": measures.scifact,
    "doc2dial": measures.doc2dial,
    "fastapi": measures.fastapi,
}
"""What peers are measured on too."""
ALONE = ("abstain", "latency", "ingest", "sync", "injection")


def main() -> None:
    """Measure what is asked for."""
    arguments = _arguments()
    if not (arguments.data / "scifact").is_dir():
        sys.exit(f"no data in {arguments.data}: give the folder with scifact, doc2dial and the others, as DATA=FOLDER")
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "HAYSTACK_TELEMETRY_ENABLED": "false"}
    results = Results(arguments.out)
    started = perf_counter()
    for part in arguments.only:
        say(f"[{perf_counter() - started:.0f} s] {part}")
        if part in COMPARED:
            _compare(part, arguments, results)
        else:
            _alone(part, arguments, results)
    say(f"[{perf_counter() - started:.0f} s] written to {arguments.out}")


def _compare(part: str, arguments: argparse.Namespace, results: Results) -> None:
    from tests.benchmarks.retrieval.peers import PEERS as BUILDS

    if not arguments.without_ours:
        from tests.benchmarks.retrieval.ours import Cotorra

        settings = EmbeddingSettings(model=arguments.embedding)
        build = partial(Cotorra, embeddings=load_embeddings(settings))
        results.add([part], asyncio.run(_measured(build, COMPARED[part], arguments.data)))
    for peer in arguments.peers:
        say(f"  {peer}")
        results.add(["peers", peer, part], asyncio.run(_measured(BUILDS[peer], COMPARED[part], arguments.data)))


async def _measured(build: Build, measure: Measure, data: Path) -> Json:
    with tempfile.TemporaryDirectory() as folder:
        system = build(Path(folder))
        try:
            return await measure(system, data, say)
        finally:
            await system.close()


def _alone(part: str, arguments: argparse.Namespace, results: Results) -> None:
    from tests.benchmarks.retrieval import abstaining, ingesting, injection, latency, syncing

    measured: dict[str, tuple[str, Callable[[Path, measures.Say], Awaitable[Json]]]] = {
        "abstain": ("abstain", abstaining.measure),
        "latency": ("latency_ms", latency.measure),
        "ingest": ("ingest", ingesting.measure),
        "sync": ("sync", syncing.measure),
        "injection": ("injection", injection.measure),
    }
    key, measure = measured[part]
    results.add([key], asyncio.run(_awaited(measure(arguments.data, say))))


async def _awaited(figures: Awaitable[Json]) -> Json:
    return await figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    parser.add_argument("--out", type=Path, default=Path(".bench/retrieval.json"))
    parts, known = (*COMPARED, *ALONE), (*PEERS, *ON_DEMAND)
    parser.add_argument("--only", type=some_of(parts), default=parts, help=f"parts: {','.join(parts)}")
    parser.add_argument("--peers", type=some_of(known), default=PEERS, help=f"peers: {','.join(known)}, or none")
    default = EmbeddingSettings().model
    parser.add_argument("--embedding", default=default, help="the model of ours, where peers are compared with us")
    parser.add_argument("--without-ours", action="store_true", help="peers only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
