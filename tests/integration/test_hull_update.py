# SPDX-License-Identifier: Apache-2.0
"""Limits of containers, as they are made and as `hull update` changes them: in the kernel's files, of whichever cgroup
version there is, and by their effect."""
import json
import os
import pathlib
import subprocess

import pytest

import cgroups
from bundles import HULL, bundle, pytestmark  # noqa: F401 pylint: disable=unused-import

MIB = 1 << 20
MEMORY_V2 = cgroups.is_v2("memory")
CPU_V2 = cgroups.is_v2("cpu")
PATH = f"hull-test-path-{os.getpid()}"


@pytest.fixture(autouse=True)
def own_cgroup(bundle):
    """Others' containers may have the same names."""
    top = f"/hull-test-{os.getpid()}"
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"{top}/{os.urandom(4).hex()}"))
    yield
    for name in os.listdir(bundle.root) if bundle.root.exists() else []:
        bundle.hull("delete", "--force", name, check=False)
    assert not cgroups.remains(top)


def limit(bundle, **resources):
    def change(config):
        config["linux"].setdefault("resources", {}).update(resources)
    bundle.edit(change)


def start(bundle, name="c1", script="sleep 1000"):
    bundle.sh(script)
    bundle.create(name)
    bundle.hull("start", name)
    return cgroups.Cgroup(bundle.state(name)["pid"])


def kept(bundle, name="c1"):
    """The resources that the container's own config has."""
    return json.loads((bundle.root / name / "config.json").read_text())["linux"]["resources"]


def memory(cg):
    return int(cg.read("memory.max", "memory.limit_in_bytes"))


def swap(cg):
    """Memory and swap together; None where the kernel counts no swap."""
    if MEMORY_V2:
        text = cg.read("memory.swap.max")
        return text if text == "max" else memory(cg) + int(text)
    n = int(cg.read("memory.swap.max", "memory.memsw.limit_in_bytes"))
    return "max" if n > 1 << 60 else n


def shares(cg):
    return int(cg.read("cpu.weight", "cpu.shares"))


def as_shares(n):
    return cgroups.weight_of_shares(n) if CPU_V2 else n


def cpu_max(cg):
    if CPU_V2:
        return cg.read("cpu.max")
    quota = cg.read("cpu.max", "cpu.cfs_quota_us")
    return f"{'max' if quota == '-1' else quota} {cg.read('cpu.max', 'cpu.cfs_period_us')}"


LIMITS = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 10000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 20},
}


# ---- at create -------------------------------------------------------------------------------------------------


def test_limits_of_the_spec_are_in_the_kernels_files(bundle):
    limit(bundle, **LIMITS)
    cg = start(bundle)
    assert memory(cg) == 64 * MIB
    assert swap(cg) == 96 * MIB
    assert cg.read("memory.low", "memory.soft_limit_in_bytes") == str(32 * MIB)
    assert shares(cg) == as_shares(512)
    assert cpu_max(cg) == "50000 100000"
    assert cg.read("cpu.max.burst", "cpu.cfs_burst_us") == "10000"
    assert (cg.read("cpuset.cpus"), cg.read("cpuset.mems")) == ("0", "0")
    assert cg.read("pids.max") == "20"


@pytest.mark.parametrize("given,file", [(-1, "max"), (0, "1"), (7, "7")])
def test_pids_limits_of_every_kind(bundle, given, file):
    limit(bundle, pids={"limit": given})
    assert start(bundle).read("pids.max") == file


def test_the_pids_limit_holds(bundle):
    limit(bundle, pids={"limit": 5})
    bundle.sh("for i in 1 2 3 4 5 6 7 8; do sleep 2 & done; wait")
    assert "can't fork" in bundle.hull("run", "c1", check=False).stderr


def test_the_memory_limit_holds(bundle):
    limit(bundle, memory={"limit": 16 * MIB, "swap": 16 * MIB})
    # What grows is the container's only process: beside another one, the kernel may kill either.
    bundle.args("tail", "-c", "90000000", "/dev/zero")
    (bundle.rootfs / "bin/tail").symlink_to("busybox")
    assert bundle.hull("run", "c1", check=False).returncode == 137


def test_devices_are_denied_but_for_the_default_ones(bundle):
    # The node of /dev/zero's driver with another number: /dev/kmsg.
    bundle.sh("mknod /tmp/kmsg c 1 11 && { cat /tmp/kmsg & wait $!; }; head -c 1 /dev/zero | wc -c")
    (bundle.rootfs / "bin/mknod").symlink_to("busybox")
    bundle.edit(lambda c: [c["process"]["capabilities"][s].append("CAP_MKNOD") for s in
                           ("bounding", "effective", "permitted")])
    done = bundle.hull("run", "c1")
    assert "can't open '/tmp/kmsg': Operation not permitted" in done.stderr
    assert done.stdout == "1\n"


def test_devices_are_denied_without_any_rule(bundle):
    bundle.edit(lambda c: c["linux"].pop("resources", None))
    bundle.edit(lambda c: [c["process"]["capabilities"][s].append("CAP_MKNOD") for s in
                           ("bounding", "effective", "permitted")])
    (bundle.rootfs / "bin/mknod").symlink_to("busybox")
    bundle.sh("mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg")
    assert "Operation not permitted" in bundle.hull("run", "c1", check=False).stderr


def test_a_device_rule_opens_what_it_names(bundle):
    limit(bundle, devices=[{"allow": False, "access": "rwm"},
                           {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "w"}])
    bundle.edit(lambda c: [c["process"]["capabilities"][s].append("CAP_MKNOD") for s in
                           ("bounding", "effective", "permitted")])
    (bundle.rootfs / "bin/mknod").symlink_to("busybox")
    bundle.sh("mknod /tmp/kmsg c 1 11 && exec 3>/tmp/kmsg && echo written; cat /tmp/kmsg")
    done = bundle.hull("run", "c1", check=False)
    assert done.stdout == "written\n"
    assert "Operation not permitted" in done.stderr


@pytest.mark.parametrize("resources,words", [
    ({"cpu": {"shares": 512, "idle": 7}}, "idle"),
    ({"cpu": {"quota": 1000, "burst": 2000}}, "burst"),
    ({"memory": {"limit": 8 * MIB, "swap": 4 * MIB}}, "memory+swap"),
    ({"rdma": {"mlx0": {}}}, "rdma" if not cgroups.has("rdma") else "neither"),
    ({"hugepageLimits": [{"pageSize": "3x", "limit": 5}]}, "3x"),
    ({"unified": {"nosuch.max": "1"}}, "nosuch"),
    ({"unified": {"cgroup.procs": "1"}}, "cgroup.procs"),
    ({"blockIO": {"weight": 5}}, "weight"),
])
def test_bad_limits_are_named_before_anything_is_made(bundle, resources, words):
    limit(bundle, **resources)
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"/{PATH}/c1"))
    done = bundle.hull("run", "c1", check=False)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert not cgroups.remains(f"/{PATH}")
    assert not bundle.root.exists() or os.listdir(bundle.root) == []


@pytest.mark.skipif(cgroups.has("net_cls"), reason="net_cls is there")
def test_a_network_class_needs_v1(bundle):
    limit(bundle, network={"classID": 0x100001})
    assert "net_cls" in bundle.hull("run", "c1", check=False).stderr


@pytest.mark.skipif(not MEMORY_V2, reason="cgroup v2 only")
def test_unified_is_written_as_it_is(bundle):
    limit(bundle, unified={"memory.high": "50000000", "pids.max": "9", "io.weight": "default 50"})
    cg = start(bundle)
    assert cg.read("memory.high") == str(50000000 // 4096 * 4096)
    assert cg.read("pids.max") == "9"
    assert cg.read("io.weight") == "default 50"


@pytest.mark.skipif(MEMORY_V2, reason="cgroup v1 only")
def test_unified_is_refused_on_v1(bundle):
    limit(bundle, unified={"memory.high": "50000000"})
    assert "for cgroup v2" in bundle.hull("run", "c1", check=False).stderr


@pytest.mark.skipif(not MEMORY_V2, reason="cgroup v2 only")
@pytest.mark.parametrize("resources,words", [
    ({"memory": {"swappiness": 10}}, "swappiness"),
    ({"memory": {"disableOOMKiller": True}}, "OOM killer"),
    ({"cpu": {"realtimeRuntime": 1000}}, "real-time"),
    ({"blockIO": {"leafWeight": 100}}, "leaf weights"),
])
def test_what_v2_has_no_file_for_is_refused(bundle, resources, words):
    limit(bundle, **resources)
    done = bundle.hull("run", "c1", check=False)
    assert done.returncode == 1 and words in done.stderr


@pytest.mark.skipif(MEMORY_V2, reason="cgroup v1 only")
def test_what_v1_alone_has(bundle):
    limit(bundle, memory={"limit": 64 * MIB, "swappiness": 7, "disableOOMKiller": True})
    cg = start(bundle)
    assert cg.read("memory.swappiness") == "7"
    assert "oom_kill_disable 1" in cg.read("memory.oom_control")


def test_relative_and_absolute_paths_are_the_same_place(bundle):
    for name, path in (("c1", f"{PATH}/a"), ("c2", f"/{PATH}/b")):
        bundle.edit(lambda c, p=path: c["linux"].update(cgroupsPath=p))
        cg = start(bundle, name)
        assert cg.paths["memory" if not MEMORY_V2 else ""] == "/" + path.lstrip("/")
        bundle.hull("delete", "--force", name)
    assert not cgroups.remains(f"/{PATH}")


@pytest.mark.skipif(not MEMORY_V2, reason="cgroup v2 only")
@pytest.mark.parametrize("options,owner", [(["nosuid", "noexec", "nodev"], 100000), (["ro"], 0)])
def test_a_cgroup_that_is_mounted_writable_belongs_to_the_containers_user(bundle, options, owner):
    """config-linux.md, "Cgroup ownership": of its files only those that the kernel names."""
    def change(config):
        config["linux"]["namespaces"] += [{"type": "user"}]
        if not any(n["type"] == "cgroup" for n in config["linux"]["namespaces"]):
            config["linux"]["namespaces"] += [{"type": "cgroup"}]
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        config["linux"].update(uidMappings=maps, gidMappings=maps)
        for m in config["mounts"]:
            if m["destination"] == "/sys/fs/cgroup":
                m["options"] = options
    bundle.edit(change)
    for directory in [bundle.path, *bundle.path.parents]:
        if directory.is_relative_to("/tmp") and directory != pathlib.Path("/tmp"):
            directory.chmod(0o755)
    cg = start(bundle)
    directory = cg.dir("memory")
    assert directory.stat().st_uid == owner
    assert (directory / "cgroup.procs").stat().st_uid == owner
    assert (directory / "memory.max").stat().st_uid == 0


# ---- hull update ------------------------------------------------------------------------------------------------


def test_every_option_reaches_its_file(bundle):
    limit(bundle, **LIMITS)
    cg = start(bundle)
    bundle.hull("update", "--memory", "128m", "--memory-swap", str(160 * MIB), "--memory-reservation", "16MiB", "c1")
    assert (memory(cg), swap(cg)) == (128 * MIB, 160 * MIB)
    assert cg.read("memory.low", "memory.soft_limit_in_bytes") == str(16 * MIB)
    bundle.hull("update", "--cpu-share", "2048", "--cpu-quota", "20000", "--cpu-period", "40000", "--cpu-burst", "0", "c1")
    assert shares(cg) == as_shares(2048)
    assert cpu_max(cg) == "20000 40000"
    assert cg.read("cpu.max.burst", "cpu.cfs_burst_us") == "0"
    bundle.hull("update", "--pids-limit", "33", "--cpuset-cpus", "0", "--cpuset-mems", "0", "c1")
    assert cg.read("pids.max") == "33"
    bundle.hull("update", "--pids-limit=-1", "--cpu-quota=-1", "--memory-swap=-1", "c1")
    assert cg.read("pids.max") == "max"
    assert cpu_max(cg) == "max 40000"
    assert swap(cg) == "max"
    assert memory(cg) == 128 * MIB


def test_what_is_not_given_stays_and_is_kept(bundle):
    limit(bundle, **LIMITS)
    cg = start(bundle)
    bundle.hull("update", "--cpu-period", "200000", "c1")
    assert cpu_max(cg) == "50000 200000"
    bundle.hull("update", "--cpu-quota", "70000", "c1")
    assert cpu_max(cg) == "70000 200000"
    bundle.hull("update", "--memory", "48M", "c1")
    assert (memory(cg), swap(cg)) == (48 * MIB, 96 * MIB)
    r = kept(bundle)
    assert r["memory"] == {"limit": 48 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}
    assert (r["cpu"]["quota"], r["cpu"]["period"], r["cpu"]["shares"]) == (70000, 200000, 512)
    assert r["pids"] == {"limit": 20}


def test_a_change_that_contradicts_what_is_there_is_refused(bundle):
    limit(bundle, **LIMITS)
    cg = start(bundle)
    done = bundle.hull("update", "--memory", "100M", "c1", check=False)
    assert done.returncode == 1 and "memory+swap limit" in done.stderr
    assert (memory(cg), swap(cg)) == (64 * MIB, 96 * MIB)
    assert kept(bundle)["memory"]["limit"] == 64 * MIB


def test_unlimited_memory_takes_the_swap_limit_along(bundle):
    limit(bundle, **LIMITS)
    cg = start(bundle)
    bundle.hull("update", "--memory=-1", "c1")
    assert swap(cg) == "max"
    assert cg.read("memory.max", "memory.limit_in_bytes") in ("max", "9223372036854771712")


def test_a_refused_update_changes_nothing(bundle):
    limit(bundle, **LIMITS)
    cg = start(bundle)
    before = kept(bundle)
    done = bundle.hull("update", "--memory", "80m", "--cpu-share", "3000", "--pids-limit", "99", "--cpuset-cpus",
                       "4000", "c1", check=False)
    assert done.returncode == 1
    assert "cpuset.cpus" in done.stderr and "c1" in done.stderr
    assert (memory(cg), shares(cg), cg.read("pids.max")) == (64 * MIB, as_shares(512), "20")
    assert kept(bundle) == before


def test_idle_and_back(bundle):
    limit(bundle, **LIMITS)
    cg = start(bundle)
    bundle.hull("update", "--cpu-idle", "1", "c1")
    assert cg.read("cpu.idle") == "1"
    # Noted, and in force when it is no longer idle.
    bundle.hull("update", "--cpu-share", "300", "c1")
    bundle.hull("update", "--cpu-idle", "0", "c1")
    assert cg.read("cpu.idle") == "0"
    assert shares(cg) == as_shares(300)


RESOURCES = {
    "memory": {"limit": 0, "reservation": 0, "swap": 0, "checkBeforeUpdate": True},
    "cpu": {"shares": 700, "quota": 0, "burst": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0,
            "cpus": "", "mems": "", "idle": 0},
    "blockIO": {"weight": 0},
    "pids": {"limit": 44},
    "devices": [{"allow": True, "access": "rwm"}],
}


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_resources_as_json(bundle, source):
    """What callers send: zeros for what stays, device rules that are not for here."""
    limit(bundle, **LIMITS)
    cg = start(bundle, script="while sleep 0.1; do :; done")
    text = json.dumps(RESOURCES)
    if source == "file":
        (bundle.path / "r.json").write_text(text)
        # The other options do not count then.
        bundle.hull("update", "-r", "r.json", "--pids-limit", "7", "c1")
    else:
        bundle.hull("update", "--resources", "-", "c1", stdin=None, input=text)
    assert (shares(cg), cg.read("pids.max")) == (as_shares(700), "44")
    assert (memory(cg), swap(cg), cpu_max(cg)) == (64 * MIB, 96 * MIB, "50000 100000")
    assert kept(bundle)["memory"]["limit"] == 64 * MIB
    assert kept(bundle)["devices"] == json.loads((bundle.path / "config.json").read_text())["linux"]["resources"]["devices"]


def test_device_rates_are_laid_over_by_device(bundle):
    disk = next((d for d in sorted(os.listdir("/sys/block")) if os.path.exists(f"/sys/block/{d}/device")), None)
    if not disk or not cgroups.has("io"):
        pytest.skip("no disk, or no block I/O controller")
    major, minor = map(int, pathlib.Path(f"/sys/block/{disk}/dev").read_text().split(":"))
    limit(bundle, blockIO={"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 1000000}],
                           "throttleWriteIOPSDevice": [{"major": major, "minor": minor, "rate": 50}]})
    cg = start(bundle)
    bundle.hull("update", "-r", "-", "c1", stdin=None, input=json.dumps(
        {"blockIO": {"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 2000000}]}}))
    if cgroups.is_v2("io"):
        assert cg.read("io.max") == f"{major}:{minor} rbps=2000000 wbps=max riops=max wiops=50"
    else:
        assert cg.read("io.max", "blkio.throttle.read_bps_device") == f"{major}:{minor} 2000000"
        assert cg.read("io.max", "blkio.throttle.write_iops_device") == f"{major}:{minor} 50"
    assert kept(bundle)["blockIO"]["throttleReadBpsDevice"] == [{"major": major, "minor": minor, "rate": 2000000}]
    assert len(kept(bundle)["blockIO"]["throttleWriteIOPSDevice"]) == 1


def test_a_limit_below_the_use_is_refused(bundle):
    """By the kernel on v1; on v2, which would kill, when checkBeforeUpdate asks for it."""
    limit(bundle, memory={"limit": 64 * MIB, "swap": 64 * MIB})
    (bundle.rootfs / "bin/dd").symlink_to("busybox")
    cg = start(bundle, script="dd if=/dev/zero of=/dev/shm/x bs=1M count=20 2>/dev/null; echo full >&2; sleep 1000")
    bundle.wait_for_log("c1", "full")
    change = {"memory": {"limit": 4 * MIB, "swap": 4 * MIB, "checkBeforeUpdate": MEMORY_V2}}
    done = bundle.hull("update", "-r", "-", "c1", check=False, stdin=None, input=json.dumps(change))
    assert done.returncode == 1
    assert ("below its present use" if MEMORY_V2 else "more memory is in use") in done.stderr
    assert (memory(cg), swap(cg)) == (64 * MIB, 64 * MIB)
    assert bundle.status("c1") == "running"


def test_a_lower_pids_limit_has_effect(bundle):
    start(bundle)
    bundle.hull("update", "--pids-limit", "2", "c1")
    done = bundle.hull("exec", "c1", "sh", "-c", "sleep 1 & sleep 1 & wait", check=False)
    assert "can't fork" in done.stderr


def test_a_paused_or_created_container_can_be_updated(bundle):
    bundle.sh("sleep 1000")
    bundle.create("c1")
    cg = cgroups.Cgroup(bundle.state("c1")["pid"])
    bundle.hull("update", "--pids-limit", "9", "c1")
    assert cg.read("pids.max") == "9"
    bundle.hull("start", "c1")
    bundle.hull("pause", "c1")
    bundle.hull("update", "--pids-limit", "10", "c1")
    assert cg.read("pids.max") == "10"
    assert bundle.status("c1") == "paused"
    bundle.hull("resume", "c1")


@pytest.mark.parametrize("args,words", [
    (["--memory", "12x"], ["--memory", "12x"]),
    (["--memory", "-5"], ["--memory", "-5"]),
    (["--cpu-share", "much"], ["--cpu-share", "much"]),
    (["--cpu-idle", "2"], ["idle", "2"]),
    (["--blkio-weight", "5000"], ["weight", "5000"]),
    (["--cpuset-cpus", "a-b"], ["cpus", "a-b"]),
    (["--resources", "missing.json"], ["missing.json"]),
    (["--l3-cache-schema", "L3:0=f"], ["Intel RDT"]),
])
def test_wrong_values_are_named(bundle, args, words):
    start(bundle)
    done = bundle.hull("update", *args, "c1", check=False)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("text", ["", "[]", "{", '{"memory": 5}', '{"cpu": {"shares": "x"}}', '{"pids": {"limit": 1.5}}'])
def test_wrong_json_is_refused(bundle, text):
    start(bundle)
    before = kept(bundle)
    assert bundle.hull("update", "-r", "-", "c1", check=False, stdin=None, input=text).returncode == 1
    assert kept(bundle) == before


def test_only_living_containers(bundle):
    assert "does not exist" in bundle.hull("update", "--pids-limit", "5", "nosuch", check=False).stderr
    bundle.args("true")
    bundle.create("c1")
    bundle.hull("start", "c1")
    bundle.wait_for("c1", "stopped")
    assert "not running" in bundle.hull("update", "--pids-limit", "5", "c1", check=False).stderr


def test_kernel_memory_is_ignored_with_a_word(bundle):
    start(bundle)
    bundle.hull("update", "--kernel-memory", "5m", "c1", options=("--log", "log"))
    assert "ignored" in (bundle.path / "log").read_text()


def test_two_updates_at_a_time_both_count(bundle):
    limit(bundle, **LIMITS)
    start(bundle)
    running = [subprocess.Popen([HULL, "--root", bundle.root, "update", *args, "c1"]) for args in
               (["--pids-limit", "50"], ["--cpu-share", "999"], ["--memory", "50m"], ["--cpu-period", "50000"])]
    assert [p.wait(timeout=60) for p in running] == [0] * 4
    r = kept(bundle)
    assert (r["pids"]["limit"], r["cpu"]["shares"], r["memory"]["limit"], r["cpu"]["period"]) == (50, 999, 50 * MIB, 50000)
