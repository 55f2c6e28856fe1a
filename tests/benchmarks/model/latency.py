"""Until the first text and until the whole answer, through a loopback Slack, for each kind of model.

``python -m tests.benchmarks.model.latency``. One question after another in conversations of their own, on the pages of the
shop that the test model is trained on; the service is started as its user would, with settings in the environment. A written
answer's first text is its first whole sentence: before it nothing can be checked against the passages.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path

from tests.benchmarks.judging import quantile
from tests.benchmarks.model.chaos import kind_of
from tests.benchmarks.model.served import Asked, ask, service
from tests.benchmarks.stand import Loads, Slack
from tests.loopback.openai import LoopbackOpenAI
from tests.models.facts import shop
from tests.models.trained import Trained

QUESTIONS, RATE = 40, 0.5
WARM = 4
WORDS_PER_SECOND, FIRST_WORD_SECONDS = 40.0, 0.2
"""Of the loopback server: about what one conversation gets from a small model on a GPU."""
WAIT_SECONDS = 30.0
Json = dict[str, object]


async def measure(data: Path) -> Json:
    """By kind of model, quantiles in seconds as a person in Slack sees them. ``data`` is not needed."""
    return await asyncio.to_thread(_measured)


def _measured() -> Json:
    with tempfile.TemporaryDirectory(prefix="cotorra-latency-") as name, ExitStack() as stack:
        folder = Path(name)
        environ = _knowledge(folder)
        slack = stack.enter_context(Slack(folder))
        server = stack.enter_context(LoopbackOpenAI(rate=WORDS_PER_SECOND, first_word_seconds=FIRST_WORD_SECONDS))
        kinds = {
            "extractive": {"COTORRA_MODEL__KIND": "extractive"},
            "transformers": {
                "COTORRA_MODEL__KIND": "transformers",
                "COTORRA_MODEL__NAME": Trained.of_this_machine().name,
            },
            "openai": {
                "COTORRA_MODEL__KIND": "openai",
                "COTORRA_MODEL__NAME": server.model,
                "OPENAI_BASE_URL": server.url,
            },
        }
        loads = Loads(folder, list(islice(cycle(fact.question() for fact in shop()), QUESTIONS)))
        return {kind: _of_kind(kind, environ | more, folder, slack, loads) for kind, more in kinds.items()}


def _of_kind(kind: str, environ: Mapping[str, str], folder: Path, slack: Slack, loads: Loads) -> Json:
    running = service(folder, slack, environ, kind)
    running.start()
    try:
        began = time.monotonic()
        running.wait_ready()
        ready = time.monotonic() - began
        ask(slack, loads, running, rate=RATE, count=WARM, seconds=WAIT_SECONDS)
        asked = ask(slack, loads, running, rate=RATE, count=QUESTIONS, seconds=WAIT_SECONDS)
    finally:
        running.stop()
    return _figures(asked) | {"ready_s": round(ready, 1)}


def _figures(asked: Asked) -> Json:
    return {
        "first_token_s": _quantiles([reply.first_s for reply in asked.replies]),
        "full_s": _quantiles([reply.full_s for reply in asked.replies]),
        "messages": QUESTIONS,
        "lost": asked.lost,
        "kinds": Counter(kind_of(reply.text) for reply in asked.replies),
    }


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    return {"p50": round(quantile(seconds, 0.5), 3), "p95": round(quantile(seconds, 0.95), 3)}


def _knowledge(folder: Path) -> dict[str, str]:
    """The shop's pages as the only source."""
    pages = folder / "pages"
    pages.mkdir()
    for number, fact in enumerate(shop()):
        (pages / f"{number:03d}-{fact.title.lower()}.md").write_text(fact.page, encoding="utf-8")
    config = folder / "cotorra.toml"
    config.write_text(f'[[knowledge.sources]]\nname = "shop"\npath = "{pages}"\n', encoding="utf-8")
    return {"COTORRA_CONFIG": str(config)}


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    print(json.dumps(asyncio.run(measure(Path())), indent=2))
