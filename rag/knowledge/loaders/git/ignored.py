"""Lists the files that a Git checkout ignores."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from rag.errors import KnowledgeError
from rag.knowledge.loaders.git.commands import failure_reason, run_git


def ignored_by_git(folder: Path) -> frozenset[str]:
    """Relative paths that the checkout around a folder ignores; those of folders end in ``/``. Empty outside a checkout.

    For a folder that is itself ignored the result is empty: the source names it on purpose. Raises ``KnowledgeError`` when git
    cannot tell, because ignored files often hold secrets and must not be indexed by mistake.
    """
    checkout = next((place for place in (folder, *folder.resolve().parents) if _is_checkout(place / ".git")), None)
    if checkout is None or not (shutil.which("git") or (checkout / ".gitignore").exists()):
        return frozenset()
    try:
        # A checkout often belongs to another user than the service, and git then refuses to read it.
        if run_git("-c", "safe.directory=*", "check-ignore", "-q", ".", at=folder).returncode == 0:
            return frozenset()
        arguments = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
        result = run_git("-c", "safe.directory=*", *arguments, at=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KnowledgeError(_failure(folder, type(error).__name__)) from error
    if result.returncode:
        raise KnowledgeError(_failure(folder, failure_reason(result.stderr)))
    return frozenset(filter(None, os.fsdecode(result.stdout).split("\0")))


def _is_checkout(git: Path) -> bool:
    """Whether ``.git`` marks a checkout: a file (worktree, submodule), or a folder that contains ``HEAD``."""
    return git.is_file() or (git / "HEAD").exists()


def _failure(folder: Path, reason: str) -> str:
    return (
        f"git cannot tell which files of {folder} it ignores ({reason}); install git and let the service read the checkout, or "
        "name a folder outside of it"
    )
