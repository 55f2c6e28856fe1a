"""``make bench-conversation``: conversations that the bot plays by itself, with the settings of someone who set nothing.

Writes the file anew after each part, so that a run that is stopped loses little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, process_time
from typing import cast

from tests.benchmarks.conversation import alone, costs, doc2dial, followups, found, peers, whole, wishes
from tests.benchmarks.conversation.libraries import Libraries
from tests.benchmarks.conversation.sets import PARTS, Part
from tests.benchmarks.results import Json, Results, say, some_of

Measure = Callable[[Libraries, Part, int | None], Awaitable[Json]]
PLAYED: dict[str, Measure] = {
    "followup": followups.moving_on,
    "offtopic": followups.off_topic,
    "paraphrase": alone.paraphrased,
    "cross": alone.across,
    "declined": alone.declined,
    "composition": whole.measure,
    "intent": wishes.measure,
}
KEYS = (*PLAYED, "doc2dial", "scifact", "fastapi", "cost", "peers")
COST_CONVERSATIONS = 20
PEERS = ("langchain", "langchain_1000")


def main() -> None:
    """Measure what is asked for."""
    arguments = _arguments()
    if not (arguments.data / "fastapi-docs").is_dir():
        sys.exit(
            f"no data in {arguments.data}: give the folder with fastapi-docs, doc2dial and the others, as DATA=FOLDER"
        )
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    results = Results(arguments.out)
    results.add([], {"part": arguments.part, "limit": arguments.limit or 0, "embedding": arguments.embedding})
    with ExitStack() as stack:
        homes = arguments.homes or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        libraries = Libraries(data=arguments.data, homes=homes.resolve(), embedding=arguments.embedding)
        for key in arguments.only:
            began, cpu = perf_counter(), process_time()
            _measure(key, libraries, arguments, results)
            took = {"wall_s": round(perf_counter() - began, 1), "cpu_s": round(process_time() - cpu, 1)}
            results.add(["took", key], took)
    say(f"written to {arguments.out}")


def _measure(key: str, libraries: Libraries, arguments: argparse.Namespace, results: Results) -> None:
    part, limit = cast("Part", arguments.part), arguments.limit
    if key in PLAYED:
        results.add([key], asyncio.run(_awaited(PLAYED[key](libraries, part, limit))))
    elif key == "doc2dial":
        measured = doc2dial.measure(libraries.data, libraries.homes, limit, libraries.embedding)
        results.add([key], asyncio.run(_awaited(measured)))
    elif key in ("scifact", "fastapi"):
        results.add([key], asyncio.run(_awaited(found.measure(key, libraries))))
    elif key == "cost":
        for name in dict.fromkeys((arguments.embedding, *arguments.beside)):
            results.add([key, name or "default"], costs.measure(arguments.data, name, limit or COST_CONVERSATIONS))
    else:
        _compare(libraries, part, limit, arguments.peers, results)


def _compare(libraries: Libraries, part: Part, limit: int | None, names: Sequence[str], results: Results) -> None:
    from tests.benchmarks.retrieval.peers import PEERS as BUILDS

    for name in names:
        results.add(["peers", name], asyncio.run(_awaited(peers.measure(libraries, part, limit, BUILDS[name]))))


async def _awaited(figures: Awaitable[Json]) -> Json:
    return await figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    parser.add_argument("--out", type=Path, default=Path(".bench/conversation.json"))
    parser.add_argument("--part", choices=PARTS, default="choose", help="half of the sets; final is for one last run")
    parser.add_argument("--only", type=some_of(KEYS), default=KEYS, help=f"keys: {','.join(KEYS)}")
    parser.add_argument(
        "--limit", type=int, help="at most so many cases a language of each set (doc2dial: conversations)"
    )
    parser.add_argument("--embedding", default="", help="another embedding model than the default")
    parser.add_argument(
        "--beside",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=(),
        help="embedding models whose costs are measured in the same run",
    )
    parser.add_argument("--peers", type=some_of(PEERS), default=PEERS[:1], help=f"peers: {','.join(PEERS)}, or none")
    parser.add_argument("--homes", type=Path, help="keep what was read here for another run of the same code")
    return parser.parse_args()


if __name__ == "__main__":
    main()
