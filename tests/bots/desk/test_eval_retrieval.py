"""``cotorra eval retrieval`` without a service: real documents, the packaged embeddings, the embedded index."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag.retrieval.calibrated import FILE
from tests.bots.desk.test_cli import Shell, shell

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


@pytest.fixture
def documents(shell: Shell) -> Shell:
    (shell.folder / "docs" / "travel.md").write_text(TRAVEL, encoding="utf-8")
    (shell.folder / "set.jsonl").write_text("\n".join(map(json.dumps, SET)), encoding="utf-8")
    return shell


async def measure(shell: Shell, *options: str) -> dict[str, Any]:
    ended = await shell("eval", "retrieval", "set.jsonl", "--json", *options)
    assert ended.status == 0, ended.err
    told: dict[str, Any] = json.loads(ended.out)
    return told


async def test_documents_of_ones_own_are_measured_and_calibrated_on(documents: Shell) -> None:
    told = await measure(documents, "--calibrate", "--force")
    assert (told["report"]["turns"], told["report"]["conversations"]) == (6, 5)
    assert told["report"]["retrieval"]["recall@1"]["value"] == 1
    assert told["report"]["abstention"]["auroc"]["value"] == 1
    assert set(told["report"]["by_source"]) == {"kb"}
    written = json.loads((documents.home / FILE).read_bytes())
    assert (written["provenance"]["cases"], written["provenance"]["positives"]) == (6, 4)
    assert len(written["features"]) == len(written["weights"]) > 0


@pytest.mark.slow
async def test_a_calibration_decides_from_the_next_start(documents: Shell) -> None:
    before = await measure(documents, "--calibrate", "--force")
    after = await measure(documents, "--compare", "retrieval.limit=1", "retrieval.threshold=1")
    assert after["report"]["retrieval"] == before["report"]["retrieval"]
    assert after["report"]["abstention"]["answered"]["value"] == 1
    assert after["report"]["abstention"]["false_answers"]["value"] == 0
    assert after["comparison"]["changed"]["abstention"]["answered"]["value"] == 0
    assert after["comparison"]["changed"]["rules"] == {"depth": 10, "limit": 1, "threshold": 1}
    weights = json.loads((documents.home / FILE).read_bytes())
    (documents.home / FILE).write_text(json.dumps({**weights, "features": ["moon", *weights["features"][1:]]}))
    ended = await documents("search", "hotel")
    assert ended.status == 1
    assert "no feature moon" in ended.complaint
    assert "delete it" in ended.complaint
