"""Runs git without hooks and prompts, with a time limit, and extracts the reason of a failure."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

LOCAL_SECONDS = 30
"""Limit for a command without network."""
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.symlinks=true", "-c", "gc.auto=0")
"""Options that keep a repository from running programs of its own."""


def run_git(
    *arguments: str, at: Path, seconds: float = LOCAL_SECONDS, address: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """Runs git without hooks, prompts and protocols that start programs. Variables that redirect git are removed.

    The address of the remote ``source`` is passed by the environment: other users of the machine can read the arguments of a
    process, and an address may contain a token.
    """
    remote = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "remote.source.url", "GIT_CONFIG_VALUE_0": address}
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name == "GIT_SSH_COMMAND"
    }
    return subprocess.run(  # noqa: S603 - arguments are checked, and none is read by a shell
        ["git", *_SAFE, *arguments],  # noqa: S607 - the git that the operator has installed
        cwd=at,
        env={
            **environment,
            **(remote if address else {}),
            # A missing password must fail at once instead of waiting for a terminal.
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": environment.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
            "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
            "GIT_LFS_SKIP_SMUDGE": "1",  # keeps git-lfs from downloading large files
            "LC_ALL": "C",  # ``failure_reason`` reads English messages
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def failure_reason(stderr: bytes) -> str:
    """The line of git's messages that names the reason, without user and password of an address, 300 characters at most."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines or ["no reason given"]
    return re.sub(r"(?<=://)[^/\s]*@", "", telling[0])[:300]
