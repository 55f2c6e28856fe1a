"""The test model of this machine: built once, kept until what it is built from changes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from importlib.metadata import version
from pathlib import Path

from rag.models.adapters import adapter_digest
from rag.types import AdapterRef

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench" / "test-model"
SECONDS = 900
"""A build takes one or two minutes on two cores that have nothing else to do."""
_MADE_BY = ("building", "conversations", "facts", "network", "tokens", "training")
_SOURCES = (*(Path(__file__).with_name(f"{name}.py") for name in _MADE_BY), ROOT / "rag/prompts/instructions.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A folder that ``model.name`` can name."""

    folder: Path

    @classmethod
    def of_this_machine(cls) -> Trained:
        """Builds it if nobody has; other processes wait for the one that does."""
        folder = CACHE / _digest()
        with _locked(CACHE / "lock"):
            if not folder.exists():
                _build(folder)
        return cls(folder=folder)

    @property
    def name(self) -> str:
        return str(self.folder)

    def adapter(self, manner: str) -> AdapterRef:
        """One of ``MANNERS`` by its name, as a registry would refer to it."""
        path = self.folder / "adapters" / manner
        return AdapterRef(name=manner, path=str(path), digest=adapter_digest(path))


def _build(folder: Path) -> None:
    """In a process of its own: neither its memory nor its random numbers stay with the tests."""
    begun = folder.with_suffix(".part")
    done = subprocess.run(
        [sys.executable, "-m", "tests.models", str(begun)],
        cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"the test model could not be built:\n{done.stdout}\n{done.stderr}"
    begun.rename(folder)


def _digest() -> str:
    """Of all that the model is made from."""
    made = hashlib.sha256(" ".join(version(library) for library in ("torch", "transformers", "tokenizers")).encode())
    for source in _SOURCES:
        made.update(source.read_bytes())
    return made.hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        flock(file, LOCK_EX)
        yield
