"""A Git repository as a source: cloned into a cache, then read as a folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rag.errors import KnowledgeError
from rag.knowledge.loaders.documents import Candidate, Unreadable
from rag.knowledge.loaders.files.folder import read_folder
from rag.knowledge.loaders.git.commands import failure_reason, run_git
from rag.settings import SourceSettings

SECONDS = 600
"""For a clone or a fetch; of a large repository over a slow line too."""
_SSH = re.compile(r"^(?:[\w.-]+@)?[\w.-]+:(?!//)[^\s]+$")
_SCHEME = re.compile(r"^(https|ssh|file|http)://", re.IGNORECASE)


def read_repository(source: SourceSettings, cache: Path) -> Iterator[Candidate | Unreadable]:
    """Every document of a repository's folder, as its branch says now; blocking.

    The time of change of each is that of the last commit when it was found changed. Raises ``KnowledgeError`` when the
    repository cannot be fetched; what the index holds then stays.
    """
    home = _fetched(source, cache)
    folder = (home / source.folder).resolve()
    if not folder.is_relative_to(home.resolve()) or not folder.exists():
        raise KnowledgeError(
            f"knowledge.sources: folder of {source.name!r} is {source.folder!r}, which {source.place} has not"
        )
    stamp = _git(source, "log", "-1", "--format=%ct", at=home).strip()
    for found in read_folder(source, folder, updated=datetime.fromtimestamp(int(stamp), UTC)):
        if isinstance(found, Unreadable):  # nobody looks for a file in the cache
            yield replace(found, path=found.path.removeprefix(f"{home.resolve()}/"))
        else:
            yield found


def _fetched(source: SourceSettings, cache: Path) -> Path:
    """The clone in the cache, as the branch is now. One that another address or a crash left behind is made anew."""
    address = _checked(source)
    home = cache / f"git-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    if not (home / ".git" / "HEAD").is_file():
        shutil.rmtree(home, ignore_errors=True)
        _make(source, home)
        _git(source, "init", "--quiet", ".", at=home)
    (home / ".git" / "shallow.lock").unlink(missing_ok=True)  # of a fetch that was killed: nobody else works here
    (home / ".git" / "index.lock").unlink(missing_ok=True)
    fetch = ("fetch", "--quiet", "--depth=1", "--no-tags", "--force", "source", source.branch or "HEAD")
    _git(source, *fetch, at=home, address=address)
    _git(source, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD", at=home)
    _git(source, "clean", "--quiet", "-dffx", at=home)
    return home


def _make(source: SourceSettings, home: Path) -> None:
    try:
        home.mkdir(parents=True)
    except OSError as error:
        raise KnowledgeError(
            f"source {source.name!r}: {home} cannot be made: {error.strerror}; check the disk"
        ) from error


def _checked(source: SourceSettings) -> str:
    """The address, if git may be given it. A path becomes absolute."""
    address = source.git or ""
    if source.branch.startswith("-") or re.search(r"[\s:^~?*\[\\]|\.\.", source.branch):
        raise KnowledgeError(
            f"knowledge.sources: branch of {source.name!r} is {source.branch!r}, which is no name of a branch"
        )
    if not address.startswith("-"):
        if _SCHEME.match(address) or (_SSH.match(address) and not Path(address).exists()):
            return address
        if "::" not in address and (path := Path(address).expanduser()).is_dir():
            return str(path.resolve())
    raise KnowledgeError(
        f"knowledge.sources: git of {source.name!r} is no address that is fetched and no folder; write "
        "https://…, ssh://…, user@host:path or the path of a repository"
    )


def _git(source: SourceSettings, *arguments: str, at: Path, address: str = "") -> str:
    """What git says. Raises ``KnowledgeError`` with its last line, without what stands before @ in an address."""
    try:
        done = run_git(*arguments, at=at, seconds=SECONDS, address=address)
    except FileNotFoundError as error:
        raise KnowledgeError(f"source {source.name!r} needs git, which is not installed; install it") from error
    except subprocess.TimeoutExpired as error:
        raise KnowledgeError(
            f"source {source.name!r}: {source.place} did not answer in {SECONDS} seconds; try again"
        ) from error
    if done.returncode:
        raise KnowledgeError(
            f"source {source.name!r}: git {_verb(arguments)} of {source.place} failed ({failure_reason(done.stderr)}); "
            "check address, branch and access"
        )
    return os.fsdecode(done.stdout)


def _verb(arguments: tuple[str, ...]) -> str:
    return next(each for each in arguments if each in ("init", "fetch", "checkout", "clean", "log"))
