# SPDX-License-Identifier: Apache-2.0
"""Checkpoint and restore by containerd, with hull as the runtime of io.containerd.runc.v2."""
import os
import time

import pytest

from bundles import pytestmark  # noqa: F401
from checkpoints import needs_criu
from enginekit import cgroups_of
from test_containerd import containerd, name, task  # noqa: F401

pytestmark = [*pytestmark, needs_criu]  # noqa: F811

COUNT = "i=0; while :; do i=$((i+1)); echo $i >/count; echo line $i; sleep 0.1; done"


def number(containerd, name):  # noqa: F811
    for _ in range(100):
        done = containerd.done("tasks", "exec", "--exec-id", f"e{os.urandom(3).hex()}", name, "cat", "/count")
        if done.returncode == 0 and done.stdout.strip():
            return int(done.stdout)
        time.sleep(0.05)
    raise AssertionError(done.stderr)


def goes_on(containerd, name):  # noqa: F811
    at = number(containerd, name)
    for _ in range(100):
        if number(containerd, name) > at:
            return at
        time.sleep(0.05)
    raise AssertionError(f"{name} stands still at {at}")


def test_checkpoint_and_restore(containerd, name):  # noqa: F811
    containerd.ctr(*containerd.run(name, "sh", "-c", COUNT, options=("-d",)))
    goes_on(containerd, name)
    containerd.ctr("containers", "checkpoint", "--rw", "--image", "--task", name, f"localhost/{name}:c")
    at = goes_on(containerd, name)
    containerd.ctr("tasks", "kill", "-s", "KILL", name)
    while (task(containerd, name)[1] or "STOPPED") != "STOPPED":
        time.sleep(0.05)
    containerd.ctr("tasks", "rm", name)
    containerd.ctr("containers", "rm", name)
    assert not cgroups_of(name)
    try:
        containerd.ctr("containers", "restore", "--rw", "--live", name, f"localhost/{name}:c")
        assert task(containerd, name)[1] == "RUNNING"
        assert 0 < goes_on(containerd, name) and at > 0
        assert cgroups_of(name)
    finally:
        containerd.done("images", "rm", f"localhost/{name}:c")


def test_images_in_a_directory(containerd, name):  # noqa: F811
    containerd.ctr(*containerd.run(name, "sh", "-c", COUNT, options=("-d",)))
    goes_on(containerd, name)
    images, work = containerd.dir / f"images-{name}", containerd.dir / f"work-{name}"
    containerd.ctr("tasks", "checkpoint", "--image-path", images, "--work-path", work, name)
    assert (images / "pstree.img").exists() and (work / "dump.log").exists()
    goes_on(containerd, name)
