# SPDX-License-Identifier: Apache-2.0
"""Checkpoint and restore by containerd, with hull as the runtime of io.containerd.runc.v2."""
import os
import time

from bundles import pytestmark  # noqa: F401
from checkpoints import needs_criu
from enginekit import COUNT, cgroups_of, count_goes_on
from test_containerd import containerd, name, task  # noqa: F401

pytestmark = [*pytestmark, needs_criu]  # noqa: F811


def goes_on(containerd, name):  # noqa: F811
    return count_goes_on(lambda: containerd.done("tasks", "exec", "--exec-id", f"e{os.urandom(3).hex()}", name,
                                                 "cat", "/count").stdout)


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
