# SPDX-License-Identifier: Apache-2.0
"""The process of the OCI specification, key by key; what is claimed is seen from inside, or in /proc. Its user, groups and
capabilities: test_hull_credentials.py."""
import json
import os
import pathlib
import re
import socket

import pytest

from bundles import C1, bundle, has_apparmor, pytestmark, said  # noqa: F401
from processkit import process, refused


# ---- the document ----------------------------------------------------------------------------------------------------


def test_unknown_keys_are_ignored(bundle):
    """ "Extensibility": everywhere."""
    bundle.edit(lambda c: c.update({"future": {"a": 1}, "windows": None}))
    bundle.edit(lambda c: c["process"].update(newThing=["x"]))
    bundle.edit(lambda c: c["process"]["user"].update(newThing=1))
    bundle.edit(lambda c: c["linux"].update(newThing={"y": 2}))
    bundle.args("true")
    bundle.hull("run", C1)


@pytest.mark.parametrize("where,key,value,why", [
    (["process"], "cwd", "relative", 'process.cwd: "relative" is not an absolute path'),
    (["process"], "args", [], "process.args: is missing or empty"),
    (["process"], "args", "sh", "process.args: wanted an array, found a string"),
    (["process"], "env", ["NOEQUALS"], "process.env: item 0 is not of the form NAME=VALUE"),
    (["process"], "terminal", "yes", "process.terminal: wanted true or false"),
    (["process"], "rlimits", [{"type": "RLIMIT_X", "soft": 1, "hard": 1}], "process.rlimits[0].type"),
    (["process"], "rlimits", [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2, "RLIMIT_CORE is there twice"),
    (["process"], "rlimits", [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}], "2 is above the hard limit, 1"),
    (["process"], "oomScoreAdj", 1001, "process.oomScoreAdj: 1001 is out of range"),
    (["process"], "scheduler", {"policy": "SCHED_NO"}, "process.scheduler.policy"),
    (["process"], "scheduler", {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NO"]}, "process.scheduler.flags[0]"),
    (["process"], "scheduler", {"policy": "SCHED_ISO"}, "Linux has no SCHED_ISO"),
    (["process"], "ioPriority", {"class": "IOPRIO_CLASS_NO", "priority": 1}, "process.ioPriority.class"),
    (["process"], "ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 8}, "process.ioPriority.priority"),
    (["process"], "execCPUAffinity", {"initial": "3-1"}, "process.execCPUAffinity.initial"),
    (["process"], "execCPUAffinity", {"final": "0,x"}, "process.execCPUAffinity.final"),
    (["process", "user"], "uid", 4294967295, "process.user.uid"),
    (["process", "user"], "umask", 512, "process.user.umask"),
    (["process", "user"], "additionalGids", [-1], "process.user.additionalGids[0]"),
    (["linux"], "personality", {"domain": "WINDOWS"}, "linux.personality.domain"),
    (["linux"], "personality", {"domain": "LINUX", "flags": ["x"]}, "linux.personality.flags: no flags are defined"),
    ([], "hostname", "x" * 65, "hostname: longer than 64 bytes"),
    ([], "annotations", {"": "x"}, "annotations.: an empty key"),
])
def test_wrong_values_are_named(bundle, where, key, value, why):
    def change(c):
        for part in where:
            c = c[part]
        c[key] = value
    bundle.edit(change)
    refused(bundle, why)


def test_create_without_a_process(bundle):
    """ "process ... is REQUIRED when start is called": not before, and the container stays created then."""
    bundle.edit(lambda c: c.pop("process"))
    bundle.create(C1)
    for _ in range(2):
        done = bundle.hull("start", C1, check=False)
        assert done.returncode == 1 and "the spec has no process to run" in said(done)
        assert bundle.status(C1) == "created"
    bundle.hull("delete", "--force", C1)
    refused(bundle, "the spec has no process to run", "run")


# ---- program, environment, working directory -------------------------------------------------------------------------


def env_of(bundle):
    bundle.args("busybox", "env")
    return bundle.hull("run", C1).stdout.splitlines()


def test_env(bundle):
    """What the caller has is not the container's."""
    process(bundle, env=["PATH=/bin", "A=1", "B=", "HOME=/x"])
    os.environ["HULL_TEST_SECRET"] = "x"
    try:
        assert sorted(env_of(bundle)) == ["A=1", "B=", "HOME=/x", "PATH=/bin"]
    finally:
        del os.environ["HULL_TEST_SECRET"]


def test_of_a_variable_that_comes_twice_the_last_one_counts(bundle):
    process(bundle, env=["PATH=/nowhere", "A=1", "A=2", "PATH=/bin", "AB=3"])
    lines = env_of(bundle)
    assert lines[:3] == ["A=2", "PATH=/bin", "AB=3"]


@pytest.mark.parametrize("env", [[], ["HOME="], ["HOME=/x", "HOME="]])
def test_home_comes_from_the_images_passwd(bundle, env):
    (bundle.rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nsomebody:x:1000:100::/home/somebody:/bin/sh\n")
    process(bundle, env=["PATH=/bin", *env])
    for uid, home in ((0, "/root"), (1000, "/home/somebody"), (77, "/")):
        process(bundle, user={"uid": uid, "gid": 0})
        assert f"HOME={home}" in env_of(bundle)
        assert len([line for line in env_of(bundle) if line.startswith("HOME=")]) == 1


def test_cwd_is_made_when_it_is_missing(bundle):
    """As root of the container and 0755, whoever the process is, as runc does."""
    process(bundle, cwd="/made/for/me", user={"uid": 1000, "gid": 1000, "umask": 0o77})
    bundle.sh("pwd; stat -c '%u:%g %a' . ..")
    assert bundle.hull("run", C1).stdout == "/made/for/me\n0:0 755\n0:0 755\n"
    assert (bundle.rootfs / "made/for/me").is_dir()
    process(bundle, cwd="/etc/../tmp//.")
    bundle.args("busybox", "pwd")
    assert bundle.hull("run", C1).stdout == "/tmp\n"


@pytest.mark.parametrize("way_in", ["owner", "group"])
def test_cwd_that_the_user_may_enter_and_root_may_not(bundle, way_in):
    """A group that the user namespace does not know takes root's power over the directory away, as NFS does."""
    place = bundle.path / "place"
    place.mkdir()
    (bundle.rootfs / "place").mkdir()
    if way_in == "owner":
        os.chown(place, 101234, 70007)
        place.chmod(0o700)
    else:
        os.chown(place, 70007, 100007)
        place.chmod(0o070)

    def change(c):
        c["linux"]["namespaces"].append({"type": "user"})
        c["linux"].update({m: [{"containerID": 0, "hostID": 100000, "size": 65536}] for m in ("uidMappings", "gidMappings")})
        c["mounts"].append({"destination": "/place", "type": "bind", "source": str(place), "options": ["bind"]})
        c["process"].update(user={"uid": 1234, "gid": 567, "additionalGids": [7]}, cwd="/place")
    bundle.edit(change)
    bundle.sh("pwd; grep -E '^(Uid|Gid|Groups)' /proc/self/status; sleep 100")
    bundle.create(C1)
    bundle.hull("start", C1)
    bundle.wait_for_log(C1, "Groups")
    said_by = bundle.hull("exec", C1, "sh", "-c", "pwd; grep -E '^(Uid|Gid|Groups)' /proc/self/status").stdout
    bundle.hull("delete", "--force", C1)
    assert said_by == bundle.log(C1)
    assert said_by.split() == ["/place", "Uid:", *["1234"] * 4, "Gid:", *["567"] * 4, "Groups:", "7"]
    bundle.edit(lambda c: c["process"]["user"].update(uid=1235, additionalGids=[]))
    refused(bundle, 'change to the working directory "/place": Permission denied')


def test_cwd_that_is_a_file(bundle):
    (bundle.rootfs / "file").write_text("")
    process(bundle, cwd="/file")
    refused(bundle, 'working directory "/file"')


def test_exec_has_its_own(bundle):
    bundle.args("sleep", "100")
    process(bundle, env=["PATH=/bin", "A=1"], cwd="/tmp")
    bundle.create(C1)
    bundle.hull("start", C1)
    assert bundle.hull("exec", C1, "busybox", "pwd").stdout == "/tmp\n"
    assert bundle.hull("exec", "--cwd", "/etc", "-e", "A=2", C1, "sh", "-c", "pwd; echo $A $HOME").stdout == "/etc\n2 /\n"
    done = bundle.hull("exec", "--cwd", "/new/dir", C1, "true", check=False)
    assert done.returncode == 255 and 'working directory "/new/dir"' in said(done)  # runc does not make it here either


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_rlimits(bundle):
    limits = [("CORE", 1, 2), ("NOFILE", 100, 200), ("CPU", 1000, 2000), ("STACK", 8 << 20, 16 << 20), ("NPROC", 4000, 5000),
              ("FSIZE", 1 << 20, 1 << 21), ("DATA", 1 << 30, 1 << 31), ("RSS", 5, 6), ("MEMLOCK", 4096, 8192), ("AS", 1 << 34, 1 << 35),
              ("LOCKS", 3, 4), ("SIGPENDING", 50, 60), ("MSGQUEUE", 1000, 2000), ("NICE", 0, 0), ("RTPRIO", 0, 0), ("RTTIME", 10, 20)]
    names = {"CORE": "Max core file size", "NOFILE": "Max open files", "CPU": "Max cpu time", "STACK": "Max stack size",
             "NPROC": "Max processes", "FSIZE": "Max file size", "DATA": "Max data size", "RSS": "Max resident set",
             "MEMLOCK": "Max locked memory", "AS": "Max address space", "LOCKS": "Max file locks",
             "SIGPENDING": "Max pending signals", "MSGQUEUE": "Max msgqueue size", "NICE": "Max nice priority",
             "RTPRIO": "Max realtime priority", "RTTIME": "Max realtime timeout"}
    process(bundle, rlimits=[{"type": f"RLIMIT_{n}", "soft": s, "hard": h} for n, s, h in limits])
    bundle.args("cat", "/proc/self/limits")
    out = bundle.hull("run", C1).stdout
    seen = {line[:25].strip(): tuple(line[25:].split()[:2]) for line in out.splitlines()[1:]}
    assert {n: seen[names[n]] for n, _, _ in limits} == {n: (str(s), str(h)) for n, s, h in limits}


def test_rlimits_of_exec(bundle):
    process(bundle, rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}])
    bundle.args("sleep", "100")
    bundle.create(C1)
    bundle.hull("start", C1)
    assert bundle.hull("exec", C1, "sh", "-c", "ulimit -n; ulimit -Hn").stdout.split() == ["100", "200"]


def test_oom_score_adj(bundle):
    own = int(pathlib.Path("/proc/self/oom_score_adj").read_text())
    bundle.args("cat", "/proc/self/oom_score_adj")
    bundle.edit(lambda c: c["process"].pop("oomScoreAdj", None))
    assert bundle.hull("run", C1).stdout == f"{own}\n"  # "MUST NOT change the value"
    process(bundle, oomScoreAdj=own + 300)
    assert bundle.hull("run", C1).stdout == f"{own + 300}\n"


@pytest.mark.skipif(int(re.search(r"CapEff:\s*(\w+)", pathlib.Path("/proc/self/status").read_text())[1], 16) >> 24 & 1,
                    reason="with CAP_SYS_RESOURCE any score can be set")
def test_an_oom_score_that_may_not_be_set(bundle):
    process(bundle, oomScoreAdj=-1000)
    refused(bundle, "set oom_score_adj to -1000: Permission denied")


# ---- scheduling ------------------------------------------------------------------------------------------------------


def stat_fields(text):
    """/proc/PID/stat from field 3 on."""
    return text.rsplit(") ", 1)[1].split()


def scheduled(bundle, scheduler):
    """(policy, real-time priority, nice) of the container's process: fields 41, 40 and 19 of proc(5)."""
    process(bundle, scheduler=scheduler)
    bundle.sh("read -r line < /proc/self/stat; echo \"$line\"")  # no child: SCHED_DEADLINE may not fork
    fields = stat_fields(bundle.hull("run", C1).stdout)
    return int(fields[38]), int(fields[37]), int(fields[16])


@pytest.mark.parametrize("policy,number", [("SCHED_OTHER", 0), ("SCHED_BATCH", 3), ("SCHED_IDLE", 5)])
def test_ordinary_policies(bundle, policy, number):
    nice = 0 if policy == "SCHED_IDLE" else 7  # which has none (sched(7))
    assert scheduled(bundle, {"policy": policy, "nice": 7}) == (number, 0, nice)
    assert scheduled(bundle, {"policy": policy}) == (number, 0, 0)


@pytest.mark.parametrize("policy,number", [("SCHED_FIFO", 1), ("SCHED_RR", 2)])
def test_real_time_policies(bundle, policy, number):
    given = pathlib.Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")
    if given.exists() and given.read_text() == "0\n":
        pytest.skip("the cgroup that is our root has no real-time to give")
    if given.exists():
        # A group of CONFIG_RT_GROUP_SCHED has no real-time of its own at first, and neither have those above it.
        bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"/{C1}"))
        bundle.edit(lambda c: c["linux"]["resources"].update(cpu={"realtimeRuntime": 1000, "realtimePeriod": 1000000}))
    assert scheduled(bundle, {"policy": policy, "priority": 3}) == (number, 3, 0)
    assert scheduled(bundle, {"policy": policy, "priority": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]})[:2] == (number, 3)


def test_deadline(bundle):
    assert scheduled(bundle, {"policy": "SCHED_DEADLINE", "runtime": 5000000, "deadline": 10000000, "period": 20000000})[0] == 6


def test_a_policy_that_the_kernel_refuses(bundle):
    process(bundle, scheduler={"policy": "SCHED_DEADLINE", "runtime": 10, "deadline": 5, "period": 1})
    refused(bundle, "set the scheduler to policy 6: Invalid argument (1024 ns <= runtime <= deadline <= period is needed)")


def test_deadline_needs_all_cpus(bundle):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU is all")
    bundle.edit(lambda c: c["linux"]["resources"].update(cpu={"cpus": str(min(os.sched_getaffinity(0)))}))
    process(bundle, scheduler={"policy": "SCHED_DEADLINE", "runtime": 5000000, "deadline": 10000000, "period": 20000000})
    refused(bundle, "linux.resources.cpu.cpus may leave none out")


@pytest.mark.parametrize("name,value", [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)])
def test_io_priority(bundle, name, value):
    process(bundle, ioPriority={"class": name, "priority": 5})
    bundle.args("busybox", "ionice", "-p", "1")
    out = bundle.hull("run", C1).stdout.strip()
    assert out == {1: "realtime: prio 5", 2: "best-effort: prio 5", 3: "idle"}[value]


# ---- CPUs ------------------------------------------------------------------------------------------------------------


def cpus(text):
    out = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        out |= set(range(int(first), int(last or first) + 1))
    return out


def first_line(bundle):
    bundle.wait_for_log(C1, "\n")
    return bundle.log(C1)


def test_the_callers_cpus_are_not_the_containers(bundle):
    """A runtime that was called on one CPU does not leave the container there: init and exec."""
    every = os.sched_getaffinity(0)
    bundle.sh("grep Cpus_allowed_list /proc/self/status; exec sleep 100")
    os.sched_setaffinity(0, {min(every)})
    try:
        bundle.create(C1)
        bundle.hull("start", C1)
        second = bundle.hull("exec", C1, "grep", "Cpus_allowed_list", "/proc/self/status").stdout
    finally:
        os.sched_setaffinity(0, every)
    for text in (first_line(bundle), second):
        assert every <= cpus(text.split(":")[1])


@pytest.mark.skipif(os.cpu_count() < 2, reason="one CPU is no choice")
def test_exec_cpu_affinity(bundle):
    """Not of the init; of an exec from the container's process, and of one from a process of its own."""
    process(bundle, execCPUAffinity={"initial": "0", "final": "1"})
    bundle.sh("grep Cpus_allowed_list /proc/self/status; exec sleep 100")
    bundle.create(C1)
    bundle.hull("start", C1)
    show = ["grep", "Cpus_allowed_list", "/proc/self/status"]
    assert len(cpus(first_line(bundle).split(":")[1])) > 1
    assert cpus(bundle.hull("exec", C1, *show).stdout.split(":")[1]) == {1}
    own = {"cwd": "/", "args": ["/bin/" + show[0], *show[1:]], "user": {"uid": 0, "gid": 0}}
    file = bundle.path / "process.json"
    for affinity, possible in (({"final": "0"}, [{0}]), ({"initial": "1"}, [{1}, cpus("0-1")]), ({"initial": "", "final": ""}, None)):
        file.write_text(json.dumps({**own, "execCPUAffinity": affinity}))
        seen = cpus(bundle.hull("exec", "--process", file, C1).stdout.split(":")[1])
        assert seen in possible if possible else len(seen) > 1
    for affinity, why in (({"initial": "5000"}, "process.execCPUAffinity.initial"), ({"final": "5000"}, "process.execCPUAffinity.final")):
        file.write_text(json.dumps({**own, "execCPUAffinity": affinity}))
        done = bundle.hull("exec", "--process", file, C1, check=False)
        assert done.returncode == 255 and why in said(done) and "Invalid argument" in said(done)


# ---- security modules ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not has_apparmor(), reason="no AppArmor")
def test_apparmor_profiles(bundle):
    bundle.args("cat", "/proc/self/attr/current")
    process(bundle, apparmorProfile="unconfined")
    assert bundle.hull("run", C1).stdout.strip() == "unconfined"
    process(bundle, apparmorProfile="no-such-profile")
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and "no-such-profile" in said(done) and "AppArmor" in said(done)


@pytest.mark.skipif(has_apparmor(), reason="there is AppArmor")
def test_an_apparmor_profile_without_apparmor(bundle):
    process(bundle, apparmorProfile="some-profile")
    refused(bundle, 'process.apparmorProfile: "some-profile" was asked for, and AppArmor is not enabled')
    process(bundle, apparmorProfile="unconfined")  # which is what it is anyhow
    bundle.args("true")
    bundle.hull("run", C1)


@pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="there is SELinux")
def test_a_selinux_label_without_selinux(bundle):
    process(bundle, selinuxLabel="system_u:system_r:container_t:s0")
    refused(bundle, 'process.selinuxLabel: "system_u:system_r:container_t:s0" was asked for, and SELinux is not enabled')


# ---- terminal --------------------------------------------------------------------------------------------------------


def test_console_size(bundle):
    process(bundle, terminal=True, consoleSize={"height": 33, "width": 111})
    bundle.sh("stty size; exec sleep 100")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(bundle.path / "console.sock"))
        server.listen(1)
        bundle.create(C1, "--console-socket", bundle.path / "console.sock")
        with server.accept()[0] as conn:
            _, [fd], _, _ = socket.recv_fds(conn, 4096, 1)
    bundle.hull("start", C1)
    output = b""
    while not output.endswith(b"\n"):
        output += os.read(fd, 1024)
    os.close(fd)
    assert output.split() == [b"33", b"111"]


def test_console_size_without_a_terminal_is_ignored(bundle):
    process(bundle, terminal=False, consoleSize={"height": 33, "width": 111})
    bundle.args("true")
    bundle.hull("run", C1)


# ---- the rest of linux that is the process's -------------------------------------------------------------------------


def test_personality(bundle):
    bundle.args("busybox", "uname", "-m")
    machine = os.uname().machine
    bundle.edit(lambda c: c["linux"].update(personality={"domain": "LINUX"}))
    assert bundle.hull("run", C1).stdout.strip() == machine
    bundle.edit(lambda c: c["linux"].update(personality={"domain": "LINUX32"}))
    assert bundle.hull("run", C1).stdout.strip() != machine or machine not in ("x86_64", "aarch64")
    bundle.args("sleep", "100")
    bundle.create(C1)
    bundle.hull("start", C1)
    assert bundle.hull("exec", C1, "busybox", "uname", "-m").stdout.strip() != machine


def policies(text):
    return {line.split()[1] for line in text.splitlines() if line.strip()}


HAS_NUMA = os.path.exists("/proc/self/numa_maps")


@pytest.mark.skipif(not HAS_NUMA, reason="a kernel without NUMA")
@pytest.mark.parametrize("policy,shown", [
    ({"mode": "MPOL_DEFAULT"}, "default"),
    ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "bind=relative:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "bind=balancing:0"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "interleave:0"),
    ({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}, "weighted interleave:0"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
    ({"mode": "MPOL_PREFERRED"}, "local"),
    ({"mode": "MPOL_LOCAL"}, "local"),
])
def test_memory_policy(bundle, policy, shown):
    bundle.edit(lambda c: c["linux"].update(memoryPolicy=policy))
    bundle.args("cat", "/proc/self/numa_maps")
    done = bundle.hull("run", C1, check=False)
    if done.returncode and "does not have the mode" in said(done):
        pytest.skip("a mode that this kernel does not have")
    assert done.returncode == 0, said(done)
    assert all(line.split(" ", 1)[1].startswith(shown) for line in done.stdout.splitlines()), done.stdout


@pytest.mark.skipif(not HAS_NUMA, reason="a kernel without NUMA")
def test_memory_policy_of_exec(bundle):
    bundle.edit(lambda c: c["linux"].update(memoryPolicy={"mode": "MPOL_INTERLEAVE", "nodes": "0"}))
    bundle.args("sleep", "100")
    bundle.create(C1)
    bundle.hull("start", C1)
    assert "interleave:0" in bundle.hull("exec", C1, "cat", "/proc/self/numa_maps").stdout


@pytest.mark.parametrize("policy,why", [
    ({"mode": "MPOL_BIND"}, "linux.memoryPolicy.nodes: the mode needs at least one node"),
    ({"mode": "MPOL_LOCAL", "nodes": "0"}, "linux.memoryPolicy.nodes: the mode takes no nodes"),
    ({"mode": "MPOL_X"}, "linux.memoryPolicy.mode"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_X"]}, "linux.memoryPolicy.flags[0]"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}, "exclude each other"),
    ({"mode": "MPOL_BIND", "nodes": "x"}, "linux.memoryPolicy: nodes"),
    ({"mode": "MPOL_BIND", "nodes": "1000"}, "linux.memoryPolicy"),
    ({}, "linux.memoryPolicy.mode: is missing"),
])
def test_memory_policies_that_are_none(bundle, policy, why):
    bundle.edit(lambda c: c["linux"].update(memoryPolicy=policy))
    refused(bundle, why)


@pytest.mark.skipif(any(" - resctrl " in line for line in open("/proc/self/mountinfo", encoding="utf-8")), reason="there is resctrl")
def test_intel_rdt_without_resctrl(bundle):
    """The rest of it is in tests/unit/oci/test_intel_rdt.c, on directories that look like resctrl."""
    bundle.edit(lambda c: c["linux"].update(intelRdt={"closID": "guaranteed"}))
    refused(bundle, "linux.intelRdt: no resctrl file system is mounted")
    bundle.edit(lambda c: c["linux"].update(intelRdt={"memBwSchema": "L3:0=1"}))
    refused(bundle, "linux.intelRdt.memBwSchema")
