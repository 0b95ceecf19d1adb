# SPDX-License-Identifier: Apache-2.0
"""A dump that fails leaves the container as it was, and a restore that fails leaves nothing."""
import os
import socket
import subprocess
import time

from bundles import bundle, pytestmark  # noqa: F401
from checkpoints import CRIU, cgroup_dirs, count, counting, cr, eventually, host_mounts, needs_criu, refused  # noqa: F401


@needs_criu
def test_a_dump_that_fails_leaves_the_container_as_it_was(cr):
    cr.python("""
        outside = socket.socket(socket.AF_UNIX)
        outside.connect("/shared/sock")
        say("ready")
        i = 0
        while True:
            i += 1
            with open("/shared/i", "w") as f:
                f.write(str(i))
            time.sleep(0.02)
        """)

    def runs():
        before = (cr.shared / "i").read_text()
        return eventually(lambda: (cr.shared / "i").read_text() not in ("", before))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(cr.shared / "sock"))
        listener.listen(1)
        cr.run("c1")
        cr.said("ready")
        pid = cr.b.state("c1")["pid"]
        cr.images.write_text("in the way")
        done = cr.checkpoint("c1", check=False)
        assert done.returncode == 1 and "directory of the images" in done.stderr
        assert runs()
        cr.images.unlink()
        done = cr.checkpoint("c1", check=False)
        assert done.returncode == 1
        assert "Error (criu/" in done.stderr and "unix" in done.stderr
        assert str(cr.images / "dump.log") in done.stderr
        assert cr.b.status("c1") == "running" and cr.b.state("c1")["pid"] == pid
        assert runs()


@needs_criu
def test_a_restore_that_fails_leaves_nothing(cr):
    counting(cr)
    before = set(os.listdir("/tmp"))
    cr.checkpoint("c1")
    core = next(cr.images.glob("core-*.img"))
    whole = core.read_bytes()
    core.write_bytes(whole[:40])
    refused(cr, "criu failed")
    assert "restore.log" in cr.restore("c2", check=False).stderr
    core.write_bytes(whole)
    # In the end, when all of it is there: the pid cannot be written.
    done = cr.restore("c2", "--pid-file", "/nonexistent/pid", check=False)
    assert done.returncode == 1 and "/nonexistent" in done.stderr
    assert not (cr.b.root / "c2").exists()
    assert not cgroup_dirs("c2")
    assert not [name for name in set(os.listdir("/tmp")) - before if name.startswith((".criu", "cr-tmpfs"))]
    at = count(cr)
    time.sleep(0.2)
    assert count(cr) == at
    cr.restore("c2")
    assert eventually(lambda: count(cr) > at)


@needs_criu
def test_a_killed_restore_leaves_nothing_that_delete_does_not_find(cr):
    counting(cr)
    cr.checkpoint("c1")
    inside = cr.waiting_hook()
    mounts = host_mounts(cr)
    restore = subprocess.Popen(
        [cr.b.hull_program, "--root", cr.b.root, "--criu", CRIU, "restore", "-d", "--image-path", cr.images, "c2"],
        cwd=cr.b.path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert eventually(inside.exists)
    restore.kill()
    restore.wait()
    inside.unlink()
    assert host_mounts(cr) == mounts
    cr.hull("delete", "--force", "c2")
    assert eventually(lambda: not cgroup_dirs("c2"))
    assert not (cr.b.root / "c2").exists()
