"""Walks a folder in the order of paths, and reports what cannot be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from rag.errors import KnowledgeError

_HIDDEN = (".", "~$")
"""Beginnings of names that are no documents: ``~$`` marks a file that Word, Excel or PowerPoint has open."""


def walk(root: Path, ignored: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Pairs of relative path and reason: "" for a file, else why it cannot be read. Paths of folders end in ``/``.

    Names that begin with a dot, the lock files of office programs and paths in ``ignored`` are left out; links to folders inside are not followed.
    """  # noqa: E501
    resolved = root.resolve()
    stack = [""]  # no recursion: a path may be deeper than Python's recursion limit
    while stack:
        relative = stack.pop()
        if relative and not relative.endswith("/"):
            yield relative, ""
            continue
        try:
            with os.scandir(root / relative) as listing:
                # In reverse order, because the stack returns the last entry first.
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            if not relative:
                raise KnowledgeError(
                    f"{root} cannot be read: {error.strerror}; allow the service to read it"
                ) from error
            yield relative, f"cannot be looked into: {error.strerror}; what was read below it before stays"
            continue
        for entry in entries:
            path = relative + entry.name
            if entry.name.startswith(_HIDDEN) or path in ignored or path + "/" in ignored:
                continue
            if not _is_folder(entry):
                stack.append(path)
            elif not entry.is_symlink():
                stack.append(path + "/")
            elif not Path(entry.path).resolve().is_relative_to(resolved):
                yield path + "/", "is a link that leaves the source's folder"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def matcher(pattern: str) -> re.Pattern[str]:
    """A regular expression for a glob over relative paths: ``*`` and ``?`` match within a name, ``**`` crosses folders.

    Raises ``ValueError`` for a glob that leaves the source's folder.
    """
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ValueError("it must stay within the source's folder")
    return re.compile("".join(map(_regex_of, re.findall(r"\*\*/|\*\*|\*|\?|\[[^/\]]+\]|.", pattern))), re.DOTALL)


def _regex_of(part: str) -> str:
    wildcards = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in wildcards:
        return wildcards[part]
    if part.startswith("[") and len(part) > 1:
        return (
            "[^" + re.escape(part[2:-1]).replace(r"\-", "-") + "]"
            if part[1] in "!^"
            else "[" + re.escape(part[1:-1]).replace(r"\-", "-") + "]"
        )
    return re.escape(part)
