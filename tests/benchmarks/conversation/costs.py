"""``python -m tests.benchmarks.conversation.costs``: what the bot takes on this machine, measured in a process of its own.

CPU time is that of the process that answers, all threads, in milliseconds a turn: first turns of conversations, and the turns
after them. The private Redis is a process of its own and not counted. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.conversation.bot import Bot, new_conversation
from tests.benchmarks.conversation.libraries import Libraries
from tests.benchmarks.conversation.sets import PARTS, followups
from tests.benchmarks.results import Json

LIBRARY = "fastapi"
TURNS = 10
WARM_UP = 10
LONGEST_SECONDS = 1800


def measure(data: Path, embedding: str, conversations: int) -> Json:
    """The figures of one embedding model; empty for the one that is used when nothing is set.

    One process reads the documents and another one answers, so that its memory holds nothing of the reading.
    """
    with tempfile.TemporaryDirectory() as homes:
        reading = _figures_of(data, homes, embedding, 0)
        return _figures_of(data, homes, embedding, conversations) | {"first_sync_s": reading["sync_s"]}


def _figures_of(data: Path, homes: str, embedding: str, conversations: int) -> Json:
    command = [sys.executable, "-m", "tests.benchmarks.conversation.costs", "--data", str(data), "--homes", homes]
    more = ["--embedding", embedding, "--conversations", str(conversations)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=LONGEST_SECONDS, check=True)
    figures: Json = json.loads(done.stdout.splitlines()[-1])
    return figures


async def _measured(libraries: Libraries, conversations: int) -> Json:
    async with libraries.open(LIBRARY) as bot:
        if not conversations:
            return {"sync_s": round(bot.sync_seconds, 1)}
        return await _played(bot, conversations)


async def _played(bot: Bot, conversations: int) -> Json:
    """Over an index that is there already, as a service finds it that is started again."""
    questions = [
        turn.question
        for part in PARTS
        for one in followups(part, None)
        if one.library == LIBRARY
        for turn in (one.first, one.then)
    ]
    for text in questions[:WARM_UP]:
        await bot.ask(text, new_conversation())
    resting = _resident_mb()
    seen = [await _conversation(bot, questions, number * TURNS) for number in range(conversations)]
    first = [turns[0] for turns in seen]
    later = [one for turns in seen for one in turns[1:]]
    cpu: Json = {"first": _mean(first), "followup": _mean(later)}
    return {"cpu_ms": cpu, "rest_mb": round(resting, 1), "conversations": conversations, "turns": TURNS}


async def _conversation(bot: Bot, questions: Sequence[str], start: int) -> list[float]:
    """CPU milliseconds of each turn. Each question is new to the cache of questions, as a stranger's is."""
    conversation, spent = new_conversation(), list[float]()
    for number in range(start, start + TURNS):
        text = f"{questions[number % len(questions)]} ({number})"
        before = time.process_time()
        await bot.ask(text, conversation)
        spent.append(1000 * (time.process_time() - before))
    return spent


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 2)


def _resident_mb() -> float:
    """Memory of this process that is in RAM, in megabytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--homes", type=Path, required=True, help="where the library is kept")
    parser.add_argument("--embedding", default="")
    parser.add_argument("--conversations", type=int, default=20, help="0 only reads the documents")
    chosen = parser.parse_args()
    library = Libraries(data=chosen.data, homes=chosen.homes, embedding=chosen.embedding)
    print(json.dumps(asyncio.run(_measured(library, chosen.conversations))))
