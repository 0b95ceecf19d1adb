# SPDX-License-Identifier: Apache-2.0
"""Which namespaces pods and containers have: as /proc shows them from the host."""
import os
import pathlib
import re

import pytest

from crikit import FOREVER, id_map, namespace_id, owner_of, proc_status, refused, wait_for

HIGH = 4170514432  # seen from a kubelet: past 2^31


def ns(pid, kind):
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


def host(kind):
    return ns("self", kind)


def test_a_pod_on_the_host_network_without_a_user_namespace(cri):
    c = cri.run().container(FOREVER)
    for kind in ("net", "user", "uts"):
        assert ns(c.pid, kind) == host(kind), kind
    for kind in ("ipc", "pid", "mnt"):
        assert ns(c.pid, kind) != host(kind), kind
    assert cri.hulld.netns() == []


@pytest.mark.parametrize("first", [100000, HIGH])
def test_the_user_namespace_is_first_and_owns_the_others(cri, first):
    pod = cri.run(network="pod", userns=first)
    c = pod.container(FOREVER)
    user = ns(c.pid, "user")
    assert user != host("user")
    for which in ("uid", "gid"):
        assert id_map(c.pid, which) == [(0, first, 65536)]
        assert c.sh(f"cat /proc/self/{which}_map").split() == ["0", str(first), "65536"]
    for kind in ("net", "ipc", "uts", "pid", "mnt", "cgroup"):
        assert ns(c.pid, kind) != host(kind), kind
        assert owner_of(f"/proc/{c.pid}/ns/{kind}") == user, kind
    assert owner_of(pod.netns) == user and namespace_id(pod.netns) == ns(c.pid, "net")
    assert re.fullmatch("cni-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", os.path.basename(pod.netns))
    assert proc_status(c.pid)["Uid"].split() == [str(first)] * 4 and c.sh("id -u; id -g") == "0\n0"
    assert pathlib.Path(f"/proc/{c.pid}/setgroups").read_text() == "allow\n"
    mounts = c.sh("cat /proc/self/mountinfo")
    assert re.search(r" /sys ro?,.* - sysfs ", mounts) or re.search(r" /sys .*ro.* - sysfs ", mounts)
    options = pod.status().linux.namespaces.options
    assert (options.network, options.userns_options.mode) == (cri.api.POD, cri.api.POD)
    assert options.userns_options.uids[0].host_id == first


def test_a_range_that_ends_with_the_last_id(cri):
    first = 2**32 - 1 - 65536
    c = cri.run(network="pod", userns=first).container(FOREVER, security={"run_as_user": cri.api.Int64Value(value=65535)})
    assert proc_status(c.pid)["Uid"].split()[0] == str(first + 65535) == "4294967294"


def test_uids_and_gids_may_differ(cri):
    a = cri.api
    u = a.UserNamespace(mode=a.POD, uids=cri.mappings(100000), gids=cri.mappings(500000, 1000))
    c = cri.run(network="pod", userns=u).container(FOREVER)
    assert id_map(c.pid) == [(0, 100000, 65536)] and id_map(c.pid, "gid") == [(0, 500000, 1000)]


def test_host_network_with_a_user_namespace(cri):
    pod = cri.run(network="node", userns=100000)
    c = pod.container(FOREVER)
    assert ns(c.pid, "net") == host("net") and ns(c.pid, "uts") == host("uts")
    assert ns(c.pid, "user") != host("user") and owner_of(f"/proc/{c.pid}/ns/ipc") == ns(c.pid, "user")
    # sysfs shows a network namespace that is not ours: the host's, read-only with all below it.
    assert c.sh("ls /sys/class/net | grep -x lo") == "lo"
    assert c.exec("echo 1 > /sys/kernel/uevent_helper; mkdir /sys/fs/cgroup/x")[0] != 0
    mounts = [line.split() for line in c.sh("cat /proc/self/mountinfo").splitlines()]
    below_sys = [m for m in mounts if m[4] == "/sys" or m[4].startswith("/sys/")]
    assert below_sys and all("ro" in m[5].split(",") for m in below_sys), below_sys


def test_no_address_and_no_name_of_the_host_network_is_changed(cri):
    before = os.uname().nodename
    pod = cri.run(network="node", hostname="other")
    assert pod.container(FOREVER).sh("hostname") == before == os.uname().nodename
    assert pod.ip == ""


def test_overlapping_ranges_are_refused_and_the_holder_is_named(cri):
    holder = cri.run(name="holder", network="node", userns=100000)
    for first in (100000, 100000 + 65535, 100000 - 65535):
        with refused("ALREADY_EXISTS", "holder"):
            cri.run(userns=first)
    cri.run(userns=100000 + 65536)
    cri.run(userns=100000 - 65536)
    holder.remove()
    cri.run(userns=100000)


def test_only_one_side_overlaps(cri):
    a = cri.api
    cri.run(name="holder", userns=100000)
    u = a.UserNamespace(mode=a.POD, uids=cri.mappings(400000), gids=cri.mappings(100000))
    with refused("ALREADY_EXISTS", "holder"):
        cri.run(userns=u)


def test_ranges_stay_claimed_over_a_restart_and_are_free_after_stop(cri):
    pod = cri.run(name="holder", userns=100000)
    cri.restart()
    with refused("ALREADY_EXISTS", "holder"):
        cri.run(userns=100000)
    pod.stop()
    cri.run(userns=100000)


def userns_cases(a):
    one = a.IDMapping(host_id=100000, container_id=0, length=65536)
    m = a.IDMapping
    return {
        "no uids": (a.UserNamespace(mode=a.POD, gids=[one]), "uids"),
        "no gids": (a.UserNamespace(mode=a.POD, uids=[one]), "gids"),
        "two ranges": (a.UserNamespace(mode=a.POD, uids=[one, m(host_id=0, container_id=70000, length=1)], gids=[one]),
                       "exactly one"),
        "root not mapped": (a.UserNamespace(mode=a.POD, uids=[m(host_id=1, container_id=1, length=9)], gids=[one]),
                            "container id 0"),
        "length 0": (a.UserNamespace(mode=a.POD, uids=[m(host_id=1)], gids=[one]), "length"),
        "past the end": (a.UserNamespace(mode=a.POD, uids=[m(host_id=2**32 - 10, length=100)], gids=[one]), "4294967294"),
        "CONTAINER": (a.UserNamespace(mode=a.CONTAINER, uids=[one], gids=[one]), "CONTAINER"),
        "TARGET": (a.UserNamespace(mode=a.TARGET, uids=[one], gids=[one]), "TARGET"),
        "unknown": (a.UserNamespace(mode=99, uids=[one], gids=[one]), "99"),
        "NODE with ranges": (a.UserNamespace(mode=a.NODE, uids=[one], gids=[one]), "NODE"),
    }


def test_every_other_user_namespace_is_refused_by_name(cri):
    for name, (u, word) in userns_cases(cri.api).items():
        with refused("INVALID_ARGUMENT", "userns_options", word):
            cri.run(name=name.replace(" ", "-"), userns=u)
    assert cri.pods() == [] and cri.leaks() == {}


@pytest.mark.parametrize("kind", ["pid", "ipc"])
def test_host_namespaces_do_not_go_with_a_user_namespace(cri, kind):
    with refused("INVALID_ARGUMENT", kind, "NODE"):
        cri.run(userns=100000, **{kind: "node"})


def test_userns_node_is_the_hosts(cri):
    c = cri.run(userns=cri.api.UserNamespace(mode=cri.api.NODE)).container(FOREVER)
    assert ns(c.pid, "user") == host("user")


def test_pid_of_each_container_or_one_for_the_pod(cri):
    a = cri.api
    pod = cri.run(pid="container")
    one, two = pod.container(FOREVER), pod.container(FOREVER)
    assert ns(one.pid, "pid") != ns(two.pid, "pid") and one.sh("cat /proc/1/comm") == "sh"

    shared = cri.run(pid="pod")
    one, two = shared.container(FOREVER), shared.container(FOREVER)
    assert ns(one.pid, "pid") == ns(two.pid, "pid") != host("pid")
    inside = two.sh(f"cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert inside.count("trap") >= 2  # each sees the other's
    # Its PID 1 is the pod's, so the end of a container takes nobody along, and orphans are reaped.
    one.sh("(sleep 0.05 &)")
    one.stop()
    assert two.sh("ls -d /proc/1") == "/proc/1"
    wait_for(lambda: two.sh("cat /proc/[0-9]*/stat | cut -d' ' -f3 | grep -c Z; true") == "0")

    target = pod.container(FOREVER)
    debug = pod.container(FOREVER, security={
        "namespace_options": a.NamespaceOption(network=a.NODE, pid=a.TARGET, target_id=target.id)})
    assert ns(debug.pid, "pid") == ns(target.pid, "pid")

    node = cri.run(pid="node").container(FOREVER)
    assert ns(node.pid, "pid") == host("pid")
    assert node.sh(f"readlink /proc/{os.getpid()}/exe; test -d /proc/{node.pid} && echo yes").endswith("yes")


def test_a_pid_target_must_be_a_running_container_of_the_pod(cri):
    a = cri.api
    pod, other = cri.run(), cri.run()
    stranger, ended = other.container(FOREVER), pod.container("exit 0")
    ended.wait()
    for target, code in ((stranger.id, "INVALID_ARGUMENT"), ("f" * 64, "INVALID_ARGUMENT"), ("", "INVALID_ARGUMENT"),
                         (ended.id, None)):
        options = a.NamespaceOption(network=a.NODE, pid=a.TARGET, target_id=target)
        with (refused(code, "target") if code else pytest.raises(Exception)):
            pod.container(FOREVER, security={"namespace_options": options})
    assert len(cri.containers()) == 2


def test_ipc_and_dev_shm_are_the_pods_or_the_nodes(cri):
    pod = cri.run()
    one, two = pod.container(FOREVER), pod.container(FOREVER)
    assert ns(one.pid, "ipc") == ns(two.pid, "ipc") != host("ipc")
    one.sh("echo x > /dev/shm/seen")
    assert two.sh("cat /dev/shm/seen") == "x" and not os.path.exists("/dev/shm/seen")
    assert two.sh("grep ' /dev/shm ' /proc/mounts | cut -d' ' -f3") == "tmpfs"
    assert int(two.sh("df -k /dev/shm | tail -1 | awk '{print $2}'")) == 65536
    assert cri.run().container(FOREVER).exec("test -e /dev/shm/seen")[0] == 1

    node = cri.run(ipc="node").container(FOREVER)
    assert ns(node.pid, "ipc") == host("ipc")
    name = f"hull-{cri.hulld.tag}"
    node.sh(f"echo y > /dev/shm/{name}")
    assert pathlib.Path(f"/dev/shm/{name}").read_text() == "y\n"
    os.unlink(f"/dev/shm/{name}")


def test_dev_shm_of_a_user_namespace_belongs_to_its_root(cri):
    c = cri.run(network="pod", userns=100000).container(FOREVER)
    assert c.sh("stat -c '%u %a' /dev/shm") == "0 1777"
    c.sh("echo x > /dev/shm/x; test -O /dev/shm/x")


def test_namespace_modes_that_make_no_sense(cri):
    a = cri.api
    for kw, word in (({"network": "target"}, "network"), ({"ipc": "target"}, "ipc"), ({"pid": "target"}, "pid"),
                     ({"network": "container"}, "network"), ({"ipc": "container"}, "ipc")):
        with refused("INVALID_ARGUMENT", "namespace_options." + word):
            cri.run(**kw)
    config = cri.config()
    config.linux.security_context.namespace_options.pid = 77
    with refused("INVALID_ARGUMENT", "namespace_options.pid", "77"):
        cri.run(config)
    assert a and cri.pods() == []


# --- the node's policy --------------------------------------------------------------------------------

BLOCKS = {"userns": {"blocks": [{"start": 1_000_000, "length": 65536 * 3}]}}


def test_always_gives_private_ranges_out_of_the_nodes_blocks(make_cri):
    cri = make_cri({**BLOCKS, "runtimes": {"default": {"userns": "always"}}})
    pods = [cri.run(network="pod") for _ in range(3)]
    firsts = {id_map(p.container(FOREVER).pid)[0][1] for p in pods}
    assert firsts == {1_000_000, 1_065_536, 1_131_072}
    st = pods[0].status().linux.namespaces.options.userns_options
    assert st.mode == cri.api.POD and st.uids[0].host_id in firsts
    assert "private range" in pods[0].info["userNamespace"]
    with refused("RESOURCE_EXHAUSTED"):
        cri.run(network="pod")
    pods[1].remove()
    cri.run(network="pod")
    # What the request says itself goes first.
    own = cri.run(network="pod", userns=500000).container(FOREVER)
    assert id_map(own.pid) == [(0, 500000, 65536)]


def test_always_says_why_a_pod_has_none(make_cri):
    cri = make_cri({**BLOCKS, "runtimes": {"default": {"userns": "always"}}})
    for kw, word in (({"network": "node"}, "network"), ({"network": "pod", "pid": "node"}, "pid"),
                     ({"network": "pod", "ipc": "node"}, "ipc"),
                     ({"network": "pod", "security": {"privileged": True}}, "privileged")):
        pod = cri.run(**kw)
        assert ns(pod.container(FOREVER).pid, "user") == host("user")
        assert "in spite of" in pod.info["userNamespace"] and word in pod.info["userNamespace"]


def test_always_maps_the_volumes_of_pods_that_know_nothing_of_it(make_cri, tmp_path):
    cri = make_cri({**BLOCKS, "runtimes": {"default": {"userns": "always"}}})
    (tmp_path / "f").write_text("x")
    os.chmod(tmp_path, 0o700)
    mount = cri.api.Mount(container_path="/v", host_path=str(tmp_path))
    c = cri.run(network="pod").container(FOREVER, mounts=[mount])
    assert c.sh("stat -c %u /v/f; echo y > /v/g") == "0"
    assert (tmp_path / "g").stat().st_uid == 0


def test_node_maps_all_pods_with_one_mapping(make_cri):
    mapping = [{"container_id": 0, "host_id": 2_000_000, "length": 65536}]
    cri = make_cri({"runtimes": {"default": {"userns": "node"}},
                    "userns": {"node_mapping": {"uids": mapping, "gids": mapping}}})
    pids = [cri.run(network="pod").container(FOREVER).pid for _ in range(2)]
    assert [id_map(p) for p in pids] == [[(0, 2_000_000, 65536)]] * 2
    assert ns(pids[0], "user") != ns(pids[1], "user")


def test_policies_are_of_runtime_handlers(make_cri):
    cri = make_cri({**BLOCKS, "runtimes": {"private": {"userns": "always", "userns_size": 1000}}})
    default = cri.run(network="pod")
    private = cri.run(network="pod", handler="private")
    assert ns(default.container(FOREVER).pid, "user") == host("user")
    assert id_map(private.container(FOREVER).pid)[0][2] == 1000
    assert private.status().runtime_handler == "private"
    with refused("INVALID_ARGUMENT", "runtime_handler", "absent"):
        cri.run(handler="absent")
    status = cri.runtime.Status(cri.api.StatusRequest())
    handlers = {h.name: h.features for h in status.runtime_handlers}
    assert set(handlers) == {"", "private"}
    assert all(f.user_namespaces and f.recursive_read_only_mounts for f in handlers.values())
