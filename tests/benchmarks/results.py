"""The figures of a benchmark's run, written anew after each part, so that a run that is stopped loses little."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Results:
    """The figures so far, and the file that they stand in."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._figures: Json = {}

    def add(self, keys: Sequence[str], figures: Json) -> None:
        """Put figures below keys (above all others for none), and write all of them."""
        place = self._figures
        if not keys:
            place |= figures
        for key in keys[:-1]:
            inner = place.setdefault(key, {})
            assert isinstance(inner, dict)
            place = inner
        if keys:
            place[keys[-1]] = figures
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._out.write_text(json.dumps(self._figures, indent=2) + "\n", encoding="utf-8")
        say(f"{'.'.join(keys)}: {json.dumps(figures)}".removeprefix(": "))


def say(line: str) -> None:
    """Progress, at once."""
    print(line, flush=True)


def some_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """An argument's type: names of ``known`` with commas between them, or none."""

    def chosen(text: str) -> tuple[str, ...]:
        names = tuple(name for name in text.split(",") if name and name != "none")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
        return names

    return chosen
