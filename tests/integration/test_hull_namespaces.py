# SPDX-License-Identifier: Apache-2.0
"""Namespaces, names, clocks and sysctls of the OCI specification, as they are inside."""
import os
import pathlib
import subprocess
import time

import pytest

from bundles import C1, bundle, pytestmark, said  # noqa: F401 pylint: disable=unused-import

FILES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time"}
SHOW = "; ".join(f"readlink /proc/self/ns/{f}" for f in FILES.values())


def namespaces(bundle, **kinds):
    """kind=None: none, True: a new one, a path: that one."""
    def change(c):
        there = {n["type"]: n for n in c["linux"]["namespaces"]}
        for kind, how in kinds.items():
            there.pop(kind, None)
            if how:
                there[kind] = {"type": kind, **({} if how is True else {"path": str(how)})}
        c["linux"]["namespaces"] = list(there.values())
    bundle.edit(change)


def shown(bundle):
    bundle.sh(SHOW)
    return dict(zip(FILES, bundle.hull("run", C1).stdout.split()))


def ours():
    return {kind: os.readlink(f"/proc/self/ns/{file}") for kind, file in FILES.items()}


def refused(bundle, why):
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and why in said(done), said(done)
    assert not (bundle.root / C1).exists()


@pytest.fixture
def other(tmp_path):
    """A process in new namespaces of every kind but the user's."""
    with subprocess.Popen(["unshare", "-m", "-n", "-i", "-u", "-C", "-p", "-f", "-T", "--boottime", "1000", "sleep", "1000"]) as p:
        child = None
        while child is None:
            text = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(p.pid)], capture_output=True, text=True, check=False).stdout
            child = next((int(line.split()[0]) for line in text.splitlines() if line.split()[1] == "sleep"), None)
            time.sleep(0.02)
        yield child
        os.kill(child, 9)
        p.wait()


# ---- made, shared, joined --------------------------------------------------------------------------------------------


def test_new_ones(bundle):
    namespaces(bundle, cgroup=True, time=True)
    inside = shown(bundle)
    for kind, link in ours().items():
        assert inside[kind] != link, kind


LO = """cat /sys/class/net/lo/flags
nc -l -p 4321 -e echo heard &
for n in $(seq 100); do nc 127.0.0.1 4321 < /dev/null 2> /dev/null && break; sleep 0.05; done"""


@pytest.mark.parametrize("with_user", [False, True])
@pytest.mark.parametrize("cpus", ["all", "one"])
def test_the_loopback_interface_of_a_new_network_namespace_is_up(bundle, with_user, cpus):
    """Whoever makes the namespace: another processor meanwhile, or the init itself."""
    if with_user:
        namespaces(bundle, user=True)
        bundle.edit(lambda c: c["linux"].update({m: [{"containerID": 0, "hostID": 0, "size": 65536}]
                                                 for m in ("uidMappings", "gidMappings")}))
    bundle.sh(LO)
    here = os.sched_getaffinity(0)
    try:
        if cpus == "one":
            os.sched_setaffinity(0, {min(here)})
        flags, *heard = bundle.hull("run", C1).stdout.split()
    finally:
        os.sched_setaffinity(0, here)
    assert int(flags, 16) & 1 and heard == ["heard"]


def test_the_loopback_interface_of_a_joined_network_namespace_is_left_alone(bundle, other):
    namespaces(bundle, network=f"/proc/{other}/ns/net")
    bundle.sh("cat /sys/class/net/lo/flags")
    assert not int(bundle.hull("run", C1).stdout, 16) & 1


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def test_one_that_is_not_listed_is_the_runtimes(bundle, kind):
    bundle.edit(lambda c: c.pop("hostname", None))
    namespaces(bundle, cgroup=True, time=True)
    namespaces(bundle, **{kind: None})
    inside = shown(bundle)
    assert {k for k, link in ours().items() if inside[k] == link} == {kind}


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def test_joined_by_path(bundle, other, kind):
    bundle.edit(lambda c: c.pop("hostname", None))
    path = f"/proc/{other}/ns/{FILES[kind]}"
    theirs = os.readlink(path)
    namespaces(bundle, **{kind: path})
    inside = shown(bundle)
    assert inside[kind] == theirs
    assert all(inside[k] != theirs for k in inside if k != kind)


def test_a_container_joins_all_of_another(bundle):
    """As the containers of a pod do; the second one is in the first's namespaces, mounts apart."""
    kinds = ["pid", "network", "ipc", "uts"]
    bundle.args("sleep", "100")
    bundle.create(C1)
    bundle.hull("start", C1)
    pid = bundle.state(C1)["pid"]
    links = {k: os.readlink(f"/proc/{pid}/ns/{FILES[k]}") for k in kinds}
    bundle.edit(lambda c: c.pop("hostname", None))
    namespaces(bundle, **{k: f"/proc/{pid}/ns/{FILES[k]}" for k in kinds})
    bundle.sh(SHOW)
    second = dict(zip(FILES, bundle.hull("run", C1 + "-2").stdout.split()))
    assert {k: second[k] for k in kinds} == links
    bundle.sh("ps")
    assert "sleep 100" in bundle.hull("run", C1 + "-2").stdout


def test_exec_is_in_all_of_them(bundle):
    namespaces(bundle, cgroup=True, time=True)
    bundle.args("sleep", "100")
    bundle.create(C1)
    bundle.hull("start", C1)
    pid = bundle.state(C1)["pid"]
    inside = dict(zip(FILES, bundle.hull("exec", C1, "sh", "-c", SHOW).stdout.split()))
    assert inside == {k: os.readlink(f"/proc/{pid}/ns/{f}") for k, f in FILES.items()}


def test_wrong_namespaces(bundle, tmp_path):
    for change, why in (
            ([{"type": "pid"}, {"type": "pid"}], 'linux.namespaces: "pid" is there twice'),
            ([{"type": "mount"}, {"type": "net"}], 'linux.namespaces[1].type: "net" is not one of the known words'),
            ([{"type": "mount"}, {"type": "network", "path": "relative"}], '"relative", is not absolute'),
            ([{"type": "mount"}, {"type": "network", "path": "/no/such"}], 'open the network namespace "/no/such": No such file'),
            ([{"type": "mount"}, {"type": "network", "path": "/proc/self/ns/ipc"}], 'network namespace "/proc/self/ns/ipc": '),
            ([{"type": "mount"}, {"type": "network", "path": str(tmp_path)}], f'network namespace "{tmp_path}": '),
            ([{"path": "/proc/self/ns/ipc"}], "linux.namespaces[0].type: is missing"),
            ([], 'a container needs a mount namespace of its own (linux.namespaces has no "mount")')):
        bundle.edit(lambda c: c.pop("hostname", None))
        bundle.edit(lambda c: c["linux"].update(namespaces=change))
        refused(bundle, why)


def test_an_existing_mount_namespace_is_refused(bundle, other):
    """What the container mounts would stay behind in it, and pivot_root(2) would change the root of who lives there."""
    namespaces(bundle, mount=f"/proc/{other}/ns/mnt")
    refused(bundle, "linux.namespaces: a mount namespace that exists already cannot be joined")


def test_cgroup_namespace(bundle):
    bundle.args("cat", "/proc/self/cgroup")
    namespaces(bundle, cgroup=True)
    inside = bundle.hull("run", C1).stdout
    namespaces(bundle, cgroup=None)
    outside = bundle.hull("run", C1).stdout
    assert C1 not in inside and C1 in outside
    assert all(line.endswith(":/") for line in inside.splitlines() if line.split(":")[1] in ("memory", "pids", "cpu"))


# ---- names -----------------------------------------------------------------------------------------------------------


def test_hostname_and_domainname(bundle):
    bundle.edit(lambda c: c.update(hostname="mrsdalloway", domainname="foobarbaz.test"))
    bundle.sh("hostname; cat /proc/sys/kernel/domainname; busybox uname -n")
    assert bundle.hull("run", C1).stdout.split() == ["mrsdalloway", "foobarbaz.test", "mrsdalloway"]
    assert os.uname().nodename != "mrsdalloway"


def test_names_in_a_joined_namespace(bundle, other):
    """The specification: the container's namespace may be one that others use, who then see the name too."""
    namespaces(bundle, uts=f"/proc/{other}/ns/uts")
    bundle.edit(lambda c: c.update(hostname="joined"))
    bundle.args("hostname")
    assert bundle.hull("run", C1).stdout == "joined\n"
    assert subprocess.run(["nsenter", "-t", str(other), "-u", "hostname"], capture_output=True, text=True,
                          check=True).stdout == "joined\n"


def test_the_hosts_name_is_never_changed(bundle):
    name = os.uname().nodename
    namespaces(bundle, uts=None)
    bundle.edit(lambda c: c.update(hostname="gotcha"))
    refused(bundle, "hostname: is set, but the container has no uts namespace of its own")
    bundle.edit(lambda c: (c.pop("hostname"), c.update(domainname="gotcha")))
    refused(bundle, "domainname: is set, but the container has no uts namespace of its own")
    bundle.edit(lambda c: c.pop("domainname"))
    bundle.args("hostname")
    assert bundle.hull("run", C1).stdout.strip() == name == os.uname().nodename


# ---- time ------------------------------------------------------------------------------------------------------------


def test_time_offsets(bundle):
    namespaces(bundle, time=True)
    bundle.edit(lambda c: c["linux"].update(timeOffsets={"boottime": {"secs": 86400, "nanosecs": 5},
                                                         "monotonic": {"secs": 1000}}))
    bundle.sh("cat /proc/self/timens_offsets /proc/uptime")
    lines = bundle.hull("run", C1).stdout.split("\n")
    assert lines[0].split() == ["monotonic", "1000", "0"] and lines[1].split() == ["boottime", "86400", "5"]
    assert float(lines[2].split()[0]) > 86400 + time.clock_gettime(time.CLOCK_BOOTTIME) - 60


def test_exec_has_the_clocks_of_the_container(bundle):
    namespaces(bundle, time=True)
    bundle.edit(lambda c: c["linux"].update(timeOffsets={"boottime": {"secs": 864000}}))
    bundle.args("sleep", "100")
    bundle.create(C1)
    bundle.hull("start", C1)
    assert float(bundle.hull("exec", C1, "cat", "/proc/uptime").stdout.split()[0]) > 864000


def test_wrong_time_offsets(bundle, other):
    for offsets, how, why in (({"realtime": {"secs": 1}}, True, '"realtime" is neither monotonic nor boottime'),
                              ({"boottime": {"secs": 1}}, None, "linux.timeOffsets: needs a new time namespace"),
                              ({"boottime": {"secs": 1}}, f"/proc/{other}/ns/time", "linux.timeOffsets: needs a new time namespace"),
                              ({"boottime": {"nanosecs": 1000000000}}, True, "1000000000 is a second or more"),
                              ({"boottime": {"secs": "1"}}, True, "linux.timeOffsets.boottime.secs: wanted a whole number")):
        namespaces(bundle, time=how)
        bundle.edit(lambda c: c["linux"].update(timeOffsets=offsets))
        refused(bundle, why)


# ---- sysctls ---------------------------------------------------------------------------------------------------------


def test_sysctls(bundle):
    values = {"net.ipv4.ip_default_ttl": "77", "net.core.somaxconn": "256", "kernel.msgmax": "9000", "kernel.shm_rmid_forced": "1",
              "net.ipv4.ping_group_range": "5\t6", "fs.mqueue.msg_max": "20"}
    bundle.edit(lambda c: c["linux"].update(sysctl=values))
    paths = ["/proc/sys/" + name.replace(".", "/") for name in values]
    host = [pathlib.Path(p).read_text() for p in paths]
    bundle.args("cat", *paths)
    assert bundle.hull("run", C1).stdout.splitlines() == list(values.values())
    assert [pathlib.Path(p).read_text() for p in paths] == host


def test_a_domain_name_that_a_sysctl_contradicts(bundle):
    bundle.edit(lambda c: c.update(domainname="one.example"))
    bundle.edit(lambda c: c["linux"].update(sysctl={"kernel.domainname": "other.example"}))
    refused(bundle, '"other.example", and domainname is "one.example"')
    bundle.args("cat", "/proc/sys/kernel/domainname")
    for domainname in ("other.example", None):
        bundle.edit(lambda c, name=domainname: c.update(domainname=name) if name else c.pop("domainname"))
        assert bundle.hull("run", C1).stdout == "other.example\n"


@pytest.mark.parametrize("name,value,change,why", [
    ("kernel.panic", "1", {}, 'sysctl "kernel.panic"'),
    ("vm.swappiness", "1", {}, "vm.swappiness"),
    ("net.ipv4.ip_forward", "1", {"network": None}, "net.ipv4.ip_forward"),
    ("kernel.msgmax", "1", {"ipc": None}, "kernel.msgmax"),
    ("kernel.hostname", "mine", {}, 'sysctl "kernel.hostname" is set by the configured hostname alone'),
    ("net.ipv4.no_such_thing", "1", {}, "net.ipv4.no_such_thing"),
    ("net.../../kernel.panic", "1", {}, "linux.sysctl"),
    ("net.ipv4.ip_forward", 1, {}, "linux.sysctl.net.ipv4.ip_forward: wanted a string"),
])
def test_sysctls_that_are_the_hosts_or_none(bundle, name, value, change, why):
    host = pathlib.Path("/proc/sys/kernel/panic").read_text()
    namespaces(bundle, **change)
    bundle.edit(lambda c: c["linux"].update(sysctl={name: value}))
    refused(bundle, why)
    assert pathlib.Path("/proc/sys/kernel/panic").read_text() == host
