# SPDX-License-Identifier: Apache-2.0
"""User namespaces of root's containers: made and joined, with network namespaces of their own, of the host and of
others, with maps of every kind."""
import contextlib
import json
import os
import pathlib
import subprocess

import pytest

from bundles import HULL, bundle, pytestmark  # noqa: F401 pylint: disable=unused-import

FIRST = 730000


@pytest.fixture(autouse=True)
def in_a_cgroup_of_its_own(bundle):
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"/hull-userns-{os.getpid()}/c"))


def extents(*xs):
    return [dict(zip(("containerID", "hostID", "size"), x)) for x in xs]


def namespaces(bundle, *add, remove=()):
    def change(c):
        kept = [n for n in c["linux"]["namespaces"] if n["type"] not in [a["type"] for a in add] + list(remove)]
        c["linux"]["namespaces"] = kept + list(add)
    bundle.edit(change)


def maps(bundle, uids, gids=None):
    bundle.edit(lambda c: c["linux"].update(uidMappings=uids, gidMappings=gids or uids))


def new_user(bundle, *xs):
    namespaces(bundle, {"type": "user"})
    maps(bundle, extents(*(xs or [(0, FIRST, 65536)])))


@contextlib.contextmanager
def holder(tmp_path, first, with_net):
    """A process in a user namespace, and in a network namespace that this owns or not."""
    with subprocess.Popen(["unshare", "-U" + ("n" if with_net else ""), "sh", "-c", "echo; exec sleep 100"],
                          stdout=subprocess.PIPE) as p:
        try:
            p.stdout.readline()
            for name in ("uid_map", "gid_map"):
                pathlib.Path(f"/proc/{p.pid}/{name}").write_text(f"0 {first} 65536\n")
            yield p.pid
        finally:
            p.kill()


@contextlib.contextmanager
def net_of_the_host():
    with subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 100"], stdout=subprocess.PIPE) as p:
        try:
            p.stdout.readline()
            yield p.pid
        finally:
            p.kill()


def sys_mounts(bundle):
    """How /sys looks from inside: file system, options, and whether anything below it could be written."""
    bundle.sh("grep -c . /sys/kernel/uevent_seqnum; ls /sys/class/net | tr '\\n' ' '; echo; id -u; "
              "grep ' /sys' /proc/mounts | grep -v ' /sys/fs/cgroup' | grep -v ' /sys/firmware '")
    lines = bundle.hull("run", "c1").stdout.splitlines()
    mounts = [line.split() for line in lines[3:]]
    return lines[1].split(), lines[2], [m[3].split(",")[0] for m in mounts]


def test_a_new_user_namespace_with_a_new_network(bundle):
    new_user(bundle)
    net, uid, modes = sys_mounts(bundle)
    assert (net, uid, modes) == (["lo"], "0", ["ro"])


def test_a_new_user_namespace_with_the_hosts_network(bundle):
    """The kernel gives no sysfs to who does not own the network namespace: the host's, all of it read-only."""
    new_user(bundle)
    namespaces(bundle, remove=["network"])
    bundle.edit(lambda c: next(m for m in c["mounts"] if m["destination"] == "/sys").update(options=["nosuid", "noexec", "nodev"]))
    net, uid, modes = sys_mounts(bundle)
    assert set(net) == set(os.listdir("/sys/class/net")) and uid == "0" and set(modes) == {"ro"}


def test_a_new_user_namespace_with_a_joined_network_of_the_host(bundle):
    new_user(bundle)
    with net_of_the_host() as pid:
        namespaces(bundle, {"type": "network", "path": f"/proc/{pid}/ns/net"})
        bundle.edit(lambda c: next(m for m in c["mounts"] if m["destination"] == "/sys").update(options=["nosuid", "noexec", "nodev"]))
        net, uid, modes = sys_mounts(bundle)
        # What /sys shows is the host's: it was mounted where the host's network is.
        assert uid == "0" and set(modes) == {"ro"} and set(net) == set(os.listdir("/sys/class/net"))
        bundle.sh("wc -l < /proc/net/dev; readlink /proc/self/ns/net")
        assert bundle.hull("run", "c2").stdout.split() == ["3", os.readlink(f"/proc/{pid}/ns/net")]


def test_a_joined_user_namespace_with_a_new_network(bundle, tmp_path):
    with holder(tmp_path, FIRST, with_net=False) as pid:
        namespaces(bundle, {"type": "user", "path": f"/proc/{pid}/ns/user"})
        for with_maps in (False, True):
            if with_maps:
                maps(bundle, extents((0, FIRST, 65536)))
            net, uid, modes = sys_mounts(bundle)
            assert (net, uid, modes) == (["lo"], "0", ["ro"])
        bundle.sh("readlink /proc/self/ns/user; cat /proc/self/uid_map; stat -c %u /dev/mqueue /dev/null /dev/shm")
        assert bundle.hull("run", "c2").stdout.split() == \
            [os.readlink(f"/proc/{pid}/ns/user"), "0", str(FIRST), "65536", "0", "0", "0"]


def test_a_joined_user_namespace_with_its_own_joined_network(bundle, tmp_path):
    with holder(tmp_path, FIRST, with_net=True) as pid:
        namespaces(bundle, {"type": "user", "path": f"/proc/{pid}/ns/user"}, {"type": "network", "path": f"/proc/{pid}/ns/net"})
        net, uid, modes = sys_mounts(bundle)
        assert (net, uid, modes) == (["lo"], "0", ["ro"])
        bundle.args("sleep", "100")
        bundle.create("c2")
        bundle.hull("start", "c2")
        assert bundle.hull("exec", "c2", "readlink", "/proc/self/ns/net").stdout.strip() == os.readlink(f"/proc/{pid}/ns/net")
        bundle.hull("delete", "-f", "c2")


def test_a_joined_user_namespace_with_the_network_of_another(bundle, tmp_path):
    with holder(tmp_path, FIRST, with_net=False) as pid, holder(tmp_path, FIRST + 100000, with_net=True) as other:
        namespaces(bundle, {"type": "user", "path": f"/proc/{pid}/ns/user"}, {"type": "network", "path": f"/proc/{other}/ns/net"})
        _, uid, modes = sys_mounts(bundle)
        assert uid == "0" and set(modes) == {"ro"}
        bundle.sh("readlink /proc/self/ns/net; readlink /proc/self/ns/user")
        assert bundle.hull("run", "c2").stdout.split() == [os.readlink(f"/proc/{other}/ns/net"), os.readlink(f"/proc/{pid}/ns/user")]


def test_a_path_to_another_kind_of_namespace(bundle):
    namespaces(bundle, {"type": "user", "path": "/proc/self/ns/net"})
    done = bundle.hull("run", "c1", check=False)
    assert done.returncode == 1 and "of type net, not user" in done.stderr
    namespaces(bundle, {"type": "user", "path": "/no/such"})
    done = bundle.hull("run", "c1", check=False)
    assert "open the user namespace" in done.stderr and "/no/such" in done.stderr


# ---- maps ----------------------------------------------------------------------------------------------------


def test_many_extents(bundle):
    new_user(bundle, *[(i * 10, FIRST + i * 20, 10) for i in range(150)])
    bundle.sh("wc -l < /proc/self/uid_map; stat -c %u:%g /dev/null")
    assert bundle.hull("run", "c1").stdout.split() == ["150", "0:0"]


def test_different_maps_of_uids_and_gids(bundle):
    namespaces(bundle, {"type": "user"})
    maps(bundle, extents((0, FIRST, 10)), extents((0, FIRST + 500, 1), (5, FIRST + 600, 5)))
    bundle.edit(lambda c: c["process"]["user"].update(uid=3, gid=5, additionalGids=[0, 9]))
    bundle.sh("id -u; id -G; cat /proc/self/uid_map /proc/self/gid_map")
    out = bundle.hull("run", "c1").stdout.split()
    assert out[:4] == ["3", "5", "0", "9"] and out[4:] == ["0", str(FIRST), "10", "0", str(FIRST + 500), "1", "5", str(FIRST + 600), "5"]


@pytest.mark.parametrize("joined", [False, True])
def test_a_namespace_without_id_0(bundle, tmp_path, joined):
    """The ids of the process serve in place of root's."""
    with contextlib.ExitStack() as stack:
        if joined:
            p = stack.enter_context(subprocess.Popen(["unshare", "-U", "sh", "-c", "echo; exec sleep 100"], stdout=subprocess.PIPE))
            stack.callback(p.kill)
            p.stdout.readline()
            for name in ("uid_map", "gid_map"):
                pathlib.Path(f"/proc/{p.pid}/{name}").write_text(f"1000 {FIRST} 10\n")
            namespaces(bundle, {"type": "user", "path": f"/proc/{p.pid}/ns/user"})
        else:
            new_user(bundle, (1000, FIRST, 10))
        bundle.edit(lambda c: c["process"]["user"].update(uid=1005, gid=1006))
        bundle.edit(lambda c: c["process"].update(capabilities={}))
        bundle.sh("id -u; id -g; touch /dev/shm/x && stat -c %u /dev/shm/x; echo > /dev/null && echo null")
        assert bundle.hull("run", "c1").stdout.split() == ["1005", "1006", "1005", "null"]
        bundle.args("sleep", "100")
        bundle.create("c2")
        bundle.hull("start", "c2")
        assert bundle.hull("exec", "c2", "id", "-u").stdout == "1005\n"
        bundle.hull("delete", "-f", "c2")


@pytest.mark.parametrize("ids,said", [
    ({"uid": 65536}, "process.user.uid: uid 65536 has no host uid in the container's user namespace: linux.uidMappings map "
                     "container uids 0 to 65535"),
    ({"gid": 70000}, "process.user.gid: gid 70000 has no host gid"),
    ({"additionalGids": [5, 99999]}, "process.user.additionalGids: gid 99999 has no host gid"),
])
def test_ids_that_are_not_mapped(bundle, ids, said):
    new_user(bundle)
    bundle.edit(lambda c: c["process"]["user"].update(ids))
    done = bundle.hull("run", "c1", check=False)
    assert done.returncode == 1 and said in done.stderr
    assert os.listdir(bundle.root) == []


def test_maps_that_make_no_sense(bundle):
    for uids, said in ((extents((0, FIRST, 0)), "size: 0 is not in the range"), (extents((0, FIRST, 10), (5, 900000, 10)), "overlaps"),
                       (extents((0, 4294967290, 10)), "pass 4294967294")):
        new_user(bundle)
        maps(bundle, uids)
        done = bundle.hull("run", "c1", check=False)
        assert done.returncode == 1 and "Mappings" in done.stderr and said in done.stderr, done.stderr
    new_user(bundle)
    namespaces(bundle, remove=["user"])
    done = bundle.hull("run", "c1", check=False)
    assert "without a user namespace" in done.stderr


def test_exec_of_an_id_that_is_not_mapped(bundle):
    new_user(bundle, (0, FIRST, 10))
    bundle.args("sleep", "100")
    bundle.create("c1")
    bundle.hull("start", "c1")
    done = bundle.hull("exec", "--user", "10", "c1", "id", check=False)
    assert done.returncode == 255 and "uid 10 has no host uid" in done.stderr, done.stderr


# ---- the bootstrap -------------------------------------------------------------------------------------------


def waiting_init(bundle, **kwargs):
    with open(bundle.path / "log", "wb") as log:
        done = subprocess.run([HULL, "--root", bundle.root, "create", "c1"], cwd=bundle.path, stdin=subprocess.DEVNULL,
                              stdout=log, stderr=log, timeout=60, **kwargs)
    assert done.returncode == 0, (bundle.path / "log").read_text()
    return bundle.state("c1")["pid"]


@pytest.mark.parametrize("userns", [False, True])
def test_a_waiting_init_is_nobodys_to_look_into(bundle, userns):
    """Not dumpable: its files in /proc are the host root's, whatever user it is by then; the program's are its own."""
    if userns:
        new_user(bundle)
    bundle.args("sleep", "100")
    pid = waiting_init(bundle)
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert f"Uid:\t{FIRST if userns else 0}\t" in status
    bundle.hull("start", "c1")
    assert os.stat(f"/proc/{pid}/mem").st_uid == (FIRST if userns else 0)


def test_the_callers_fds_end_before_the_program(bundle):
    """Inherited ones, and those of hull itself: a waiting init has stdio and the gate, the program stdio alone."""
    files = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(200)]
    bundle.args("sleep", "100")
    try:
        pid = waiting_init(bundle, pass_fds=files)
        held = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert {"0", "1", "2"} < set(held), held
        assert all(target.startswith("socket:") for fd, target in held.items() if int(fd) > 2) and len(held) <= 4, held
        bundle.hull("start", "c1")
        assert sorted(os.listdir(f"/proc/{pid}/fd"), key=int) == ["0", "1", "2"]
        assert bundle.hull("exec", "c1", "ls", "/proc/self/fd", pass_fds=files).stdout.split() == ["0", "1", "2", "3"]
    finally:
        for fd in files:
            os.close(fd)


def test_a_waiting_init_does_not_keep_its_callers_pipe_open(bundle):
    """Who waits for the end of a pipe that hull inherited need not wait for the container."""
    r, w = os.pipe()
    try:
        waiting_init(bundle, pass_fds=[w])
        os.close(w)
        assert os.read(r, 1) == b""
    finally:
        os.close(r)


def test_preserved_fds_are_whole(bundle):
    """3 and 4 arrive as they are, whatever hull opened on its way, and 5 does not."""
    bundle.sh("cat <&3; cat <&4; ls /proc/self/fd | wc -l")
    for number, text in ((3, "three\n"), (4, "four\n"), (5, "five\n")):
        (bundle.path / str(number)).write_text(text)
    done = subprocess.run(["bash", "-c", 'exec 3<3 4<4 5<5; exec "$0" "$@"', HULL, "--root", bundle.root,
                           "run", "--preserve-fds", "2", "c1"], cwd=bundle.path, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    assert done.stdout.split() == ["three", "four", "6"], done.stderr


def test_errors_of_each_stage_are_named(bundle):
    cases = [
        (lambda c: c["root"].update(path="nothing"), "open root file system \"nothing\""),
        (lambda c: c["mounts"].append({"destination": "/x", "type": "none", "source": "/no", "options": ["bind"]}), "mount on \"/x\": clone the mount of \"/no\""),
        (lambda c: c["mounts"].append({"destination": "/x", "type": "nofs", "source": "x"}), "file system \"nofs\""),
        (lambda c: c["process"].update(cwd="/bin/sh/x"), "working directory \"/bin/sh/x\""),
        (lambda c: c["process"].update(args=["/no/such"]), "exec: \"/no/such\""),
        (lambda c: c["linux"].update(sysctl={"kernel.hostname": "x"}), "kernel.hostname"),
    ]
    whole = (bundle.path / "config.json").read_text()
    for change, said in cases:
        bundle.edit(change)
        done = bundle.hull("create", "c1", check=False)
        assert done.returncode == 1 and said in done.stderr.replace('\\"', '"'), done.stderr
        assert os.listdir(bundle.root) == []
        (bundle.path / "config.json").write_text(whole)
    assert json.loads(whole)
