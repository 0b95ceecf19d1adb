# SPDX-License-Identifier: Apache-2.0
"""`hull events`: runc's lines, key by key where runc itself is there to compare with, and the OOM killer."""
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import cgroups
from bundles import HULL, bundle, pytestmark, wait_until  # noqa: F401 pylint: disable=unused-import

MIB = 1 << 20


@pytest.fixture(autouse=True)
def own_cgroup(bundle):
    top = f"/hull-test-{os.getpid()}"
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"{top}/{os.urandom(4).hex()}"))
    yield
    for name in os.listdir(bundle.root) if bundle.root.exists() else []:
        bundle.hull("delete", "--force", name, check=False)
    assert not cgroups.remains(top)


def start(bundle, name="c1", script="sleep 1000", memory=64 * MIB):
    bundle.sh(script)
    bundle.edit(lambda c: c["linux"]["resources"].update(memory={"limit": memory, "swap": memory}, pids={"limit": 30},
                                                         cpu={"quota": 90000, "period": 100000, "cpus": "0"}))
    bundle.create(name)
    bundle.hull("start", name)
    return cgroups.Cgroup(bundle.state(name)["pid"])


def stats(bundle, name="c1"):
    lines = bundle.hull("events", "--stats", name).stdout.splitlines()
    assert len(lines) == 1
    event = json.loads(lines[0])
    assert (event["type"], event["id"]) == ("stats", name)
    return event["data"]


class Follower:
    """`hull events` as it runs."""

    def __init__(self, bundle, *options, name="c1"):
        self.process = subprocess.Popen([HULL, "--root", bundle.root, "events", *options, name], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.communicate()

    def next(self):
        return json.loads(self.process.stdout.readline())

    def rest(self):
        out, err = self.process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()], err


def test_statistics_are_what_the_kernels_files_say(bundle):
    cg = start(bundle, script="i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo >/tmp/done; exec sleep 1000")
    bundle.wait_for_file("tmp/done")
    data = stats(bundle)
    assert data["memory"]["usage"]["limit"] == 64 * MIB
    assert 0 < data["memory"]["usage"]["usage"] <= data["memory"]["usage"]["max"] <= 64 * MIB
    assert data["memory"]["swap"]["limit"] == 64 * MIB
    assert data["pids"] == {"current": int(cg.read("pids.current")), "limit": 30}
    assert data["cpuset"]["cpus"] == [0]
    assert data["cpu"]["usage"]["total"] > 0
    raw = dict(line.split() for line in cg.read("memory.stat").splitlines())
    assert list(data["memory"]["raw"]) == sorted(raw)
    assert data["network_interfaces"] is None
    assert set(data) == {"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"}


def test_a_limit_that_is_none_is_no_limit(bundle):
    bundle.sh("sleep 1000")
    bundle.create("c1")
    data = stats(bundle)
    assert "limit" not in data["pids"]
    assert data["memory"]["usage"]["limit"] in (2**64 - 1, 9223372036854771712)
    assert data["memory"]["swap"]["limit"] in (2**64 - 1, 9223372036854771712)


def keys_of(value, path=""):
    """Every path of keys; not of lists, whose length is the machine's."""
    if not isinstance(value, dict):
        return {path}
    return {path}.union(*(keys_of(v, f"{path}.{k}") for k, v in value.items()))


def comparable(data):
    """Without what is left out when it is 0, which is a matter of the moment."""
    names = keys_of(data)
    moment = (".cache", ".usage.usage", ".swap.usage", ".kernel.usage", ".kernelTCP.usage", ".max", ".periods",
              ".throttledPeriods", ".throttledTime", ".cpu.usage.total")
    return {n for n in names if not n.endswith(moment) and not n.startswith((".blkio.", ".hugetlb.")) and
            ".psi" not in n}


@pytest.mark.skipif(not shutil.which("runc"), reason="no runc")
def test_the_keys_are_runcs(bundle):
    start(bundle)
    ours = stats(bundle)
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=c["linux"]["cgroupsPath"] + "-runc"))
    root = bundle.path / "runc"
    runc = ["runc", "--root", root]
    subprocess.run([*runc, "run", "-d", "r1"], cwd=bundle.path, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    try:
        done = subprocess.run([*runc, "events", "--stats", "r1"], check=True, capture_output=True, timeout=60)
        theirs = json.loads(done.stdout)["data"]
    finally:
        subprocess.run([*runc, "delete", "--force", "r1"], check=False, capture_output=True, timeout=60)
    # runc does not look at the cpuset on v2.
    more = {".cpuset.cpus", ".cpuset.mems"} if cgroups.is_v2("cpuset") else set()
    assert comparable(ours) == comparable(theirs) | more
    for part in ("memory", "pids"):
        assert type(ours[part]) is type(theirs[part])
    # A container of runc's command line never has the interfaces that libcontainer counts; this one has no resctrl group.
    assert ours["network_interfaces"] == theirs["network_interfaces"] and ours["intel_rdt"] == theirs["intel_rdt"]
    assert ours["cpuset"] == theirs["cpuset"] or cgroups.is_v2("cpuset")
    assert ours["memory"]["usage"]["limit"] == theirs["memory"]["usage"]["limit"]
    assert ours["memory"]["swap"]["limit"] == theirs["memory"]["swap"]["limit"]
    # Lines of the same form.
    assert list(json.loads(bundle.hull("events", "--stats", "c1").stdout)) == ["type", "id", "data"]


def test_statistics_come_at_the_interval_until_the_end(bundle):
    start(bundle, script="trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    bundle.wait_for_log("c1", "up")
    with Follower(bundle, "--interval", "20ms") as events:
        began = time.monotonic()
        assert [events.next()["type"] for _ in range(4)] == ["stats"] * 4
        assert time.monotonic() - began >= 0.06
        bundle.hull("kill", "c1", "TERM")
        rest, err = events.rest()
        assert {e["type"] for e in rest} <= {"stats"}
        assert (events.process.returncode, err) == (0, "")


def test_an_oom_kill_is_told(bundle):
    (bundle.rootfs / "bin/tail").symlink_to("busybox")
    start(bundle, memory=16 * MIB,
          script="while [ ! -e /tmp/go ]; do sleep 0.02; done; head -c 100000000 /dev/zero | tail -c 90000000 >/dev/null;"
                 "while [ ! -e /tmp/end ]; do sleep 0.02; done")
    with Follower(bundle, "--interval", "1h") as events:
        # It watches when it has read /proc of the container, which cannot be seen from here: wait for its poll.
        wait_for_sleep(events.process.pid)
        (bundle.rootfs / "tmp/go").touch()
        assert events.next() == {"type": "oom", "id": "c1"}
        (bundle.rootfs / "tmp/end").touch()
        rest, _ = events.rest()
        assert {e["type"] for e in rest} <= {"oom"}
        assert events.process.returncode == 0


def wait_for_sleep(pid):
    """In ppoll(2)."""
    def is_in_ppoll():
        return (pathlib.Path(f"/proc/{pid}/syscall").read_text().split() or [""])[0] == "271"
    wait_until(is_in_ppoll)


def test_the_kill_of_the_init_is_told_before_the_end(bundle):
    start(bundle, memory=16 * MIB,
          script="while [ ! -e /tmp/go ]; do sleep 0.02; done; x=a; while :; do x=$x$x; done")
    with Follower(bundle, "--interval", "1h") as events:
        wait_for_sleep(events.process.pid)
        (bundle.rootfs / "tmp/go").touch()
        rest, _ = events.rest()
        assert rest and {json.dumps(e) for e in rest} == {'{"type": "oom", "id": "c1"}'}
        assert events.process.returncode == 0


def test_a_removed_container_ends_it_without_an_oom(bundle):
    start(bundle)
    with Follower(bundle, "--interval", "1h") as events:
        wait_for_sleep(events.process.pid)
        bundle.hull("delete", "--force", "c1")
        assert events.rest()[0] == []
        assert events.process.returncode == 0


@pytest.mark.parametrize("interval,words", [("0", "greater than 0"), ("-1s", "greater than 0"), ("5", "duration"),
                                            ("soon", "duration"), ("", "duration"), ("1s1", "duration"),
                                            ("9999999999h", "too long")])
def test_intervals_that_are_none(bundle, interval, words):
    start(bundle)
    done = bundle.hull("events", "--interval", interval, "c1", check=False)
    assert done.returncode == 1 and words in done.stderr


def test_only_living_containers(bundle):
    assert "does not exist" in bundle.hull("events", "--stats", "nosuch", check=False).stderr
    bundle.args("true")
    bundle.create("c1")
    bundle.hull("start", "c1")
    bundle.wait_for("c1", "stopped")
    done = bundle.hull("events", "c1", check=False)
    assert done.returncode == 1 and "is not running" in done.stderr


def test_a_paused_container_has_statistics(bundle):
    start(bundle)
    bundle.hull("pause", "c1")
    assert stats(bundle)["pids"]["current"] >= 1
    bundle.hull("resume", "c1")


def test_blocks_that_were_read_are_counted(bundle, tmp_path):
    if not cgroups.has("io"):
        pytest.skip("no block I/O controller")
    probe = bundle.rootfs / "tmp/probe"
    with open(probe, "wb") as f:
        f.write(os.urandom(4 * MIB))
        f.flush()
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    device = os.stat(probe).st_dev
    if not os.path.exists(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"):
        pytest.skip("the files are on no block device")
    start(bundle, script="cat /tmp/probe >/dev/null; echo done >&2; sleep 1000")
    bundle.wait_for_log("c1", "done")
    reads = [e for e in stats(bundle)["blkio"].get("ioServiceBytesRecursive", []) if e["op"] == "Read"]
    assert sum(e.get("value", 0) for e in reads) >= 4 * MIB
    assert all({"major", "minor", "op", "value"} >= set(e) for e in reads)
