"""Reads a Git repository as a source: it is fetched into a cache and then read as a folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rag.errors import KnowledgeError
from rag.knowledge.loaders.documents import Candidate, Unreadable
from rag.knowledge.loaders.files.folder import read_folder
from rag.knowledge.loaders.git.commands import failure_reason, run_git
from rag.settings import SourceSettings

SECONDS = 600
"""Limit for a clone or fetch, enough for a large repository over a slow line."""
_SSH = re.compile(r"^(?:[\w.-]+@)?[\w.-]+:(?!//)[^\s]+$")
_SCHEME = re.compile(r"^(https|ssh|file|http)://", re.IGNORECASE)


def read_repository(source: SourceSettings, cache: Path) -> Iterator[Candidate | Unreadable]:
    """All documents of a repository's folder at the head of its branch. Blocks.

    The commit's date is not that of a document: a fetch of depth 1 does not tell which files the commit changed. Raises
    ``KnowledgeError`` when the repository cannot be fetched; the index then stays as it is.
    """
    home = _fetch(source, cache)
    folder = (home / source.folder).resolve()
    if not folder.is_relative_to(home.resolve()) or not folder.exists():
        raise KnowledgeError(
            f"knowledge.sources: folder of {source.name!r} is {source.folder!r}, which {source.place} has not"
        )
    for entry in read_folder(source, folder):
        if isinstance(entry, Unreadable):  # shown without the cache's folder, where nobody looks for a file
            yield replace(entry, path=entry.path.removeprefix(f"{home.resolve()}/"))
        else:
            yield entry


def _fetch(source: SourceSettings, cache: Path) -> Path:
    """The clone in the cache, at the branch's head. The folder is named after the address; an incomplete one is replaced."""
    address = _checked_address(source)
    home = cache / f"git-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    if not (home / ".git" / "HEAD").is_file():
        shutil.rmtree(home, ignore_errors=True)
        _make_folder(source, home)
        _git(source, "init", "--quiet", ".", at=home)
    (home / ".git" / "shallow.lock").unlink(missing_ok=True)  # left by a killed fetch; the folder has one user
    (home / ".git" / "index.lock").unlink(missing_ok=True)
    # Depth 1: only the newest files are read, and a history can be large.
    fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "--force", "source", source.branch or "HEAD")
    _git(source, *fetch, at=home, address=address)
    _git(source, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD", at=home)
    # -ff also removes nested repositories, -x also ignored files, which an earlier checkout may have left.
    _git(source, "clean", "--quiet", "-dffx", at=home)
    return home


def _make_folder(source: SourceSettings, home: Path) -> None:
    try:
        home.mkdir(parents=True)
    except OSError as error:
        raise KnowledgeError(
            f"source {source.name!r}: {home} cannot be made: {error.strerror}; check the disk"
        ) from error


def _checked_address(source: SourceSettings) -> str:
    """The source's address if it is safe to pass to git, with a path made absolute. Raises ``KnowledgeError``."""
    address = source.git or ""
    if source.branch.startswith("-") or re.search(r"[\s:^~?*\[\\]|\.\.", source.branch):
        raise KnowledgeError(
            f"knowledge.sources: branch of {source.name!r} is {source.branch!r}, which is no name of a branch"
        )
    if not address.startswith("-"):  # git would read it as an option, and some options run a program
        if _SCHEME.match(address) or (_SSH.match(address) and not Path(address).exists()):
            return address
        # helper::address makes git run the program git-remote-helper.
        if "::" not in address and (path := Path(address).expanduser()).is_dir():
            return str(path.resolve())
    raise KnowledgeError(
        f"knowledge.sources: git of {source.name!r} is no address that is fetched and no folder; write "
        "https://…, ssh://…, user@host:path or the path of a repository"
    )


def _git(source: SourceSettings, *arguments: str, at: Path, address: str = "") -> str:
    """The output of git. Raises ``KnowledgeError`` with git's own reason, without user and password of an address."""
    try:
        result = run_git(*arguments, at=at, seconds=SECONDS, address=address)
    except FileNotFoundError as error:
        raise KnowledgeError(f"source {source.name!r} needs git, which is not installed; install it") from error
    except subprocess.TimeoutExpired as error:
        raise KnowledgeError(
            f"source {source.name!r}: {source.place} did not answer in {SECONDS} seconds; try again"
        ) from error
    if result.returncode:
        raise KnowledgeError(
            f"source {source.name!r}: git {_verb(arguments)} of {source.place} failed ({failure_reason(result.stderr)}); "
            "check address, branch and access"
        )
    return os.fsdecode(result.stdout)


def _verb(arguments: tuple[str, ...]) -> str:
    return next(each for each in arguments if each in ("init", "fetch", "checkout", "clean"))
