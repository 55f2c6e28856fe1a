"""How an evaluation is shown: tables on a terminal, aligned columns elsewhere, one JSON object for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bots.evaluation.retrieval import Evaluated
from rag.evaluation.bootstrap import Figure
from rag.evaluation.learning import LearnedCalibration
from rag.evaluation.report import Comparison, Figures, Report, WorstCase

Rows = Sequence[Sequence[str]]

MEANING = {
    "auroc": "score tells answerable turns from others",
    "auroc_found": "score tells turns whose passages answer",
    "answered": "answerable turns that are answered",
    "false_answers": "unanswerable turns that are answered",
    "precision": "answered turns whose passages answer",
}
SHOWN = 3
"""Pages named of what was found for a worst case."""


def print_evaluated(evaluated: Evaluated, *, as_json: bool) -> None:
    """Everything that came out."""
    if as_json:
        print(json.dumps(_rounded(dataclasses.asdict(evaluated)), ensure_ascii=False, indent=2))
        return
    told = evaluated.report
    print(
        f"{evaluated.file}: {told.turns} turns of {told.conversations} conversations, {told.answerable} answerable; "
        "intervals hold 95 %"
    )
    if evaluated.comparison:
        _print_comparison(told, evaluated.comparison)
    else:
        _print_report(told)
    _print_worst(told.worst)
    if evaluated.learned:
        _print_learned(evaluated.learned, evaluated.written or "")


def _print_report(told: Report) -> None:
    rows = [("all", told.retrieval)]
    rows += [(f"language {name}", part) for name, part in told.by_language.items()]
    rows += [(f"source {name}", part) for name, part in told.by_source.items()]
    if told.retrieval:
        names = list(told.retrieval)
        cells = [[name, *(_figure(part.get(each)) for each in names), _turns(part)] for name, part in rows]
        _print_table("Passages found", ["", *names, "turns"], cells)
    meant = [[name, _figure(one), MEANING[name]] for name, one in told.abstention.items()]
    _print_table(f"To answer or to abstain, at threshold {told.rules.threshold:g}", ["", "share", ""], meant)


def _print_comparison(now: Report, comparison: Comparison) -> None:
    changes = ", ".join(f"{key}={value}" for key, value in comparison.changes.items())
    before, after = ({**one.retrieval, **one.abstention} for one in (now, comparison.changed))
    rows = [
        [name, _figure(before.get(name)), _figure(after.get(name)), _signed(one)]
        for name, one in comparison.difference.items()
    ]
    _print_table(f"Now, and with {changes}", ["", "now", "changed", "difference"], rows)


def _print_worst(worst: Sequence[WorstCase]) -> None:
    if not worst:
        return
    print("\nWorst cases")
    for one in worst:
        expected = " or ".join(one.expected) or "that nothing answers"
        found = ", ".join(one.found[:SHOWN]) or "nothing"
        place = f"at {one.rank}" if one.rank else "not found" if one.expected else "answered"
        for line in (f"  line {one.line}: {one.question}", f"    expected {expected}; {place}, score {one.score:.2f}"):
            print(_printable(line))
        print(_printable(f"    found {found}"))


def _print_learned(learned: LearnedCalibration, written: str) -> None:
    before, after = dataclasses.asdict(learned.before), dataclasses.asdict(learned.after)
    quality = [
        [name.replace("_", " "), *(_figure(one and Figure(**one)) for one in (before[name], after[name]))]
        for name in before
    ]
    _print_table("Calibration, on conversations held out", ["", "before", "after"], quality)
    curve = [[f"{one.predicted:.2f}", f"{one.observed:.2f}", str(one.n)] for one in learned.curve]
    _print_table("Reliability: what was predicted and what came true", ["predicted", "observed", "turns"], curve)
    choices = [[f"{one.threshold:g}", f"{one.answered:.2f}", f"{one.false_answers:.2f}"] for one in learned.choices]
    _print_table("What a threshold does", ["retrieval.threshold", "answered", "false answers"], choices)
    made = learned.calibration
    weights = [[name, f"{weight:+.3f}"] for name, weight in zip(made.features, made.weights, strict=True)]
    _print_table("Weights", ["feature", "weight"], [*weights, ["(intercept)", f"{made.intercept:+.3f}"]])
    print(f"\nWritten to {written}; the service uses it from its next start.")


def _print_table(title: str, columns: Sequence[str], rows: Rows) -> None:
    if not rows:
        return
    if not sys.stdout.isatty():
        print(f"\n{title}")
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        for row in (columns, *rows):
            print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _figure(one: Figure | None) -> str:
    return f"{_short(one.value)} [{_short(one.low)}, {_short(one.high)}]" if one else "-"


def _signed(one: Figure) -> str:
    return f"{_short(one.value, '+')} [{_short(one.low, '+')}, {_short(one.high, '+')}]"


def _short(value: float, sign: str = "") -> str:
    """Three digits and no zero before the point: six figures with their intervals share a line."""
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def _turns(part: Figures) -> str:
    return str(next(iter(part.values())).n)


def _printable(text: str) -> str:
    """A question is others' text: what it holds must not steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
