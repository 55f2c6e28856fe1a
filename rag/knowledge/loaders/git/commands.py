"""Running git: without hooks or prompts, within a time, and with its reason when it fails."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

LOCAL_SECONDS = 30
"""For a command that reaches no other machine."""
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.symlinks=true", "-c", "gc.auto=0")
"""Nothing of a repository's own is run."""


def run_git(
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


def failure_reason(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines or ["no reason given"]
    return re.sub(r"(?<=://)[^/\s]*@", "", telling[0])[:300]
