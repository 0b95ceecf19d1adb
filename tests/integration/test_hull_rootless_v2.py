# SPDX-License-Identifier: Apache-2.0
"""An ordinary user's limits where a cgroup v2 subtree was delegated to it by chown. tests/vm/run gives such a host:

    tests/vm/run /usr/bin/python3 -m pytest tests/integration/test_hull_rootless_v2.py
"""
import json
import os
import pathlib
import subprocess

import pytest

from bundles import pytestmark as on_a_host, wait_until  # pylint: disable=unused-import
from rootlesskit import COUNT, FIRST, GID, UID, user  # noqa: F401 pylint: disable=unused-import

ROOT = pathlib.Path("/sys/fs/cgroup")
HAS_V2 = (ROOT / "cgroup.controllers").exists() and "memory" in (ROOT / "cgroup.controllers").read_text()
pytestmark = [*on_a_host, pytest.mark.skipif(not HAS_V2, reason="this host has controllers of cgroup v1")]
MIB = 1 << 20


@pytest.fixture
def delegated(user):
    """A subtree that is the user's, which runs in a leaf of it (cgroups(7), "Delegation")."""
    path = ROOT / f"hull-user-{os.getpid()}"
    (ROOT / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    (path / "session").mkdir(parents=True)
    for d in (path, path / "session"):
        for name in (".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(d / name, UID, GID)
    user.before = [f"echo 0 > {path}/session/cgroup.procs"]
    user.cgroup = path
    yield user
    for name in os.listdir(user.root) if user.root.exists() else []:
        user.hull("delete", "--force", name, check=False)
    assert sorted(d.name for d in path.iterdir() if d.is_dir()) == ["session"]
    (path / "session").rmdir()
    path.rmdir()


def limit(user, **resources):
    user.edit(lambda c: c["linux"].update(resources=resources))


def test_limits_have_effect(delegated):
    limit(delegated, memory={"limit": 32 * MIB}, pids={"limit": 20}, cpu={"quota": 20000, "period": 50000})
    delegated.sh("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max; cat /proc/self/cgroup; "
                 "i=0; while [ $i -lt 30 ]; do sleep 5 & i=$((i+1)); done; echo started")
    done = delegated.hull("run", "c1", check=False)
    assert done.stdout.splitlines()[:4] == [str(32 * MIB), "20", "20000 50000", "0::/"]
    assert "fork" in done.stderr and "started" not in done.stdout  # busybox's shell ends when it cannot fork


def test_too_much_memory_ends_it(delegated):
    limit(delegated, memory={"limit": 16 * MIB, "swap": 16 * MIB})
    delegated.args("tail", "/dev/zero")
    (delegated.rootfs / "bin/tail").symlink_to("busybox")
    assert delegated.hull("run", "c1", check=False).returncode == 137


def test_ps_pause_resume_update_and_events(delegated):
    limit(delegated, pids={"limit": 50})
    delegated.start("c1", "sh", "-c", "sleep 1000 & sleep 1000")
    cgroup = delegated.cgroup / "hull-c1"
    wait_until(lambda: len(json.loads(delegated.hull("ps", "-f", "json", "c1").stdout)) == 2)
    assert (cgroup / "pids.max").read_text() == "50\n"
    delegated.hull("pause", "c1")
    assert delegated.state("c1")["status"] == "paused" and (cgroup / "cgroup.freeze").read_text() == "1\n"
    delegated.hull("resume", "c1")
    assert delegated.state("c1")["status"] == "running"
    delegated.hull("update", "--pids-limit", "60", "c1")
    assert (cgroup / "pids.max").read_text() == "60\n"
    stats = json.loads(delegated.hull("events", "--stats", "c1").stdout)
    assert stats["data"]["pids"]["current"] == 2
    assert delegated.hull("exec", "c1", "cat", "/proc/self/cgroup").stdout.startswith("0::/")
    delegated.hull("delete", "-f", "c1")
    assert not cgroup.exists()


def test_exec_from_outside_of_the_subtree(delegated):
    """Another session of the same user: not into a cgroup that limits something, and into nothing otherwise."""
    limit(delegated, pids={"limit": 50})
    delegated.start("c1")
    limit(delegated)
    delegated.start("c2")
    inside, delegated.before = delegated.before, []
    error = delegated.refused("exec", "c1", "true")
    assert "Delegation containment" in error and "limit for pids" in error and "systemd-run --user" in error, error
    assert delegated.hull("exec", "c2", "cat", "/proc/self/uid_map").stdout.split() == ["0", str(UID), "1"]
    delegated.before = inside
    assert delegated.hull("exec", "c1", "cat", "/proc/self/cgroup").stdout.startswith("0::/")


def test_with_ranges_of_ids_the_cgroup_is_the_containers(delegated):
    delegated.maps([(0, UID, 1), (1, FIRST, COUNT)])
    limit(delegated, memory={"limit": 32 * MIB})
    delegated.sh("cat /sys/fs/cgroup/memory.max; id -u")
    assert delegated.hull("run", "c1").stdout.split() == [str(32 * MIB), "0"]


def test_a_controller_that_was_not_delegated(delegated):
    available = (delegated.cgroup / "cgroup.controllers").read_text().split()
    assert "cpuset" not in available
    limit(delegated, cpu={"cpus": "0"})
    error = delegated.refused("run", "c1")
    assert "cpuset" in error and "delegate" in error, error


def test_from_outside_of_the_subtree(delegated):
    """The user may write its subtree, but not be moved into it: cgroups(7), "Delegation containment"."""
    delegated.before = []
    limit(delegated, memory={"limit": 32 * MIB})
    delegated.edit(lambda c: c["linux"].update(cgroupsPath=f"/{delegated.cgroup.name}/c1"))
    error = delegated.refused("run", "c1")
    assert "memory" in error and "deleg" in error, error
    limit(delegated)
    delegated.sh("cat /proc/self/cgroup")
    delegated.edit(lambda c: c["linux"].update(namespaces=[n for n in c["linux"]["namespaces"] if n["type"] != "cgroup"]))
    assert delegated.hull("run", "c1").stdout == pathlib.Path("/proc/self/cgroup").read_text()


@pytest.mark.skipif(not os.path.exists("/run/systemd/system") or not os.path.exists("/run/hull-vm"),
                    reason="a guest with systemd, where a user can be added to the machine")
def test_a_unit_with_delegate(user):
    """systemd gives the unit's cgroup to its user; hull runs in a child of it, and its containers go beside that."""
    limit(user, memory={"limit": 32 * MIB}, pids={"limit": 20})
    user.sh("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max")
    pathlib.Path("/etc/passwd").write_text((user.dir / "etc/passwd").read_text())
    # A file, since systemd would expand the variables of its arguments.
    (user.dir / "leaf.sh").write_text('own=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)\nmkdir $own/leaf\n'
                                      'echo 0 > $own/leaf/cgroup.procs\nexec "$@"\n')
    env = [f"--setenv={name}={value}" for name, value in user.env.items()]
    done = subprocess.run(["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--uid={UID}",
                           "-p", "Delegate=yes", "-p", "DefaultDependencies=no", f"--working-directory={user.path}", *env,
                           "/bin/sh", "-e", user.dir / "leaf.sh", user.hull_path, "run", "c1"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == [str(32 * MIB), "20"], (done.returncode, done.stderr)


def test_without_delegation(user):
    limit(user, memory={"limit": 32 * MIB})
    error = user.refused("run", "c1")
    assert "memory" in error and "Delegate=yes" in error, error
    limit(user)
    user.start("c1")
    for command in (["ps", "c1"], ["pause", "c1"], ["resume", "c1"], ["update", "--pids-limit", "5", "c1"],
                    ["events", "--stats", "c1"]):
        error = user.refused(*command)
        assert "has no cgroup of its own" in error and "delegated" in error, (command, error)
    user.hull("kill", "c1", "KILL")
    user.wait_for("c1", "stopped")
