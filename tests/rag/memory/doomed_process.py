"""Remembers and folds without pause until it is killed; run with the URL of Redis, a key and the first turn's number."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rag.memory.conversation import ConversationMemory
from rag.settings import MemorySettings
from rag.store.client import connect
from rag.types import Exchange

START = datetime(2026, 1, 6, tzinfo=UTC)


async def joined(summary: str, exchanges: Sequence[Exchange], _language: str) -> str:
    return " ".join(filter(None, (summary, *(each.question for each in exchanges))))


async def main(url: str, key: str, first: int) -> None:
    async with connect(url) as redis:
        memory = ConversationMemory(redis, MemorySettings(turns=2), lambda _: key)
        for number in range(first, first + 100_000):
            exchange = Exchange(
                turn_id=f"t{number}",
                question=f"q{number}",
                answer="a",
                asked_at=START + timedelta(seconds=number),
                speaker="ana",
                audiences=("public",),
            )
            await memory.append("c", exchange)
            print(number, flush=True)
            await memory.fold("c", joined, at_once=2)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
