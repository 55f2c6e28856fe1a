"""The files that a Git checkout ignores."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from rag.errors import KnowledgeError
from rag.knowledge.loaders.git.commands import failure_reason, run_git


def ignored_by_git(folder: Path) -> frozenset[str]:
    """Relative paths that the checkout around a folder ignores (of a folder with ``/`` at the end); empty outside of one.

    A folder that is itself ignored was named on purpose: all of it counts. Raises ``KnowledgeError`` where git cannot tell:
    what is kept out of a repository is often what nobody should read.
    """
    checkout = next((place for place in (folder, *folder.resolve().parents) if _is_checkout(place / ".git")), None)
    if checkout is None or not (shutil.which("git") or (checkout / ".gitignore").exists()):
        return frozenset()
    try:
        # A checkout often belongs to another user than the service, and git then refuses to read it.
        if run_git("-c", "safe.directory=*", "check-ignore", "-q", ".", at=folder).returncode == 0:
            return frozenset()
        arguments = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
        listed = run_git("-c", "safe.directory=*", *arguments, at=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KnowledgeError(_unknown(folder, type(error).__name__)) from error
    if listed.returncode:
        raise KnowledgeError(_unknown(folder, failure_reason(listed.stderr)))
    return frozenset(filter(None, os.fsdecode(listed.stdout).split("\0")))


def _is_checkout(git: Path) -> bool:
    """A worktree's and a submodule's ``.git`` is a file; a folder of that name without ``HEAD`` is just a folder."""
    return git.is_file() or (git / "HEAD").exists()


def _unknown(folder: Path, reason: str) -> str:
    return (
        f"git cannot tell which files of {folder} it ignores ({reason}); install git and let the service read the checkout, or "
        "name a folder outside of it"
    )
