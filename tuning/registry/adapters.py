"""The seam to the adapters of an installation: what there is, and which one serves each task."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

from rag.types import AdapterRef

Task = Literal["chat", "retrieve", "read", "classify"]
"""What is learned: to answer, to find passages, to read what in them answers, to tell what a turn is."""
TASKS: tuple[Task, ...] = get_args(Task)


class AdapterRegistry(Protocol):
    """Every method blocks: call it in a thread. Each raises ``OSError`` or ``TuningError`` when the back end fails.

    Any number of processes share one registry: what one promotes, the others see the next time that they ask.
    """

    def names(self) -> list[str]:
        """Every complete adapter, in alphabetical order."""

    def named(self, name: str) -> AdapterRef:
        """The adapter with its files as they are now. Raises ``AdapterMissing`` with the names that there are."""

    def by_digest(self, digest: str) -> AdapterRef:
        """The adapter with exactly these files, by the whole digest. Raises ``AdapterMissing``."""

    def serving(self, task: Task) -> AdapterRef | None:
        """The adapter that was promoted last for the task, None for the base model. Raises ``AdapterMissing``."""

    def promote(self, task: Task, name: str) -> None:
        """Let ``name`` serve the task from the next message on, or the base model for an empty name.

        In one step: a crash leaves either the former or the new one. Raises ``AdapterMissing``, and changes nothing then.
        """
