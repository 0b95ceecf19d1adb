# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: namespaces, cgroups, sockets as standard files, files without names, labels. What is the bundle's word and
what is the images'."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest

from bundles import bundle, pytestmark  # noqa: F401
from checkpoints import (COUNTER, CRIU, cgroup_dirs, count, counting, cr, eventually, needs_criu, refused)  # noqa: F401

pytestmark = [*pytestmark, needs_criu]  # noqa: F811


# ---- namespaces ----------------------------------------------------------------------------------------------------

NS_FILES = {"ipc": "ipc", "uts": "uts", "time": "time", "pid": "pid", "user": "user", "cgroup": "cgroup"}


@contextlib.contextmanager
def holder(flag):
    """A process in a namespace of its own."""
    reaper = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    process = subprocess.Popen(["unshare", *flag.split(), "--kill-child", "python3", "-SEc", reaper], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "up\n"
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield children[0] if children else str(process.pid)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def set_namespace(cr, kind, **entry):
    def change(c):
        c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != kind]
        if entry.pop("kept", True):
            c["linux"]["namespaces"].append({"type": kind, **entry})
    cr.b.edit(change)


def namespace_of(cr, name, kind):
    return os.stat(f"/proc/{cr.b.state(name)['pid']}/ns/{NS_FILES[kind]}").st_ino


def inode(path):
    return os.stat(path).st_ino


def host_name(pid):
    return subprocess.run(["nsenter", "-t", pid, "-u", "hostname"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("kind, flag", [("ipc", "--ipc --fork"), ("uts", "--uts --fork"), ("time", "--time --boottime 100000 --fork"),
                                        ("pid", "--pid --fork --mount-proc")])
def test_a_joined_namespace_is_joined_again(cr, kind, flag):
    with holder(flag) as pid:
        path = f"/proc/{pid}/ns/{kind}"
        set_namespace(cr, kind, path=path)
        if kind == "uts":
            cr.b.edit(lambda c: c.pop("hostname", None))
            subprocess.run(["nsenter", "-t", pid, "-u", "hostname", "before"], check=True)
        counting(cr)
        assert namespace_of(cr, "c1", kind) == inode(path)
        first = cr.b.state("c1")["pid"]
        cr.checkpoint("c1")
        # Its pid is free when whoever is its parent by now has heard of its end.
        assert eventually(lambda: not os.path.exists(f"/proc/{first}"))
        if kind == "uts":
            # What others have done meanwhile is not undone by the images.
            subprocess.run(["nsenter", "-t", pid, "-u", "hostname", "after"], check=True)
        if kind == "ipc":
            subprocess.run(["nsenter", "-t", pid, "-i", "sysctl", "-qw", "kernel.shmmni=77"], check=True)
        at = count(cr)
        cr.restore("c1")
        assert eventually(lambda: count(cr) > at)
        assert namespace_of(cr, "c1", kind) == inode(path)
        if kind == "uts":
            assert cr.hull("exec", "c1", "hostname").stdout == "after\n" == host_name(pid)
        if kind == "ipc":
            assert cr.hull("exec", "c1", "cat", "/proc/sys/kernel/shmmni").stdout == "77\n"
        if kind == "time":
            assert float(cr.hull("exec", "c1", "cat", "/proc/uptime").stdout.split()[0]) > 100000
        assert pathlib.Path("/proc/self/ns", kind).stat().st_ino != inode(path)
        cr.hull("delete", "--force", "c1")


@pytest.mark.parametrize("kind, flag, extra", [
    ("user", "--user --map-root-user --fork", {}), ("cgroup", "--cgroup --fork", {})])
def test_a_joined_namespace_that_criu_cannot_restore_is_named(cr, kind, flag, extra):
    with holder(flag) as pid:
        set_namespace(cr, kind, path=f"/proc/{pid}/ns/{kind}")
        counting(cr)
        done = cr.checkpoint("c1", check=False)
        assert done.returncode == 1
        assert f"criu cannot restore into a {kind} namespace that exists already" in done.stderr
        assert f"/proc/{pid}/ns/{kind}" in done.stderr
        assert not cr.images.exists() and cr.b.status("c1") == "running"
        cr.hull("delete", "--force", "c1")
        set_namespace(cr, kind, kept=kind == "cgroup")
        counting(cr)
        cr.checkpoint("c1")
        set_namespace(cr, kind, path=f"/proc/{pid}/ns/{kind}")
        refused(cr, f"criu cannot restore into a {kind} namespace that exists already")


def test_a_time_namespace_of_its_own(cr):
    set_namespace(cr, "time")
    cr.b.edit(lambda c: c["linux"].update(timeOffsets={"boottime": {"secs": 500000, "nanosecs": 0}}))
    counting(cr)
    cr.checkpoint("c1")
    cr.restore("c1")
    assert namespace_of(cr, "c1", "time") != inode("/proc/self/ns/time")
    assert float(cr.hull("exec", "c1", "cat", "/proc/uptime").stdout.split()[0]) > 500000


@pytest.mark.parametrize("kind, flag", [("uts", "--uts --fork"), ("ipc", "--ipc --fork")])
def test_images_do_not_choose_the_namespaces(cr, kind, flag):
    """Those without a namespace of the kind would run in the host's."""
    with holder(flag) as pid:
        cr.b.edit(lambda c: c.pop("hostname", None))
        set_namespace(cr, kind, path=f"/proc/{pid}/ns/{kind}")
        counting(cr)
        cr.checkpoint("c1")
        set_namespace(cr, kind)
        refused(cr, f"the bundle has a {kind} namespace of its own, and the checkpoint would run in the host's")
        shutil.rmtree(cr.images)
        counting(cr)
        cr.checkpoint("c1")
        set_namespace(cr, kind, path=f"/proc/{pid}/ns/{kind}")
        name = host_name(pid)
        refused(cr, f"the bundle joins a {kind} namespace, and the checkpoint has another one")
        assert host_name(pid) == name
        set_namespace(cr, kind, kept=False)
        refused(cr, f"the bundle has no {kind} namespace, and the checkpoint one of its own")
        at = count(cr)
        time.sleep(0.2)
        assert count(cr) == at


# ---- cgroups -------------------------------------------------------------------------------------------------------


def cgroup_base():
    return pathlib.Path("/sys/fs/cgroup" if unified() else "/sys/fs/cgroup/pids") / "hull"


def unified():
    return pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()


def with_inner_cgroup(cr, limit):
    """A container whose init is in a cgroup below its own, with a limit."""
    set_namespace(cr, "cgroup")
    counting(cr)
    base = cgroup_base()
    (base / "c1/inner").mkdir()
    (base / "c1/inner/cgroup.procs").write_text(str(cr.b.state("c1")["pid"]))
    if unified():
        # Not while its last child is outside.
        assert eventually(lambda: not (base / "c1/cgroup.procs").read_text())
        (base / "c1/cgroup.subtree_control").write_text("+pids")
    (base / "c1/inner/pids.max").write_text(str(limit))
    return base


def is_in(cr, name, path):
    return str(cr.b.state(name)["pid"]) in (cgroup_base() / path / "cgroup.procs").read_text().split()


@pytest.mark.parametrize("mode", ["soft", "full", "strict", "ignore"])
def test_manage_cgroups_mode(cr, mode):
    base = with_inner_cgroup(cr, 777)
    cr.checkpoint("c1", "--manage-cgroups-mode", mode)
    assert not (base / "c1").exists()
    done = cr.restore("c2", "--manage-cgroups-mode", mode, check=mode != "strict" or unified())
    if mode == "strict" and not unified():
        # The container's own cgroup is there already: hull has made it, with the limits of the bundle.
        assert done.returncode == 1 and "existing cgroups" in done.stderr, done.stderr
        assert not cgroup_dirs("c2") and not (cr.b.root / "c2").exists()
        return
    assert is_in(cr, "c2", "c2" if mode == "ignore" else "c2/inner")
    assert (base / "c2/inner").exists() == (mode != "ignore")
    if mode != "ignore" and not unified():  # in v2 criu does not give the cgroup its controllers
        assert (base / "c2/inner/pids.max").read_text() == "777\n"
    # A container sees no cgroup above its own, whatever the mode.
    assert namespace_of(cr, "c2", "cgroup") != inode("/proc/self/ns/cgroup")
    lines = cr.hull("exec", "c2", "cat", "/proc/1/cgroup").stdout.splitlines()
    assert lines and all(line.split(":", 2)[2] in ("/", "/inner") for line in lines), lines
    cr.hull("delete", "--force", "c2")
    assert not (base / "c2").exists()


# ---- standard files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET], ids=["stream", "seqpacket"])
def test_a_socket_as_standard_output_is_the_one_of_the_restore(cr, kind):
    """criu knows the sockets of the container's network namespace."""
    set_namespace(cr, "network", kept=False)
    cr.b.sh('i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done')
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours:
        with theirs:
            cr.run("c1", out=theirs)
        ours.settimeout(20)
        assert ours.recv(7) == b"line 1\n"
        cr.checkpoint("c1")
        seen = b"".join(iter(lambda: ours.recv(4096), b""))
    last = int(seen.split()[-1]) if seen else 1
    assert re.fullmatch(r"socket:\[\d+\]", json.loads((cr.images / "descriptors.json").read_text())[1])
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours:
        with theirs:
            cr.restore("c1", out=theirs)
        ours.settimeout(20)
        assert ours.recv(4096).startswith(f"line {last + 1}\n".encode())
        assert ours.recv(4096)
        cr.hull("delete", "--force", "c1")


def test_a_socket_of_another_network_namespace_is_named(cr):
    cr.b.sh(COUNTER)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        cr.run("c1", out=theirs)
        done = cr.checkpoint("c1", check=False)
        assert done.returncode == 1
        assert "standard output" in done.stderr and "another network namespace" in done.stderr, done.stderr
        assert not cr.images.exists()
        at = count(cr)
        assert eventually(lambda: count(cr) > at) and cr.b.status("c1") == "running"


def test_another_socket_of_the_outside_is_still_refused(cr):
    set_namespace(cr, "network", kept=False)
    cr.python("""
        outside = socket.socket(socket.AF_UNIX)
        outside.connect("/shared/sock")
        say("ready")
        time.sleep(1000)
        """)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(cr.shared / "sock"))
        listener.listen(1)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            cr.run("c1", out=theirs)
            cr.said("ready")
            peer = listener.accept()[0]
            done = cr.checkpoint("c1", check=False)
            assert done.returncode == 1 and "unix" in done.stderr and "Error (criu/" in done.stderr
            assert cr.b.status("c1") == "running"
            peer.close()


# ---- files -----------------------------------------------------------------------------------------------------------


def test_link_remap(cr):
    """A file whose name is gone, while another name keeps it: its contents are in no image."""
    cr.python("""
        os.makedirs("/data", exist_ok=True)
        f = open("/data/opened", "w+")
        f.write("kept ")
        f.flush()
        os.link("/data/opened", "/data/other")
        os.unlink("/data/opened")
        say("ready")
        wait_for("go")
        f.write("and written")
        f.flush()
        say("links", os.fstat(f.fileno()).st_nlink, *os.listdir("/data"))
        say("text", open("/data/other").read())
        time.sleep(1000)
        """)
    cr.run("c1")
    cr.said("ready")
    done = cr.checkpoint("c1", check=False)
    assert done.returncode == 1 and "link-remap" in done.stderr, done.stderr
    assert os.listdir(cr.b.rootfs / "data") == ["other"]
    cr.checkpoint("c1", "--link-remap")
    names = os.listdir(cr.b.rootfs / "data")
    assert len(names) == 2 and [n for n in names if n.startswith("link_remap.")]
    cr.restore("c1")
    cr.tell("go")
    assert cr.said("text") == "kept and written"
    assert cr.said("links") == "1 other"


def blocks(directory):
    return sum(p.stat().st_blocks for p in directory.glob("pages-*.img"))


MEMORY = """
    memory = bytearray(os.urandom(8 << 20))
    say("ready", hash(bytes(memory)))
    wait_for("write")
    for i in range(0, len(memory), 4096):
        memory[i] ^= 1
    say("written", hash(bytes(memory)))
    wait_for("go")
    say("same", hash(bytes(memory)))
    time.sleep(1000)
    """


def test_auto_dedup_frees_what_is_restored(cr):
    cr.python(MEMORY)
    cr.run("c1")
    digest = cr.said("ready")
    cr.checkpoint("c1")
    assert blocks(cr.images) * 512 > 8 << 20
    kept = cr.b.path / "kept"
    subprocess.run(["cp", "-a", "--sparse=always", cr.images, kept], check=True)
    cr.restore("c1", images=kept)
    assert blocks(kept) * 512 > 8 << 20
    cr.hull("delete", "--force", "c1")
    cr.restore("c1", "--auto-dedup")
    cr.tell("write")
    cr.said("written")
    cr.tell("go")
    assert cr.said("ready") == digest
    assert blocks(cr.images) * 512 < 4 << 20


def test_auto_dedup_frees_what_the_parent_has_too(cr):
    tracks = subprocess.run([CRIU, "check", "--feature", "mem_dirty_track"], capture_output=True, check=False)
    if tracks.returncode:
        pytest.skip("a kernel that does not track writes")
    cr.python(MEMORY)
    cr.run("c1")
    cr.said("ready")
    first, second = cr.b.path / "first", cr.b.path / "second"
    cr.checkpoint("c1", "--pre-dump", images=first)
    assert blocks(first) * 512 > 8 << 20
    cr.tell("write")
    digest = cr.said("written")
    cr.checkpoint("c1", "--parent-path", "../first", "--auto-dedup", images=second)
    assert blocks(first) * 512 < 8 << 20 < blocks(second) * 512
    cr.restore("c1", images=second)
    cr.tell("go")
    assert cr.said("same") == digest


# ---- labels ----------------------------------------------------------------------------------------------------------


def test_labels_that_cannot_be(cr):
    counting(cr)
    cr.checkpoint("c1")
    for profile, words in [("hull-test", "neither apparmor:NAME nor selinux:LABEL"),
                           ("smack:hull-test", "neither apparmor:NAME nor selinux:LABEL"),
                           ("apparmor:", "neither apparmor:NAME nor selinux:LABEL"),
                           ("selinux:system_u:system_r:none_t:s0", "selinux"),
                           ("apparmor:hull-test-none", "apparmor")]:
        done = cr.restore("c2", "--lsm-profile", profile, check=False)
        assert done.returncode == 1, f"{profile}: no such profile or policy is loaded where these tests run"
        assert words in done.stderr, done.stderr
        assert not cgroup_dirs("c2") and not (cr.b.root / "c2").exists()
    # Of use for mounts with a label only.
    at = count(cr)
    cr.restore("c2", "--lsm-mount-context", "system_u:object_r:none_t:s0")
    assert eventually(lambda: count(cr) > at)
