# SPDX-License-Identifier: Apache-2.0
"""The process of a container: what runs, as whom, with which rights, and in which limits."""
import errno
import glob
import json
import os
import pathlib
import stat

import pytest

from crikit import FOREVER, IS_CGROUP_V2, RUNNING, cgroup_file, proc_status, refused, wait_for
from seccomp_agent import Agent

DEFAULT_CAPS = 0x00000000A80425FB
BOUNDING = int(pathlib.Path("/proc/self/status").read_text().split("CapBnd:\t")[1].split()[0], 16)
NET_ADMIN, SYS_ADMIN, NET_BIND = 1 << 12, 1 << 21, 1 << 10
SHOW = "cat /proc/self/status"


def shown(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def user(cri, **kw):
    """security with ids as Int64Value"""
    return {k: cri.api.Int64Value(value=v) if k in ("run_as_user", "run_as_group") else v for k, v in kw.items()}


# --- command, environment, directory ------------------------------------------------------------------


def test_command_and_args_of_image_and_request(cri):
    pod, image = cri.run(), cri.images.configured
    whole = pod.container([], image=image)
    assert whole.lines(4)[:3] == ["cmd of the image", "/home/app", "uid=1000(app) gid=1000(app) groups=1000(app),5000(extra),5001(more)"]
    assert pod.container([], image=image, args=["echo args replace cmd"]).output() == "args replace cmd\n"
    assert pod.container(["/bin/echo", "command replaces both"], image=image).output() == "command replaces both\n"
    assert pod.container(["/bin/echo", "a"], args=["b", "c d"], image=image).output() == "a b c d\n"
    with refused("INVALID_ARGUMENT", "entrypoint", "cmd"):
        pod.container([], image=cri.images.bare)
    assert pod.container([], args=["/bin/echo", "x"], image=cri.images.bare).output() == "x\n"


def test_environment(cri):
    kv = cri.api.KeyValue
    pod = cri.run(network="pod", hostname="the-name")
    envs = [kv(key="A", value=b"1"), kv(key="FROM_IMAGE", value=b"overridden"), kv(key="EMPTY", value=b""),
            kv(key="LINES", value="ü\nb=c".encode())]
    out = pod.container(["/bin/env", "-0"], image=cri.images.configured, envs=envs).output()
    env = dict(e.split("=", 1) for e in out.rstrip("\n").split("\0") if e)
    assert env["PATH"] == "/bin" and env["HOSTNAME"] == "the-name"
    assert (env["A"], env["FROM_IMAGE"], env["EMPTY"], env["LINES"]) == ("1", "overridden", "", "ü\nb=c")
    assert env["HOME"] == "/home/app"
    plain = pod.shell("echo $PATH $HOME").split()
    assert plain == ["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/root"]


def test_working_directory(cri):
    pod = cri.run()
    assert pod.shell("pwd") == "/"
    assert pod.shell("pwd", working_dir="/etc") == "/etc"
    assert pod.shell("pwd; ls -ld . | cut -c1-10", working_dir="/made/on/demand") == "/made/on/demand\ndrwxr-xr-x"
    with refused("INVALID_ARGUMENT", "working_dir"):
        pod.container(working_dir="relative")


def test_stdin_is_dev_null_and_a_terminal_is_one(cri):
    pod = cri.run()
    assert pod.shell("readlink /proc/self/fd/0; cat | wc -c") == "/dev/null\n0"
    c = pod.container("tty; test -t 1 && echo terminal; echo error >&2; echo $TERM", tty=True)
    out = c.output().replace("\r", "")
    assert out.splitlines() == ["/dev/pts/0", "terminal", "error", "xterm"] or out.splitlines()[1:] == ["terminal", "error", "xterm"]
    assert {stream for _, stream, _, _ in c.records()} == {"stdout"}


def test_no_descriptors_leak_into_the_container(cri):
    c = cri.run(network="pod", userns=100000).container(FOREVER)
    assert sorted(os.listdir(f"/proc/{c.pid}/fd"), key=int)[:3] == ["0", "1", "2"]
    extra = [os.readlink(f"/proc/{c.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{c.pid}/fd") if int(fd) > 2 and int(fd) != 10]
    assert extra == []
    assert c.sh("ls /proc/self/fd") == "0\n1\n2\n3"


# --- user and groups ----------------------------------------------------------------------------------


@pytest.mark.parametrize("userns", [None, 700000])
def test_user_and_group(cri, userns):
    pod = cri.run(userns=userns)
    first = userns or 0
    for kw, want in (({}, "0 0 0"), (user(cri, run_as_user=1234), "1234 0 0"),
                     (user(cri, run_as_user=1000), "1000 1000 1000 5000 5001"),
                     (user(cri, run_as_user=1000, run_as_group=77), "1000 77 77 5000 5001"),
                     (user(cri, run_as_username="app"), "1000 1000 1000 5000 5001"),
                     (user(cri, run_as_username="other", run_as_group=9), "1001 9 9 5001")):
        c = pod.container("id -u; id -g; id -G; " + FOREVER, security=kw)
        uid, gid, groups = c.lines(3)
        assert f"{uid} {gid} {groups}" == want, kw
        u = c.status().user.linux
        assert (u.uid, u.gid) == (int(uid), int(gid))
        assert {u.gid, *u.supplemental_groups} == {int(g) for g in groups.split()}
        assert proc_status(c.pid)["Uid"].split() == [str(first + int(uid))] * 4
        c.remove()


def test_supplemental_groups_merge_and_strict(cri):
    pod, a = cri.run(), cri.api
    merge = user(cri, run_as_user=1000, supplemental_groups=[4242, 5001], supplemental_groups_policy=a.Merge)
    strict = {**merge, "supplemental_groups_policy": a.Strict}
    assert set(pod.shell("id -G", security=merge).split()) == {"1000", "5000", "5001", "4242"}
    assert set(pod.shell("id -G", security=strict).split()) == {"1000", "4242", "5001"}
    assert set(pod.shell("id -G", security=user(cri, run_as_user=1000, supplemental_groups_policy=a.Strict)).split()) == {"1000"}


def test_users_that_cannot_be(cri):
    pod = cri.run(userns=700000)
    for kw, word in ((user(cri, run_as_user=65536), "65536"), (user(cri, run_as_username="nobody-knows"), "nobody-knows"),
                     (user(cri, run_as_user=-1), "-1"), (user(cri, run_as_user=2**32 - 1), str(2**32 - 1)),
                     (user(cri, run_as_group=5), "run_as_group"), (user(cri, run_as_user=1, run_as_group=70000), "70000"),
                     (user(cri, run_as_user=1, run_as_username="app"), "both"),
                     (user(cri, supplemental_groups=[70000]), "70000"), (user(cri, supplemental_groups=[-5]), "-5")):
        with refused("INVALID_ARGUMENT", word):
            pod.container(security=kw)
    assert cri.containers() == []


def test_the_image_user_with_groups_of_the_image(cri):
    c = cri.run().container(["/bin/sh", "-c", "id -u; id -G; cat own; " + FOREVER], image=cri.images.configured)
    assert c.lines(3) == ["1000", "1000 5000 5001", "of the user"]


# --- rights -------------------------------------------------------------------------------------------


def caps_of(pod, caps=None, **kw):
    a = pod.api
    security = {"capabilities": a.Capability(**caps), **kw} if caps else kw
    return {k: int(v, 16) for k, v in shown(pod.shell(SHOW, security=security)).items() if k.startswith("Cap")}


def test_capabilities(cri):
    pod = cri.run()
    got = caps_of(pod)
    assert got == {"CapInh": 0, "CapPrm": DEFAULT_CAPS, "CapEff": DEFAULT_CAPS, "CapBnd": DEFAULT_CAPS, "CapAmb": 0}
    add, drop = "add_capabilities", "drop_capabilities"
    for caps, want in (({add: ["NET_ADMIN"]}, DEFAULT_CAPS | NET_ADMIN), ({add: ["CAP_NET_ADMIN"]}, DEFAULT_CAPS | NET_ADMIN),
                       ({drop: ["ALL"]}, 0), ({drop: ["ALL"], add: ["NET_ADMIN"]}, NET_ADMIN),
                       ({drop: ["NET_BIND_SERVICE"]}, DEFAULT_CAPS & ~NET_BIND),
                       ({add: ["ALL"], drop: ["SYS_ADMIN"]}, BOUNDING & ~SYS_ADMIN), ({add: ["ALL"]}, BOUNDING)):
        got = caps_of(pod, caps)
        assert got["CapEff"] == got["CapBnd"] == want and got["CapInh"] == got["CapAmb"] == 0, caps
    ambient = caps_of(pod, {"add_ambient_capabilities": ["NET_BIND_SERVICE"]}, **user(cri, run_as_user=1000))
    assert ambient["CapAmb"] == ambient["CapEff"] == NET_BIND
    assert caps_of(pod, **user(cri, run_as_user=1000))["CapEff"] == 0
    with refused("INVALID_ARGUMENT", "add_capabilities", "NOT_ONE"):
        caps_of(pod, {add: ["NOT_ONE"]})


def test_privileged(cri):
    before = set(os.listdir("/dev"))
    pod = cri.run(security={"privileged": True})
    c = pod.container(FOREVER, security={"privileged": True})
    st = shown(c.sh(SHOW))
    assert int(st["CapEff"], 16) == BOUNDING and st["Seccomp"] == "0"
    c.sh("mount -t tmpfs tmpfs /tmp && echo 1 > /proc/sys/vm/overcommit_memory 2>/dev/null; true")
    assert "rw" in c.sh("grep ' /sys sysfs' /proc/mounts").split()[3].split(",")
    own = {"console", "ptmx", "stdin", "stdout", "stderr"}
    kinds = {name: os.lstat(f"/dev/{name}").st_mode for name in before & set(os.listdir("/dev")) - own}
    assert {n for n, m in kinds.items() if stat.S_ISCHR(m) or stat.S_ISBLK(m)} <= set(c.sh("ls /dev").split())


def test_no_new_privileges(cri):
    pod = cri.run()
    assert shown(pod.shell(SHOW))["NoNewPrivs"] == "0"
    assert shown(pod.shell(SHOW, security={"no_new_privs": True}))["NoNewPrivs"] == "1"


def test_read_only_root(cri):
    pod = cri.run()
    c = pod.container(FOREVER, security={"readonly_rootfs": True})
    assert c.exec("touch /x")[0] != 0 and c.exec("touch /etc/hostname")[0] != 0
    c.sh("touch /dev/shm/x")
    assert pod.container(FOREVER).exec("touch /x")[0] == 0


def test_masked_and_readonly_paths(cri):
    pod = cri.run()
    c = pod.container(FOREVER, security={"masked_paths": ["/proc/kcore", "/proc/scsi", "/data", "/no/such"],
                                         "readonly_paths": ["/proc/sys", "/proc/sysrq-trigger", "/tmp"]})
    assert c.sh("cat /proc/kcore | wc -c; ls -A /proc/scsi /data | grep -v : | wc -w") == "0\n0"
    for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/domainname", "/tmp/x"):
        assert c.exec(f"echo h > {path}")[0] != 0, path
    # Procmount "Unmasked" is two empty lists (KEP-4265).
    d = pod.container(FOREVER)
    assert d.spec["linux"]["maskedPaths"] == [] and d.sh("cat /data/file") == "of the image"


def test_default_seccomp_filters(cri):
    pod, a = cri.run(), cri.api
    default = {"seccomp": a.SecurityProfile(profile_type=a.SecurityProfile.RuntimeDefault)}
    unconfined = {"seccomp": a.SecurityProfile(profile_type=a.SecurityProfile.Unconfined)}
    assert shown(pod.shell(SHOW, security=default))["Seccomp"] == "2"
    assert shown(pod.shell(SHOW, security=unconfined))["Seccomp"] == "0"
    code = "unshare -U true && echo made || echo refused"
    assert pod.shell(code, security=default) == "refused"
    assert pod.shell(code, security=unconfined) == "made"


def test_localhost_seccomp_profiles(cri, tmp_path):
    pod, a = cri.run(), cri.api

    def localhost(path):
        return {"seccomp": a.SecurityProfile(profile_type=a.SecurityProfile.Localhost, localhost_ref=str(path))}

    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                                   "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}))
    c = pod.container(FOREVER, security=localhost(profile))
    code, _, err = c.exec("touch /f; mkdir /d")
    assert code != 0 and b"No space left" in err
    for path, code, word in ((tmp_path / "missing.json", "INVALID_ARGUMENT", "missing.json"), ("relative.json", "INVALID_ARGUMENT", "absolute"),
                             ("/etc/passwd", "INVALID_ARGUMENT", "/etc/passwd")):
        with refused(code, "seccomp", word):
            pod.container(security=localhost(path))
    with refused("INVALID_ARGUMENT", "localhost_ref"):
        pod.container(security={"seccomp": a.SecurityProfile(profile_type=a.SecurityProfile.Localhost)})
    with refused("INVALID_ARGUMENT", "localhost_ref"):
        pod.container(security={"seccomp": a.SecurityProfile(profile_type=a.SecurityProfile.Unconfined, localhost_ref="/x")})


def test_a_localhost_profile_with_an_agent(cri, tmp_path):
    """The listener of each process goes to the agent that the profile names."""
    pod, a = cri.run(), cri.api
    agent = Agent(tmp_path / "agent.sock", errno.EXDEV)
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(tmp_path / "agent.sock"), "listenerMetadata": "m",
                                   "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}))
    try:
        security = {"seccomp": a.SecurityProfile(profile_type=a.SecurityProfile.Localhost, localhost_ref=str(profile))}
        c = pod.container(FOREVER, security=security)
        code, _, err = c.exec("mkdir /d")
        assert code != 0 and b"cross-device" in err
        first, second = agent.states
        assert first["state"]["id"] == second["state"]["id"] == c.id and first["metadata"] == "m"
        assert (first["state"]["status"], second["state"]["status"]) == ("created", "running")
        assert first["pid"] == first["state"]["pid"] == second["state"]["pid"] != second["pid"]
    finally:
        agent.stop()


def test_apparmor_without_apparmor(cri):
    if os.path.exists("/sys/module/apparmor/parameters/enabled"):
        pytest.skip("AppArmor is there")
    a, pod = cri.api, cri.run()
    p = a.SecurityProfile
    assert pod.shell("echo ok", security={"apparmor": p(profile_type=p.RuntimeDefault)}) == "ok"
    with refused("INVALID_ARGUMENT", "apparmor", "mine"):
        pod.container(security={"apparmor": p(profile_type=p.Localhost, localhost_ref="mine")})


def test_devices(cri, tmp_path):
    d, pod = cri.api.Device, cri.run()
    c = pod.container(FOREVER)
    assert c.sh("cd /dev; ls") == "\n".join(sorted(c.sh("cd /dev; ls").split()))
    for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin", "stdout", "stderr", "pts", "shm"):
        assert c.exec(f"test -e /dev/{name}")[0] == 0 or name in ("stdin", "stdout", "stderr"), name
    assert c.exec("test -e /dev/kmsg")[0] == 1
    assert c.exec("mknod /dev/k c 1 11 && head -c1 /dev/k")[0] != 0

    c = pod.container(FOREVER, devices=[d(host_path="/dev/zero", container_path="/dev/null-of-mine", permissions="r")])
    assert c.sh("stat -c '%t %T' /dev/null-of-mine; head -c3 /dev/null-of-mine | wc -c") == "1 5\n3"
    for path, code, word in (("/dev/absent", "INVALID_ARGUMENT", "/dev/absent"), ("/etc/passwd", "INVALID_ARGUMENT", "no device"),
                             ("/dev/../etc", "INVALID_ARGUMENT", "clean")):
        with refused(code, "config.devices[0]", word):
            pod.container(devices=[d(host_path=path, container_path="/dev/x", permissions="rwm")])
    with refused("INVALID_ARGUMENT", "permissions"):
        pod.container(devices=[d(host_path="/dev/null", container_path="/dev/x", permissions="rwx")])
    assert tmp_path.exists()


def test_a_device_in_a_user_namespace(cri):
    d = cri.api.Device
    c = cri.run(network="pod", userns=700000).container(
        FOREVER, devices=[d(host_path="/dev/zero", container_path="/dev/mine", permissions="rw")])
    assert c.sh("head -c3 /dev/mine | wc -c; head -c3 /dev/urandom | wc -c; echo x > /dev/null") == "3\n3"


# --- resources ----------------------------------------------------------------------------------------


def test_limits_stand_in_the_cgroup(cri):
    c = cri.run().container(FOREVER, resources={
        "memory_limit_in_bytes": 64 << 20, "memory_swap_limit_in_bytes": 80 << 20, "cpu_period": 50000, "cpu_quota": 20000, "cpu_shares": 512, "cpuset_cpus": "0"})
    if IS_CGROUP_V2:
        pytest.skip("names of cgroup v1; test_cgroup_v2.py has the others")
    assert c.cgroup("memory", "memory.limit_in_bytes") == str(64 << 20)
    assert c.cgroup("memory", "memory.memsw.limit_in_bytes") == str(80 << 20)
    assert c.cgroup("cpu", "cpu.cfs_period_us") == "50000" and c.cgroup("cpu", "cpu.cfs_quota_us") == "20000"
    assert c.cgroup("cpu", "cpu.shares") == "512" and c.cgroup("cpuset", "cpuset.cpus") == "0"
    path = str(cgroup_file(c.pid, "memory", ""))
    assert f"/{cri.hulld.tag}/" in path and c.id in os.path.basename(path.rstrip("/"))
    r = c.status().resources.linux
    assert (r.memory_limit_in_bytes, r.cpu_period, r.cpu_quota, r.cpu_shares, r.cpuset_cpus) == (64 << 20, 50000, 20000, 512, "0")
    for controller in ("freezer", "pids", "devices", "cpuacct", "blkio", "hugetlb"):
        if os.path.exists(f"/sys/fs/cgroup/{controller}/cgroup.procs"):
            assert f"/{cri.hulld.tag}/" in str(cgroup_file(c.pid, controller, "")), controller
    assert "c 1:3" in c.cgroup("devices", "devices.list")


def test_unified_sets_cgroup_files(cri):
    pod = cri.run()
    with refused("INVALID_ARGUMENT", "unified"):
        pod.container(resources={"unified": {"../../memory.max": "1"}})
    if not IS_CGROUP_V2:
        with pytest.raises(Exception):
            pod.container(resources={"unified": {"memory.high": "1000000"}})
    assert cri.containers() == []


def test_the_oom_killer_is_the_reason(cri):
    c = cri.run().container("echo begin; tail /dev/zero; echo $?", resources={"memory_limit_in_bytes": 16 << 20})
    st = c.wait()
    # The shell outlives its child: the container ended by itself.
    assert st.reason in ("OOMKilled", "Completed")
    c = cri.run().container(["tail", "/dev/zero"], resources={"memory_limit_in_bytes": 16 << 20})
    st = c.wait()
    assert (st.exit_code, st.reason) == (137, "OOMKilled")


def test_a_kill_is_no_oom_kill(cri):
    c = cri.run().container(FOREVER, resources={"memory_limit_in_bytes": 64 << 20})
    os.kill(c.pid, 9)
    st = c.wait()
    assert (st.exit_code, st.reason) == (137, "Error")


def test_oom_score(cri):
    own = int(pathlib.Path("/proc/self/oom_score_adj").read_text())
    pod = cri.run()
    assert pod.shell("cat /proc/self/oom_score_adj", resources={"oom_score_adj": 900, "cpu_shares": 2}) == "900"
    # restrict_oom_score_adj: clamped to what is permitted.
    low = int(pod.shell("cat /proc/self/oom_score_adj", resources={"oom_score_adj": -998, "cpu_shares": 2}))
    assert low in (own, -998)
    # The score is set before the process becomes undumpable, for users and user namespaces too.
    mapped = cri.run(network="pod", userns=700000)
    assert mapped.shell("cat /proc/self/oom_score_adj", resources={"oom_score_adj": 900}, security=user(cri, run_as_user=1000)) == "900"


def test_an_oom_score_that_is_not_permitted_is_an_error_unless_restricted(make_cri):
    own = int(pathlib.Path("/proc/self/oom_score_adj").read_text())
    try:
        pathlib.Path("/proc/self/oom_score_adj").write_text(str(own - 1))
        pathlib.Path("/proc/self/oom_score_adj").write_text(str(own))
        pytest.skip("any score is permitted here")
    except PermissionError:
        pass
    cri = make_cri({"restrict_oom_score_adj": False})
    pod = cri.run()
    with pytest.raises(Exception) as caught:
        pod.container(resources={"oom_score_adj": -998})
    assert "oom_score_adj" in str(caught.value) and "restrict_oom_score_adj" in str(caught.value)


@pytest.mark.parametrize("resources, word", [
    ({"cpu_period": 5}, "cpu_period"), ({"cpu_quota": 5}, "cpu_quota"), ({"cpu_shares": -1}, "cpu_shares"),
    ({"memory_limit_in_bytes": -2}, "memory_limit"), ({"oom_score_adj": 1001}, "oom_score_adj"),
    ({"cpuset_cpus": "0-99999"}, "cpuset"), ({"cpuset_cpus": "a"}, "cpu.cpus"), ({"cpuset_mems": "77"}, "cpuset")])
def test_resources_that_cannot_be(cri, resources, word):
    with pytest.raises(Exception) as caught:
        cri.run().container(resources=resources)
    assert word in str(caught.value) and cri.containers() == []


def test_the_cgroup_goes_when_the_container_is_removed(cri):
    c = cri.run().container("(sleep 1000 &) ; " + FOREVER)
    path = cgroup_file(c.pid, "memory", "")
    assert path.is_dir() and c.id in path.name
    c.remove()
    assert not path.exists()


def test_cgroup_parents(cri):
    parent = f"{cri.hulld.cgroup_parent}/parent-of-pod"
    pod = cri.run(cgroup_parent=parent)
    top = "/sys/fs/cgroup" if IS_CGROUP_V2 else "/sys/fs/cgroup/memory"
    assert str(cgroup_file(pod.container(FOREVER).pid, "memory", "")).startswith(f"{top}{parent}/")
    for bad in ("relative/path", "/a/../../b", "/a/./b", "..", "../x.slice"):
        with refused("INVALID_ARGUMENT", "cgroup_parent"):
            cri.run(cgroup_parent=bad)
    assert len(cri.pods()) == 1


def test_a_pod_without_a_cgroup_parent_cleans_up_its_own(cri):
    pod = cri.run(cgroup_parent="")
    path = cgroup_file(pod.container(FOREVER).pid, "memory", "")
    assert pod.id in str(path) and path.is_dir()
    pod.remove()
    assert not glob.glob(f"/sys/fs/cgroup/{'**' if IS_CGROUP_V2 else '*'}/hull/{pod.id}*", recursive=True)


def test_process_ends_in_zombies_for_nobody(cri):
    pod = cri.run(pid="pod")
    c = pod.container(FOREVER)
    c.sh("for i in 1 2 3 4 5; do (sh -c 'sleep 0.02 & exit' &); done; sleep 0.1")
    wait_for(lambda: "Z" not in c.sh("cat /proc/[0-9]*/stat | cut -d' ' -f3"))
    assert c.status().state == RUNNING
