"""Git: a repository as a source, and the files that a checkout ignores."""

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
from rag.settings import SourceSettings

SECONDS = 600
"""For a clone or a fetch; of a large repository over a slow line too."""
LOCAL_SECONDS = 30
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.symlinks=true", "-c", "gc.auto=0")
"""Nothing of a repository's own is run."""
_SSH = re.compile(r"^(?:[\w.-]+@)?[\w.-]+:(?!//)[^\s]+$")
_SCHEME = re.compile(r"^(https|ssh|file|http)://", re.IGNORECASE)


def read_repository(source: SourceSettings, cache: Path) -> Iterator[Candidate | Unreadable]:
    """Every document of a repository's folder, as its branch says now; blocking.

    The time of change of each is that of the last commit when it was found changed. Raises ``KnowledgeError`` when the
    repository cannot be fetched; what the index holds then stays.
    """
    from rag.knowledge.loaders.files.folder import read_folder

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
        if _run("-c", "safe.directory=*", "check-ignore", "-q", ".", at=folder).returncode == 0:
            return frozenset()
        arguments = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
        listed = _run("-c", "safe.directory=*", *arguments, at=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KnowledgeError(_unknown(folder, type(error).__name__)) from error
    if listed.returncode:
        raise KnowledgeError(_unknown(folder, _said(listed.stderr)))
    return frozenset(filter(None, os.fsdecode(listed.stdout).split("\0")))


def _is_checkout(git: Path) -> bool:
    """A worktree's and a submodule's ``.git`` is a file; a folder of that name without ``HEAD`` is just a folder."""
    return git.is_file() or (git / "HEAD").exists()


def _unknown(folder: Path, reason: str) -> str:
    return (
        f"git cannot tell which files of {folder} it ignores ({reason}); install git and let the service read the checkout, or "
        "name a folder outside of it"
    )


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
        done = _run(*arguments, at=at, seconds=SECONDS, address=address)
    except FileNotFoundError as error:
        raise KnowledgeError(f"source {source.name!r} needs git, which is not installed; install it") from error
    except subprocess.TimeoutExpired as error:
        raise KnowledgeError(
            f"source {source.name!r}: {source.place} did not answer in {SECONDS} seconds; try again"
        ) from error
    if done.returncode:
        raise KnowledgeError(
            f"source {source.name!r}: git {_verb(arguments)} of {source.place} failed ({_said(done.stderr)}); "
            "check address, branch and access"
        )
    return os.fsdecode(done.stdout)


def _verb(arguments: tuple[str, ...]) -> str:
    return next(each for each in arguments if each in ("init", "fetch", "checkout", "clean", "log"))


def _said(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines or ["no reason given"]
    return re.sub(r"(?<=://)[^/\s]*@", "", telling[0])[:300]


def _run(
    *arguments: str, at: Path, seconds: float = LOCAL_SECONDS, address: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """Git without hooks, prompts, or protocols that run a program, and without the variables that point it elsewhere.

    The remote ``source`` has its address from the environment: other users of the machine see arguments, and a token in them.
    """
    remote = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "remote.source.url", "GIT_CONFIG_VALUE_0": address}
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name == "GIT_SSH_COMMAND"
    }
    return subprocess.run(  # noqa: S603 - arguments are checked, and none is read by a shell
        ["git", *_SAFE, *arguments],  # noqa: S607 - the git that the operator has installed
        cwd=at,
        env={
            **kept,
            **(remote if address else {}),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": kept.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
            "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "LC_ALL": "C",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
