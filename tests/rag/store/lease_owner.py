"""Holds a lease and says so until it is killed; run with the URL of Redis, the key and the seconds of the lease."""

from __future__ import annotations

import asyncio
import sys

from rag.store.client import connect
from rag.store.lease import Lease


async def main(url: str, key: str, seconds: float) -> None:
    async with connect(url) as redis, Lease(redis, key, seconds=seconds, right="dying").hold():
        print("held", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
