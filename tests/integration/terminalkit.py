# SPDX-License-Identifier: Apache-2.0
"""hull on terminals: fixtures, and what is seen of its processes."""
import pathlib
import time

import pytest

from bundles import HULL, bundle, own_cgroup  # noqa: F401
from terminals import TIMEOUT, ConsoleSocket, Terminal


@pytest.fixture
def terminal():
    t = Terminal()
    yield t
    t.close()


@pytest.fixture
def console(bundle):
    c = ConsoleSocket(bundle.path / "console.sock")
    yield c
    c.close()


def tty_bundle(bundle, script, **process):
    bundle.edit(lambda c: c["process"].update(terminal=True, **process))
    bundle.sh(script)


def hull(bundle, *args):
    return [HULL, "--root", bundle.root, *args]


def process_state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_state(pid, states):
    deadline = time.monotonic() + TIMEOUT
    while process_state(pid) not in states:
        assert time.monotonic() < deadline, f"state {process_state(pid)}, not of {states}"
        time.sleep(0.01)


def children_of(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
