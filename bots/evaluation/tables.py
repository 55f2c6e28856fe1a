"""Prints an evaluation: tables on a terminal, aligned columns elsewhere, one JSON object for programs."""

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

from bots.evaluation.retrieval import EvaluationResult
from rag.evaluation.bootstrap import Figure
from rag.evaluation.learning import LearnedCalibration
from rag.evaluation.report import Comparison, Figures, Report, WorstCase

Rows = Sequence[Sequence[str]]

MEANINGS = {
    "auroc": "score tells answerable turns from others",
    "auroc_found": "score tells turns whose passages answer",
    "answered": "answerable turns that are answered",
    "false_answers": "unanswerable turns that are answered",
    "precision": "answered turns whose passages answer",
}
PAGES_SHOWN = 3
"""Retrieved pages that are named for each worst case."""


def print_evaluated(result: EvaluationResult, *, as_json: bool) -> None:
    """Prints the whole result."""
    if as_json:
        print(json.dumps(_rounded(dataclasses.asdict(result)), ensure_ascii=False, indent=2))
        return
    report = result.report
    print(
        f"{result.file}: {report.turns} turns of {report.conversations} conversations, {report.answerable} answerable; "
        "intervals hold 95 %"
    )
    if result.comparison:
        _print_comparison(report, result.comparison)
    else:
        _print_report(report)
    _print_worst(report.worst)
    if result.learned:
        _print_learned(result.learned, result.written or "")


def _print_report(report: Report) -> None:
    rows = [("all", report.retrieval)]
    rows += [(f"language {name}", part) for name, part in report.by_language.items()]
    rows += [(f"source {name}", part) for name, part in report.by_source.items()]
    if report.retrieval:
        names = list(report.retrieval)
        cells = [[name, *(_figure(part.get(each)) for each in names), _turns(part)] for name, part in rows]
        _print_table("Passages found", ["", *names, "turns"], cells)
    meanings = [[name, _figure(one), MEANINGS[name]] for name, one in report.abstention.items()]
    _print_table(f"To answer or to abstain, at threshold {report.rules.threshold:g}", ["", "share", ""], meanings)


def _print_comparison(now: Report, comparison: Comparison) -> None:
    changes = ", ".join(f"{key}={value}" for key, value in comparison.changes.items())
    before, after = ({**one.retrieval, **one.abstention} for one in (now, comparison.changed))
    rows = [
        [name, _figure(before.get(name)), _figure(after.get(name)), _signed(one)]
        for name, one in comparison.difference.items()
    ]
    _print_table(f"Now, and with {changes}", ["", "now", "changed", "difference"], rows)


def _print_worst(worst: Sequence[WorstCase]) -> None:
    # The rank counts from 1; without one the page was not retrieved, or nothing was expected and an answer came.
    if not worst:
        return
    print("\nWorst cases")
    for one in worst:
        expected = " or ".join(one.expected) or "that nothing answers"
        pages = ", ".join(one.found[:PAGES_SHOWN]) or "nothing"
        place = f"at {one.rank}" if one.rank else "not found" if one.expected else "answered"
        for line in (f"  line {one.line}: {one.question}", f"    expected {expected}; {place}, score {one.score:.2f}"):
            print(_printable(line))
        print(_printable(f"    found {pages}"))


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
    calibration = learned.calibration
    weights = [[name, f"{weight:+.3f}"] for name, weight in zip(calibration.features, calibration.weights, strict=True)]
    _print_table("Weights", ["feature", "weight"], [*weights, ["(intercept)", f"{calibration.intercept:+.3f}"]])
    print(f"\nWritten to {written}; the service uses it from its next start.")


def _print_table(title: str, columns: Sequence[str], rows: Rows) -> None:
    if not rows:
        return
    # Into a pipe: rich would wrap the cells at 80 columns.
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
        # As Text: rich would take a name in square brackets for markup.
        table.add_row(*map(Text, row))
    Console().print(table)


def _figure(one: Figure | None) -> str:
    return f"{_short(one.value)} [{_short(one.low)}, {_short(one.high)}]" if one else "-"


def _signed(one: Figure) -> str:
    return f"{_short(one.value, '+')} [{_short(one.low, '+')}, {_short(one.high, '+')}]"


def _short(value: float, sign: str = "") -> str:
    """Three digits and no zero before the point, so that six figures with their intervals fit on a line."""
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def _turns(part: Figures) -> str:
    return str(next(iter(part.values())).n)


def _printable(text: str) -> str:
    """Text without control characters: a question of somebody else must not control the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
