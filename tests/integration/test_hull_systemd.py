# SPDX-License-Identifier: Apache-2.0
"""`hull --systemd-cgroup`: a scope a container, whose properties are the limits. Where systemd is process 1: in the
guest of tests/vm."""
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import cgroups
from bundles import HULL, bundle, said, pytestmark  # noqa: F401 pylint: disable=unused-import

pytestmark = [*pytestmark, pytest.mark.skipif(not os.path.exists("/run/systemd/system"), reason="no systemd")]
MIB = 1 << 20
SYSTEMD = ("--systemd-cgroup",)


def show(unit, *names):
    done = subprocess.run(["systemctl", "show", unit, *(f"--property={n}" for n in names)], capture_output=True,
                          text=True, check=True, timeout=60)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def is_loaded(unit):
    return show(unit, "ActiveState")["ActiveState"] not in ("inactive", "failed")


def wait_gone(unit):
    for _ in range(600):
        if not is_loaded(unit):
            return
        time.sleep(0.05)
    raise AssertionError(f"{unit} is still there")


@pytest.fixture
def scope(bundle):
    """The path and the unit's name."""
    name = os.urandom(4).hex()
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"hulltest-a.slice:hull:{name}"))
    yield f"hull-{name}.scope"
    for container in os.listdir(bundle.root) if bundle.root.exists() else []:
        bundle.hull("delete", "--force", container, check=False)
    wait_gone(f"hull-{name}.scope")
    assert not cgroups.remains(f"/hulltest.slice/hulltest-a.slice/hull-{name}.scope")


def create(bundle, name="c1"):
    bundle.ids.append(name)
    with open(bundle.path / f"{name}.log", "wb") as log:
        subprocess.run([HULL, "--root", bundle.root, *SYSTEMD, "create", name], cwd=bundle.path, check=True,
                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120)
    bundle.hull("start", name)
    return cgroups.Cgroup(bundle.state(name)["pid"])


def test_a_scope_with_the_limits_as_properties(bundle, scope):
    bundle.edit(lambda c: c["linux"]["resources"].update(
        memory={"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB}, pids={"limit": 20},
        cpu={"shares": 512, "quota": 12345, "period": 50000, "cpus": "0"}, unified={"memory.high": str(48 * MIB)}))
    bundle.sh("sleep 1000")
    cg = create(bundle)
    assert cg.paths[""] == f"/hulltest.slice/hulltest-a.slice/{scope}"
    # systemd keeps percents, and both are to agree: 24.69 % is 25 %.
    assert cg.read("cpu.max") == "12500 50000"
    assert (cg.read("memory.max"), cg.read("memory.swap.max")) == (str(64 * MIB), str(32 * MIB))
    assert (cg.read("pids.max"), cg.read("cpuset.cpus")) == ("20", "0")
    assert show(scope, "MemoryMax", "MemorySwapMax", "MemoryLow", "MemoryHigh", "TasksMax", "CPUWeight",
                "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "AllowedCPUs", "Delegate", "Slice", "DevicePolicy") == {
        "MemoryMax": str(64 * MIB), "MemorySwapMax": str(32 * MIB), "MemoryLow": str(16 * MIB),
        "MemoryHigh": str(48 * MIB), "TasksMax": "20", "CPUWeight": str(cgroups.weight_of_shares(512)),
        "CPUQuotaPerSecUSec": "250ms", "CPUQuotaPeriodUSec": "50ms", "AllowedCPUs": "0", "Delegate": "yes",
        "Slice": "hulltest-a.slice", "DevicePolicy": "strict"}
    allowed = subprocess.run(["systemctl", "show", scope, "--property=DeviceAllow"], capture_output=True, text=True,
                             check=True).stdout
    assert "/dev/char/1:3 rwm" in allowed and "char-136 rwm" in allowed
    # What systemd writes when it reads its units again is the same.
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=120)
    assert (cg.read("memory.max"), cg.read("cpu.max"), cg.read("pids.max")) == (str(64 * MIB), "12500 50000", "20")
    assert bundle.hull("exec", "c1", "sh", "-c", "echo >/dev/null && head -c 1 /dev/zero | wc -c").stdout == "1\n"


def test_update_reaches_both(bundle, scope):
    bundle.sh("sleep 1000")
    bundle.edit(lambda c: c["linux"]["resources"].update(memory={"limit": 64 * MIB, "swap": 96 * MIB},
                                                         cpu={"quota": 10000, "period": 100000}))
    cg = create(bundle)
    assert show(scope, "TasksMax") == {"TasksMax": "infinity"}
    bundle.hull("update", "--memory", "80m", "--pids-limit", "33", "--cpu-quota", "30000", "--cpu-share", "2048", "c1")
    assert (cg.read("memory.max"), cg.read("memory.swap.max")) == (str(80 * MIB), str(16 * MIB))
    assert (cg.read("cpu.max"), cg.read("pids.max")) == ("30000 100000", "33")
    assert show(scope, "MemoryMax", "MemorySwapMax", "TasksMax", "CPUQuotaPerSecUSec", "CPUWeight") == {
        "MemoryMax": str(80 * MIB), "MemorySwapMax": str(16 * MIB), "TasksMax": "33", "CPUQuotaPerSecUSec": "300ms",
        "CPUWeight": str(cgroups.weight_of_shares(2048))}
    done = bundle.hull("update", "--pids-limit", "5", "--cpuset-cpus", "4000", "c1", check=False)
    assert done.returncode == 1
    assert (cg.read("pids.max"), show(scope, "TasksMax")) == ("33", {"TasksMax": "33"})


def test_life_from_start_to_end(bundle, scope):
    bundle.sh("sleep 1000 & sleep 1000; true")
    cg = create(bundle)
    assert is_loaded(scope)
    # What is exec'd is in it, and so is all that a kill of all and ps see.
    assert f"0::{cg.paths['']}" not in bundle.hull("exec", "c1", "cat", "/proc/self/cgroup").stdout
    assert len(json.loads(bundle.hull("ps", "--format", "json", "c1").stdout)) == 3
    bundle.hull("pause", "c1")
    assert bundle.status("c1") == "paused"
    bundle.hull("resume", "c1")
    assert json.loads(bundle.hull("events", "--stats", "c1").stdout)["data"]["pids"]["current"] == 3
    bundle.hull("delete", "--force", "c1")
    wait_gone(scope)


def test_a_container_that_ends_takes_its_scope_along(bundle, scope):
    bundle.sh("exit 3")
    assert bundle.hull("run", "c1", options=SYSTEMD, check=False).returncode == 3
    wait_gone(scope)


def test_a_create_that_fails_leaves_no_scope(bundle, scope):
    bundle.args("/bin/nosuch")
    assert bundle.hull("run", "c1", options=SYSTEMD, check=False).returncode != 0
    wait_gone(scope)


def test_limits_that_are_refused_leave_no_scope(bundle, scope):
    bundle.edit(lambda c: c["linux"]["resources"].update(cpu={"cpus": "4000"}))
    done = bundle.hull("run", "c1", options=SYSTEMD, check=False)
    assert done.returncode == 1 and "cpuset.cpus" in done.stderr, done.stderr
    wait_gone(scope)


def test_an_oom_kill_leaves_no_failed_unit(bundle, scope):
    bundle.edit(lambda c: c["linux"]["resources"].update(memory={"limit": 8 * MIB, "swap": 8 * MIB}))
    bundle.sh("x=a; while :; do x=$x$x; done")
    assert bundle.hull("run", "c1", options=SYSTEMD, check=False).returncode == 137
    wait_gone(scope)
    assert show(scope, "LoadState")["LoadState"] == "not-found"


def test_a_taken_name_is_an_error_and_stays(bundle, scope):
    bundle.sh("sleep 1000")
    cg = create(bundle)
    done = bundle.hull("create", "c2", options=SYSTEMD, check=False)
    assert done.returncode == 1 and scope in done.stderr
    assert is_loaded(scope)
    assert pathlib.Path(cg.dir("pids"), "cgroup.procs").read_text() != ""


def test_a_path_for_the_other_driver_is_refused(bundle):
    bundle.edit(lambda c: c["linux"].update(cgroupsPath="/a/b"))
    assert "slice:prefix:name" in bundle.hull("run", "c1", options=SYSTEMD, check=False).stderr
    bundle.edit(lambda c: c["linux"].update(cgroupsPath="a.slice:b:c"))
    assert "systemd driver" in bundle.hull("run", "c1", check=False).stderr


def test_without_a_path_it_is_in_the_system_slice(bundle):
    name = os.urandom(4).hex()
    bundle.sh("sleep 1000")
    cg = create(bundle, name)
    assert cg.paths[""] == f"/system.slice/hull-{name}.scope"
    bundle.hull("delete", "--force", name)
    wait_gone(f"hull-{name}.scope")


def test_devices_are_denied_in_the_scope(bundle, scope):
    (bundle.rootfs / "bin/mknod").symlink_to("busybox")
    bundle.edit(lambda c: [c["process"]["capabilities"][s].append("CAP_MKNOD") for s in
                           ("bounding", "effective", "permitted")])
    bundle.sh("mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg")
    assert "Operation not permitted" in bundle.hull("run", "c1", options=SYSTEMD, check=False).stderr


# ---- the systemd of a user ---------------------------------------------------------------------------------------

UID = 33  # has a name, which systemd looks up
USER_SCRIPT = """
set -e
cd {bundle}
hull="{hull} --root {bundle}/state --systemd-cgroup"
$hull run -d u1 </dev/null >run.log 2>&1 || {{ cat run.log; exit 1; }}
pid=$($hull state u1 | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')
cat /sys/fs/cgroup$(cut -d: -f3 /proc/$pid/cgroup)/pids.max
systemctl --user show {unit} --property=TasksMax --property=Slice
$hull update --pids-limit 21 u1
systemctl --user show {unit} --property=TasksMax
$hull exec u1 echo in
$hull delete --force u1
systemctl --user show {unit} --property=ActiveState
"""


@pytest.mark.skipif(not os.path.exists("/run/hull-vm"), reason="not in the guest, where a user's systemd can be run")
def test_a_user_has_scopes_of_its_own_systemd(bundle):
    runtime = pathlib.Path("/run/hull-user")
    runtime.mkdir(mode=0o700)
    os.chown(runtime, UID, UID)
    subprocess.run(["systemd-run", f"--uid={UID}", f"--gid={UID}", "-p", "Delegate=yes", "-p", "DefaultDependencies=no",
                    "-E", f"XDG_RUNTIME_DIR={runtime}", "-E", "HOME=/", "--unit=hull-user",
                    "/lib/systemd/systemd", "--user"], check=True, capture_output=True, timeout=60)
    try:
        for _ in range(300):
            if (runtime / "systemd/private").exists():
                break
            time.sleep(0.1)
        (bundle.path / "config.json").unlink()
        subprocess.run([HULL, "spec", "--rootless"], cwd=bundle.path, check=True, timeout=60)

        def change(config):
            config["process"].update(terminal=False, args=["sleep", "1000"])
            for mapping in config["linux"]["uidMappings"] + config["linux"]["gidMappings"]:
                mapping["hostID"] = UID
            config["linux"].update(cgroupsPath=":hull:user1")
            config["linux"].setdefault("resources", {}).update(pids={"limit": 17})
        bundle.edit(change)
        for directory in [bundle.path, *bundle.path.parents]:
            if directory.is_relative_to("/tmp") and directory != pathlib.Path("/tmp"):
                directory.chmod(0o755)
        program = bundle.path / "hull"   # the user may not be allowed to where it was built
        shutil.copy(HULL, program)
        subprocess.run(["chown", "-R", f"{UID}:{UID}", bundle.path], check=True)
        script = USER_SCRIPT.format(bundle=bundle.path, hull=program, unit="hull-user1.scope")
        (bundle.path / "script").write_text(script)
        done = subprocess.run(["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env",
                               f"XDG_RUNTIME_DIR={runtime}", "HOME=/", "systemd-run", "--user", "--wait", "--pipe",
                               "--quiet", "--collect", "sh", bundle.path / "script"], capture_output=True, text=True,
                              check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == "17"
        assert set(lines[1:3]) == {"TasksMax=17", "Slice=user.slice"}
        assert lines[3:] == ["TasksMax=21", "in", "ActiveState=inactive"]
    finally:
        subprocess.run(["systemctl", "stop", "hull-user.service"], check=False, capture_output=True, timeout=120)


def annotate(bundle, **properties):
    bundle.edit(lambda c: c.update(annotations={f"org.systemd.property.{k}": v for k, v in properties.items()}))


def test_properties_by_annotations(bundle, scope):
    """As CRI-O sends them; and they count against our own (CollectMode, Description)."""
    annotate(bundle, TimeoutStopUSec="uint64 30000000", After="['basic.target', 'hull-vm.target']",
             DefaultDependencies="true", CollectMode="'inactive'", Description='"of an \\"engine\\""',
             RuntimeMaxSec="uint32 777", SendSIGHUP="true", MemoryHigh=f"uint64 {48 * MIB}")
    bundle.sh("sleep 1000")
    cg = create(bundle)
    shown = show(scope, "TimeoutStopUSec", "After", "DefaultDependencies", "CollectMode", "Description", "RuntimeMaxUSec",
                 "SendSIGHUP", "Delegate")
    assert {"basic.target", "hull-vm.target"} <= set(shown.pop("After").split())
    assert shown == {"TimeoutStopUSec": "30s", "DefaultDependencies": "yes", "CollectMode": "inactive",
                     "Description": 'of an "engine"', "RuntimeMaxUSec": "12min 57s", "SendSIGHUP": "yes", "Delegate": "yes"}
    assert cg.read("memory.high") == str(48 * MIB)
    # An update leaves them.
    bundle.hull("update", "--pids-limit", "44", "c1")
    assert show(scope, "TimeoutStopUSec", "TasksMax") == {"TimeoutStopUSec": "30s", "TasksMax": "44"}


def test_a_stop_timeout_by_annotation_is_kept(bundle, scope):
    """What it is there for: a stop of the scope waits so long, and then kills."""
    annotate(bundle, TimeoutStopSec="1.5")
    bundle.sh("trap '' TERM; sleep 1000")
    create(bundle)
    assert show(scope, "TimeoutStopUSec") == {"TimeoutStopUSec": "1.500000s"}
    before = time.monotonic()
    subprocess.run(["systemctl", "stop", scope], check=True, timeout=60)
    assert time.monotonic() - before > 1.4 and bundle.status("c1") == "stopped"


def test_annotations_that_are_no_properties(bundle, scope):
    bundle.sh("true")
    for name, value, why in (
            ("TimeoutStopUSec", "30", "org.systemd.property.TimeoutStopUSec=30"), ("NoSuchThing", "true", "NoSuchThing"),
            ("After", "crio.service", 'annotation "org.systemd.property.After": "crio.service" is no value of a property of '
             'systemd: no value (strings need quotes)'),
            ("TimeoutStopSec", "'5'", "a number of seconds is expected"), ("After1", "true", '"After1" is no name')):
        annotate(bundle, **{name: value})
        done = bundle.hull("run", "c1", options=SYSTEMD, check=False)
        assert done.returncode != 0 and why in said(done), said(done)
        wait_gone(scope)
    # Without systemd's driver they are words like others.
    bundle.edit(lambda c: c["linux"].pop("cgroupsPath"))
    assert bundle.hull("run", "c1").returncode == 0
