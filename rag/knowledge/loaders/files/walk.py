"""The files of a folder in the order of their paths, and what stands in the way."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from rag.errors import KnowledgeError


def walk(root: Path, ignored: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Relative paths with an empty reason, or with the reason why they cannot be read; of a folder they end in ``/``.

    Names that begin with a dot and what ``ignored`` lists are left out, links to folders inside are not followed.
    """
    resolved = root.resolve()
    waiting = [""]  # no recursion: a path may be deeper than the stack
    while waiting:
        relative = waiting.pop()
        if relative and not relative.endswith("/"):
            yield relative, ""
            continue
        try:
            with os.scandir(root / relative) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            if not relative:
                raise KnowledgeError(
                    f"{root} cannot be read: {error.strerror}; allow the service to read it"
                ) from error
            yield relative, f"cannot be looked into: {error.strerror}; what was read below it before stays"
            continue
        for entry in entries:
            path = relative + entry.name
            if entry.name.startswith(".") or path in ignored or path + "/" in ignored:
                continue
            if not _is_folder(entry):
                waiting.append(path)
            elif not entry.is_symlink():
                waiting.append(path + "/")
            elif not Path(entry.path).resolve().is_relative_to(resolved):
                yield path + "/", "is a link that leaves the source's folder"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def matcher(pattern: str) -> re.Pattern[str]:
    """A glob over relative paths: ``*`` and ``?`` stay within a name, ``**`` crosses folders. Raises ``ValueError``."""
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ValueError("it must stay within the source's folder")
    return re.compile("".join(map(_translated, re.findall(r"\*\*/|\*\*|\*|\?|\[[^/\]]+\]|.", pattern))), re.DOTALL)


def _translated(part: str) -> str:
    known = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in known:
        return known[part]
    if part.startswith("[") and len(part) > 1:
        return (
            "[^" + re.escape(part[2:-1]).replace(r"\-", "-") + "]"
            if part[1] in "!^"
            else "[" + re.escape(part[1:-1]).replace(r"\-", "-") + "]"
        )
    return re.escape(part)
