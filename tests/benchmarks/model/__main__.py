"""``make bench-model``: every figure of the answering model in one run, each part in a process of its own.

Writes the file anew after each part, so that a run that is stopped loses little.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.benchmarks.results import Results, say, some_of

PARTS = ("throughput", "adapters", "grounding", "injection", "wordings", "policy", "chaos", "latency", "extractive")
AT_THE_TOP = "throughput"
"""Its figures stand above all parts."""
LONGEST_SECONDS = 3600


def main() -> None:
    """Measure what is asked for."""
    arguments = _arguments()
    if arguments.part:
        _measure(arguments.part, arguments.data, arguments.out)
        return
    if not (arguments.data / "doc2dial").is_dir():
        sys.exit(f"no data in {arguments.data}: give the folder with doc2dial, bipia and the others, as DATA=FOLDER")
    results = Results(arguments.out)
    started = perf_counter()
    failed = [part for part in arguments.only if not _part(part, arguments.data, results, started)]
    say(f"[{perf_counter() - started:.0f} s] written to {arguments.out}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _part(part: str, data: Path, results: Results, started: float) -> bool:
    """Whether it ran to its end: models that one part loaded must not take memory or threads from the next."""
    say(f"[{perf_counter() - started:.0f} s] {part}")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.model",
            "--part",
            part,
            "--data",
            str(data),
            "--out",
            str(out),
        ]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        if subprocess.run(command, env=environment, timeout=LONGEST_SECONDS, check=False).returncode:
            return False
        results.add([] if part == AT_THE_TOP else [part], json.loads(out.read_text(encoding="utf-8")))
    return True


def _measure(part: str, data: Path, out: Path) -> None:
    import asyncio

    module = importlib.import_module(f"tests.benchmarks.model.{part}")
    out.write_text(json.dumps(asyncio.run(module.measure(data))), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    parser.add_argument("--out", type=Path, default=Path(".bench/model.json"))
    parser.add_argument("--only", type=some_of(PARTS), default=PARTS, help=f"parts: {','.join(PARTS)}")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
