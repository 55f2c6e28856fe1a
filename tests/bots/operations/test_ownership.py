"""One process owns a home; the kernel frees it when that process dies."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bots.errors import AlreadyRunning
from bots.operations.ownership import SOCKET_PATH_LIMIT, Ownership, control_socket

HOLD = """
import sys, pathlib
from bots.operations.ownership import Ownership
Ownership(pathlib.Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_owner_is_refused_with_what_to_do(tmp_path: Path) -> None:
    first, second = Ownership(tmp_path), Ownership(tmp_path)
    first.take()
    with pytest.raises(AlreadyRunning, match="COTORRA_HOME"):
        second.take()
    first.release()
    second.take()
    second.release()


def test_a_killed_owner_leaves_the_home_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        assert not Ownership(tmp_path).try_take()
        owner.send_signal(signal.SIGKILL)
        owner.wait(5)
    after = Ownership(tmp_path)
    assert after.try_take()
    after.release()


def test_the_control_socket_fits_into_a_socket_address_however_deep_the_home_is(tmp_path: Path) -> None:
    assert control_socket(tmp_path) == tmp_path / "control.sock"
    deep = tmp_path / ("d" * 120)
    assert len(str(control_socket(deep))) <= SOCKET_PATH_LIMIT
    assert control_socket(deep) == control_socket(deep)
    assert control_socket(deep) != control_socket(tmp_path / ("e" * 120))
