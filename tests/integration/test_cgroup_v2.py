# SPDX-License-Identifier: Apache-2.0
"""Pods where cgroup v2 has all controllers: what stands in the kernel's files. tests/vm/run gives such a host:

    tests/vm/run --scratch 2048 /usr/bin/python3 -m pytest tests/integration/test_cgroup_v2.py
"""
import glob
import os
import pathlib

import pytest

from crikit import EXITED, FOREVER, IS_CGROUP_V2, RUNNING, cgroup_file, refused, wait_for

pytestmark = pytest.mark.skipif(not IS_CGROUP_V2, reason="this host has controllers of cgroup v1 (docs/decisions/cgroups.md)")

FIRST = 300000
MIB = 1 << 20


def events(c, name="memory.events"):
    return {k: int(v) for k, v in (line.split() for line in c.cgroup("", name).splitlines())}


def test_limits_stand_in_the_cgroup(cri):
    c = cri.run().container(FOREVER, resources={
        "memory_limit_in_bytes": 64 * MIB, "memory_swap_limit_in_bytes": 80 * MIB, "cpu_period": 50000,
        "cpu_quota": 20000, "cpu_shares": 1024, "cpuset_cpus": "0",
        "unified": {"pids.max": "40", "memory.high": str(60 * MIB)}})
    assert c.cgroup("memory", "memory.max") == str(64 * MIB)
    # CRI's swap limit is memory and swap together, as in v1.
    assert c.cgroup("memory", "memory.swap.max") == str(16 * MIB)
    assert c.cgroup("memory", "memory.high") == str(60 * MIB)
    assert c.cgroup("cpu", "cpu.max") == "20000 50000" and c.cgroup("cpu", "cpu.weight") == "100"
    assert c.cgroup("cpuset", "cpuset.cpus") == "0" and c.cgroup("pids", "pids.max") == "40"
    assert f"/{cri.hulld.tag}/" in str(cgroup_file(c.pid, "", "")) and c.id in cgroup_file(c.pid, "", "").name
    r = c.status().resources.linux
    assert (r.memory_limit_in_bytes, r.cpu_period, r.cpu_quota, r.cpu_shares) == (64 * MIB, 50000, 20000, 1024)


def test_the_container_sees_its_own_cgroup_as_the_root(cri):
    c = cri.run(network="pod", userns=FIRST).container(FOREVER, resources={"memory_limit_in_bytes": 64 * MIB})
    assert c.sh("cat /proc/1/cgroup") == "0::/"
    assert c.sh("cat /proc/self/cgroup").startswith("0::/exec-")  # of each exec, for its timeout
    assert c.sh("cat /sys/fs/cgroup/memory.max") == str(64 * MIB)
    code, _, err = c.exec("echo max > /sys/fs/cgroup/memory.max")
    assert code != 0 and (b"Read-only" in err or b"denied" in err)


@pytest.mark.parametrize("userns", [None, FIRST])
def test_the_oom_killer_is_the_reason(cri, userns):
    pod = cri.run(userns=userns)
    other = pod.container(FOREVER)
    st = pod.container(["tail", "/dev/zero"], resources={"memory_limit_in_bytes": 16 * MIB,
                                                        "memory_swap_limit_in_bytes": 16 * MIB}).wait(60)
    assert (st.exit_code, st.reason) == (137, "OOMKilled")
    assert other.status().state == RUNNING


def test_pids_max_stops_a_fork_bomb(cri):
    c = cri.run(userns=FIRST).container(FOREVER, resources={"unified": {"pids.max": "20"}})
    c.exec("i=0; while [ $i -lt 40 ]; do sleep 100 & i=$((i+1)); done")
    assert int(c.cgroup("pids", "pids.current")) <= 20 and events(c, "pids.events")["max"] >= 1
    c.stop()
    assert c.status().state == EXITED


def test_a_timeout_of_exec_kills_all_that_it_started(cri):
    c = cri.run(userns=FIRST).container(FOREVER)
    path = cgroup_file(c.pid, "", "")
    count = lambda: len((path / "cgroup.threads").read_text().split())  # noqa: E731
    files = lambda: set(glob.glob(f"{path}/**/cgroup.procs", recursive=True))  # noqa: E731
    before = files()
    with refused("DEADLINE_EXCEEDED"):
        # A new session and a new parent: neither a group's kill nor a walk over children finds these.
        c.exec("setsid sleep 7651 & (setsid sleep 7651 &); trap '' TERM; sleep 7651", timeout=1)
    wait_for(lambda: "sleep 7651" not in c.sh("ps"))
    assert count() >= 1 and c.status().state == RUNNING
    wait_for(lambda: files() == before)  # a child for the exec is gone again


def test_the_device_filter(cri):
    pod = cri.run()
    c = pod.container(FOREVER, security={"capabilities": cri.api.Capability(add_capabilities=["MKNOD"])})
    assert c.sh("head -c3 /dev/zero | wc -c; echo x >/dev/null") == "3"
    # mknod of what is not in the list is what a filter of v2 has to allow (runc does), its use is not.
    code, _, err = c.exec("mknod /tmp/mem c 1 1 && head -c1 /tmp/mem")
    assert code != 0 and b"not permitted" in err
    privileged = cri.run(security={"privileged": True}).container(FOREVER, security={"privileged": True})
    assert privileged.sh("mknod /tmp/full c 1 7 && head -c2 /tmp/full | wc -c") == "2"


def test_stop_and_removal_leave_no_cgroup(cri):
    pod = cri.run(userns=FIRST)
    c = pod.container("(trap '' TERM; setsid sleep 7652 &); " + FOREVER)
    path = cgroup_file(c.pid, "", "")
    parent = pathlib.Path(f"/sys/fs/cgroup{cri.hulld.cgroup_parent}")
    c.heeds().stop(20)
    assert c.status().exit_code == 0
    c.remove()
    assert not path.exists()
    pod.stop()
    pod.remove()
    assert [p for p in parent.rglob("*") if p.is_dir()] == []


def test_limits_and_reasons_outlive_a_kill_of_hulld(cri):
    pod = cri.run(network="pod", userns=FIRST)
    c = pod.container(FOREVER, resources={"memory_limit_in_bytes": 64 * MIB})
    eater = pod.container("while [ ! -e /go ]; do sleep 0.05; done; exec tail /dev/zero", resources={
        "memory_limit_in_bytes": 16 * MIB, "memory_swap_limit_in_bytes": 16 * MIB})
    pid, ids = c.pid, (pod.id, c.id, eater.id)
    eater_pid = eater.pid
    cri.hulld.kill()
    pathlib.Path(f"/proc/{eater_pid}/root/go").touch()
    wait_for(lambda: not os.path.exists(f"/proc/{eater_pid}"), 60)
    cri.hulld.start()
    cri.connect()
    pod, c, eater = cri.pods()[0], cri.containers(id=ids[1])[0], cri.containers(id=ids[2])[0]
    assert (pod.id, c.state, eater.state) == (ids[0], RUNNING, EXITED)
    status = lambda id_: cri.runtime.ContainerStatus(cri.api.ContainerStatusRequest(container_id=id_)).status  # noqa: E731
    assert (status(ids[2]).exit_code, status(ids[2]).reason) == (137, "OOMKilled")
    assert cgroup_file(pid, "", "memory.max").read_text().strip() == str(64 * MIB)
    r = cri.runtime.ExecSync(cri.api.ExecSyncRequest(container_id=ids[1], cmd=["/bin/sh", "-c", "id -u"]))
    assert (r.exit_code, r.stdout) == (0, b"0\n")
    cri.runtime.StopContainer(cri.api.StopContainerRequest(container_id=ids[1], timeout=0))
    assert status(ids[1]).exit_code == 137 and not os.path.exists(f"/proc/{pid}")


def test_cpu_max_throttles(cri):
    c = cri.run(userns=FIRST).container("while :; do :; done", resources={"cpu_period": 100000, "cpu_quota": 10000})
    wait_for(lambda: events(c, "cpu.stat")["nr_throttled"] >= 1)
