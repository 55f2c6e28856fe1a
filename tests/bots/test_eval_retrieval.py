"""``cotorra eval retrieval`` without a service: real documents, the packaged embeddings, the embedded index."""

from __future__ import annotations

import json
from typing import Any

from rag.retrieval.calibrated import FILE
from tests.bots.test_cli import Shell, shell

__all__ = ["shell"]

TRAVEL = """# Travel

## Trains

Book trains at least two weeks ahead, in second class.

## Hotels

A hotel may cost 120 euros a night, breakfast included.
"""
ANSWERED = (
    ("How many days of paid holiday do I have?", "holidays.md#days"),
    ("How much may a hotel cost?", "travel.md#hotels"),
    ("When must I book a train?", "travel.md#trains"),
)
SET: tuple[dict[str, Any], ...] = (
    *({"question": question, "expected": {"url": url}} for question, url in ANSWERED),
    {
        "conversation": [ANSWERED[1][0], "120 euros.", "Is breakfast included?"],
        "expected": {"passage": "120 euros a night"},
    },
    {"question": "Who discovered penicillin?", "expected": None},
    {"question": "What is the boiling point of mercury?", "expected": None},
)


async def test_documents_of_ones_own_are_measured_and_calibrated_on(shell: Shell) -> None:
    (shell.folder / "docs" / "travel.md").write_text(TRAVEL, encoding="utf-8")
    (shell.folder / "set.jsonl").write_text("\n".join(map(json.dumps, SET)), encoding="utf-8")
    ended = await shell("eval", "retrieval", "set.jsonl", "--json", "--calibrate", "--force")
    assert ended.status == 0, ended.err
    told = json.loads(ended.out)
    assert (told["report"]["turns"], told["report"]["conversations"]) == (6, 5)
    assert told["report"]["retrieval"]["recall@1"]["value"] == 1
    assert told["report"]["abstention"]["auroc"]["value"] == 1
    assert set(told["report"]["by_source"]) == {"kb"}
    written = json.loads((shell.home / FILE).read_bytes())
    assert (written["provenance"]["cases"], written["provenance"]["positives"]) == (6, 4)
    assert len(written["features"]) == len(written["weights"]) > 0
    compared = ("--compare", "retrieval.limit=1", "retrieval.threshold=1")
    again = json.loads((await shell("eval", "retrieval", "set.jsonl", "--json", "--worst", "0", *compared)).out)
    assert again["report"]["retrieval"] == told["report"]["retrieval"]
    assert again["report"]["abstention"]["answered"]["value"] == 1
    assert again["report"]["abstention"]["false_answers"]["value"] == 0
    assert again["comparison"]["changed"]["abstention"]["answered"]["value"] == 0
    assert again["comparison"]["changed"]["rules"] == {"depth": 10, "limit": 1, "threshold": 1}
