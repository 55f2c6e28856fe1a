"""Checks the tests: breaks the code by hand, one place at a time, and sees the tests that are named for it fail.

    python -m tests.mutants [WORD …]     (all mutations, or those with one of these words in their names)

Works on a copy of the tree in a temporary folder. Exit status 1 where a mutation survives its tests, 2 where one cannot
be judged: its text is not in its file exactly once, or its tests fail without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]
SURVIVED, DIED = 0, 1
"""pytest's exit status: all passed, some failed. Any other means that the tests did not run."""


class NotJudged(Exception):
    """A mutation of which nobody can say whether tests see it."""


def mutated(source: str, mutation: Mutation) -> str:
    """``source`` with the mutation in it. Raises ``NotJudged`` unless its text stands there exactly once."""
    if (times := source.count(mutation.text)) != 1:
        raise NotJudged(
            f"{mutation.name}: its text stands {times} times in {mutation.file}, not once; mend tests/mutations.py"
        )
    return source.replace(mutation.text, mutation.replacement)


def survives(mutation: Mutation, tree: Path) -> bool:
    """Whether the tests of a mutation pass with it in ``tree``, which is put back. Raises ``NotJudged``."""
    file = tree / mutation.file
    source = file.read_text(encoding="utf-8")
    file.write_text(mutated(source, mutation), encoding="utf-8")
    try:
        return _passes(mutation.tests, tree, mutation.name)
    finally:
        file.write_text(source, encoding="utf-8")


def _passes(tests: Iterable[str], tree: Path, name: str) -> bool:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-qx",
        "-o",
        "addopts=",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    # Without compiled files: Python takes one for current when size and second of the source agree, as after a mutation.
    # With one thread: the packaged model is small, and threads that wait for a busy core make it many times slower.
    settings = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=tree, env=os.environ | settings, capture_output=True, text=True, check=False)
    if ran.returncode not in (SURVIVED, DIED):
        raise NotJudged(
            f"{name}: its tests did not run (pytest's exit status is {ran.returncode})\n{ran.stdout[-2000:]}"
        )
    return ran.returncode == SURVIVED


def copied(target: Path) -> Path:
    """The files of the project, without what was built or installed."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def chosen(words: Sequence[str]) -> list[Mutation]:
    """Those with one of the words in their name; all without words."""
    return [each for each in MUTATIONS if not words or any(word in each.name for word in words)]


def judged(mutations: Sequence[Mutation], tree: Path) -> list[str]:
    """Names of those that survive, each reported as it is known. Raises ``NotJudged``."""
    for each in mutations:
        mutated((tree / each.file).read_text(encoding="utf-8"), each)
    if not _passes(sorted({test for each in mutations for test in each.tests}), tree, "no mutation"):
        raise NotJudged("the tests fail without any mutation; run make test")
    survivors = []
    for each in mutations:
        began = time.monotonic()
        if lives := survives(each, tree):
            survivors.append(each.name)
        print(f"{'SURVIVED' if lives else 'died':<9} {time.monotonic() - began:5.1f} s  {each.name}", flush=True)
    return survivors


def main(words: Sequence[str]) -> int:
    """The exit status."""
    mutations = chosen(words)
    if not mutations:
        print(f"no mutation has {' or '.join(words)} in its name", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="cotorra-mutants-") as folder:
        try:
            survivors = judged(mutations, copied(Path(folder)))
        except NotJudged as error:
            print(error, file=sys.stderr)
            return 2
    print(f"{len(mutations) - len(survivors)} of {len(mutations)} mutations died")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
