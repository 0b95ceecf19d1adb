# SPDX-License-Identifier: Apache-2.0
"""A bundle for tests of several commands at a time, and what may be left of it."""
import glob
import os
import pathlib
import subprocess
import time

import pytest

from bundles import HULL, bundle  # noqa: F401


@pytest.fixture
def box(bundle):  # noqa: F811
    """The bundle, with cgroups of its own: another run of these tests may be under way."""
    bundle.cgroups = f"/hull-commands-{os.getpid()}"
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"{bundle.cgroups}/c"))
    bundle.args("sleep", "100")
    yield bundle
    for name in os.listdir(bundle.root) if bundle.root.exists() else []:
        bundle.hull("delete", "--force", name, check=False)
    assert not cgroups(bundle)


def cgroups(bundle):  # noqa: F811
    return glob.glob(f"/sys/fs/cgroup{bundle.cgroups}") + glob.glob(f"/sys/fs/cgroup/*{bundle.cgroups}")


def processes(bundle):  # noqa: F811
    """Of hull, for this bundle: an init that was not started still has its creator's command line."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if str(bundle.root).encode() in pathlib.Path(path).read_bytes():
                found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


def eventually(true):
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def nothing_is_left(bundle):  # noqa: F811
    return (not bundle.root.exists() or os.listdir(bundle.root) == []) and not cgroups(bundle) and \
        eventually(lambda: not processes(bundle))


def hook(box, kind, script):
    path = box.path / kind
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    box.edit(lambda c: c.setdefault("hooks", {}).update({kind: [{"path": str(path)}]}))
def start(box, *args):
    return subprocess.Popen([HULL, "--root", box.root, *args], cwd=box.path, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
