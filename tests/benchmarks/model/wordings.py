"""What injections in words of their own bring before a reader's eyes, measured as ``injection`` measures the older attacks."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import get_args

from tests.benchmarks.model.injection import Stand, by_answerer, summary
from tests.benchmarks.model.wording_cases import Part, wording_cases
from tests.benchmarks.results import Json, say


async def measure(data: Path, every: int = 1) -> Json:
    """The figures of each part of the set, of one attack in ``every``; the folder of public data is not needed."""
    stand = Stand()
    return {part: await _figures(stand, part, every) for part in get_args(Part)}


async def _figures(stand: Stand, part: Part, every: int) -> Json:
    say(f"  the part {part}:")
    found = wording_cases(part)[::every]
    return await summary(stand, found, await by_answerer(stand, found))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take one attack in so many")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(measure(Path(), arguments.every)), indent=2))


if __name__ == "__main__":
    main()
