# SPDX-License-Identifier: Apache-2.0
"""The `hull` command for an ordinary user: user namespaces with one id or with ranges of subuid, no cgroups, and what
is said where that is not enough."""
import json
import os
import pathlib
import shutil
import stat
import subprocess

import pytest

from bundles import pytestmark, wait_until  # noqa: F401 pylint: disable=unused-import
from rootlesskit import COUNT, FIRST, GID, NAME, UID, user  # noqa: F401 pylint: disable=unused-import

RANGES = [(0, UID, 1), (1, FIRST, COUNT)]


def has_v1():
    return os.path.exists("/sys/fs/cgroup/memory")


# ---- life ----------------------------------------------------------------------------------------------------


def test_the_rootless_spec_works_out_of_the_box(user):
    user.sh("id -u; id -g; cat /proc/self/uid_map; cat /proc/self/setgroups; echo $$; exit 7")
    done = user.hull("run", "c1", check=False)
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.split() == ["0", "0", "0", str(UID), "1", "deny", "1"]
    assert os.listdir(user.root) == []


def test_sys_of_the_rootless_spec_is_readonly_all_of_it(user):
    user.sh("grep ' /sys' /proc/mounts | grep -v ' /sys/firmware '")
    modes = {line.split()[1]: line.split()[3].split(",")[0] for line in user.hull("run", "c1").stdout.splitlines()}
    assert "/sys" in modes and set(modes.values()) == {"ro"}, modes


def test_a_readonly_root(user):
    user.edit(lambda c: c["root"].update(readonly=True))
    user.sh("touch /x || echo refused; touch /dev/shm/x && echo shm; echo > /dev/null && echo null")
    assert user.hull("run", "c1").stdout.split() == ["refused", "shm", "null"]


def test_life(user):
    user.args("sleep", "100")
    user.create("c1", "--pid-file", user.path / "pid")
    state = user.state("c1")
    assert state["status"] == "created" and state["owner"] in (f"#{UID}", NAME)
    assert int((user.path / "pid").read_text()) == state["pid"]
    assert "was not started" in user.refused("exec", "c1", "true")
    user.hull("start", "c1")
    assert user.state("c1")["status"] == "running"
    assert user.hull("exec", "c1", "cat", "/proc/self/uid_map").stdout.split() == ["0", str(UID), "1"]
    assert user.hull("exec", "--env", "X=y", "c1", "sh", "-c", "echo $X; exit 3", check=False).returncode == 3
    assert [c["id"] for c in json.loads(user.hull("list", "-f", "json").stdout)] == ["c1"]
    user.hull("kill", "c1", "KILL")
    user.wait_for("c1", "stopped")
    user.hull("delete", "c1")
    assert os.listdir(user.root) == []


def test_hooks(user):
    """Those of the runtime run as the user, those of the container as its root, which is the user, too."""
    def hook(name):
        return [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {name} $(id -u) $(cut -c1-60 | tr -d '\\n' | grep -c creat) "
                                             f">> {user.path}/hooks.log"]}]
    user.edit(lambda c: c.update(hooks={"createRuntime": hook("createRuntime"), "createContainer": hook("createContainer"),
                                        "poststop": hook("poststop")}))
    user.args("true")
    user.hull("run", "c1")
    lines = [line.split()[:2] for line in (user.path / "hooks.log").read_text().splitlines()]
    assert lines == [["createRuntime", str(UID)], ["createContainer", "0"], ["poststop", str(UID)]]


def test_a_terminal(user):
    user.edit(lambda c: c["process"].update(terminal=True))
    user.sh("tty; stat -c %u $(tty); echo typed: $(head -n1)")
    master, slave = os.openpty()
    with subprocess.Popen(user.command(user.hull_path, "run", "c1"), cwd=user.path, stdin=slave, stdout=slave,
                          stderr=slave, start_new_session=True) as p:
        os.close(slave)
        output = b""
        while b"/dev/pts/0\r\n0\r\n" not in output:
            output += os.read(master, 1024)
        os.write(master, b"word\n")  # not before: its echo would be in between
        while b"typed: word" not in output:
            output += os.read(master, 1024)
        assert p.wait(timeout=60) == 0
    os.close(master)


def test_checkpoint_needs_root(user):
    user.start("c1")
    for command in (["checkpoint", "--image-path", user.path / "image", "c1"], ["restore", "--image-path", user.path / "image", "c2"]):
        error = user.refused(*command)
        assert "need root" in error and "CAP_SYS_ADMIN" in error, error
    assert user.state("c1")["status"] == "running"


def test_the_state_is_in_the_runtime_directory_and_kept_from_cleaners(user):
    user.create("c1")
    for path in (user.runtime_dir / "hull", user.root, user.root / "c1"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o1700, path
    for name in ("state.json", "config.json"):
        assert stat.S_IMODE((user.root / "c1" / name).stat().st_mode) == 0o1600, name
    assert (user.root / "c1").stat().st_uid == UID


def test_without_a_runtime_directory(user):
    del user.env["XDG_RUNTIME_DIR"]
    error = user.refused("run", "c1")
    assert "$XDG_RUNTIME_DIR, which is not set" in error and "--root" in error
    user.sh("echo ok")
    assert user.hull("run", "c1", options=["--root", user.runtime_dir / "other"]).stdout == "ok\n"


def test_nothing_but_stdio_and_preserved_fds_is_open_inside(user):
    user.sh("ls /proc/self/fd | sort -n | tr '\\n' ' '")
    r, w = os.pipe()
    files = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(40)]
    try:
        # The shell places one of them at 3; 4 is the directory that ls reads.
        script = f'exec 3>&{w}; exec "$0" run --preserve-fds 1 c1'
        done = user.run("bash", "-c", script, user.hull_path, pass_fds=[w, *files])
        assert done.stdout.split() == ["0", "1", "2", "3", "4"]
    finally:
        for fd in (r, w, *files):
            os.close(fd)


def test_the_program_cannot_be_overwritten_from_inside(user):
    """CVE-2019-5736 where it hurts a user: the program is its own, and root of the container is the user."""
    os.chown(user.hull_path, UID, GID)
    before = user.hull_path.read_bytes()
    user.create("c1")
    exe = os.open(f"/proc/{user.state('c1')['pid']}/exe", os.O_PATH)  # as a process in the container would keep it
    try:
        assert not os.path.samestat(os.stat(exe), user.hull_path.stat())
        user.hull("delete", "-f", "c1")
        with pytest.raises(OSError):  # when it does not run any more, which says ETXTBSY
            fd = os.open(f"/proc/self/fd/{exe}", os.O_WRONLY)
            os.write(fd, b"bad")
    finally:
        os.close(exe)
    assert user.hull_path.read_bytes() == before
    # A program that is not the user's needs no copy.
    os.chown(user.hull_path, 0, 0)
    user.create("c2")
    assert os.path.samestat(os.stat(f"/proc/{user.state('c2')['pid']}/exe"), user.hull_path.stat())


# ---- ids -----------------------------------------------------------------------------------------------------


def test_ranges_by_newuidmap(user):
    user.maps(RANGES)
    user.edit(lambda c: c["process"]["user"].update(uid=1000, gid=1000, additionalGids=[5, 65536]))
    user.edit(lambda c: c["process"].update(capabilities={}))
    user.sh("id -u; id -g; id -G; cat /proc/self/uid_map; touch /tmp/made")
    (user.rootfs / "tmp").chmod(0o777)
    out = user.hull("run", "c1").stdout.split("\n")
    assert out[:3] == ["1000", "1000", "1000 5 65536"]
    assert out[3].split() == ["0", str(UID), "1"] and out[4].split() == ["1", str(FIRST), str(COUNT)]
    assert (user.rootfs / "tmp/made").stat().st_uid == FIRST + 999


def test_a_hundred_ranges(user):
    """More than the five that kernels before 4.15 took; each of its own line."""
    user.etc("subuid", "".join(f"{NAME}:{FIRST + 10 * i}:5\n" for i in range(60)))
    user.etc("subgid", "".join(f"{NAME}:{FIRST + 10 * i}:5\n" for i in range(60)))
    user.maps([(0, UID, 1)] + [(1 + 5 * i, FIRST + 10 * i, 5) for i in range(60)])
    user.sh("wc -l < /proc/self/uid_map; wc -l < /proc/self/gid_map")
    assert user.hull("run", "c1").stdout.split() == ["61", "61"]


def test_neighbouring_ranges_count_as_one(user):
    user.etc("subuid", f"{NAME}:{FIRST + 100}:100\n{NAME}:{FIRST}:100\n")
    user.maps([(0, FIRST, 200)], [(0, FIRST, 200)])
    user.sh("cat /proc/self/uid_map")
    subprocess.run(["chown", "-Rh", f"{FIRST}:{FIRST}", user.rootfs], check=True)
    assert user.hull("run", "c1").stdout.split() == ["0", str(FIRST), "200"]


def test_the_users_own_id_need_not_be_mapped(user):
    """Then root of the container cannot come near the user's files, and the state works all the same."""
    user.maps([(0, FIRST, COUNT)])
    subprocess.run(["chown", "-Rh", f"{FIRST}:{FIRST}", user.rootfs], check=True)
    pid = user.start("c1")
    assert os.stat(f"/proc/{pid}").st_uid == FIRST
    assert user.hull("exec", "c1", "id", "-u").stdout == "0\n"
    user.hull("delete", "-f", "c1")


@pytest.mark.parametrize("maps,said", [
    ([(0, UID, 1), (1, FIRST, COUNT + 1)],
     [f"linux.uidMappings[1]: container uid 1 to host uid {FIRST}, size {COUNT + 1}",
      f"host uids {FIRST + COUNT} to {FIRST + COUNT} are not user {NAME}'s (uid {UID})",
      f"/etc/subuid gives it {FIRST} to {FIRST + COUNT - 1} (line 3)", "usermod --add-subuids"]),
    ([(0, 0, 1)], ["host uids 0 to 0 are not"]),
    ([(0, 100000, 65536)], ["host uids 100000 to 165535 are not"]),  # somebody else's
    ([(0, UID, 2)], [f"host uids {UID} to {UID + 1} are not"]),
])
def test_ids_that_are_not_ones_own(user, maps, said):
    user.maps(maps)
    error = user.refused("run", "c1")
    assert all(text in error for text in said), error


def test_gids_are_looked_at_too(user):
    user.etc("subgid", "")
    user.maps(RANGES)
    error = user.refused("run", "c1")
    assert "linux.gidMappings[1]" in error and "/etc/subgid gives it nothing" in error


def test_a_user_without_a_line_in_passwd(user):
    user.etc("passwd", "root:x:0:0::/:/bin/sh\n")
    user.etc("subuid", f"{UID}:{FIRST}:10\n")
    user.maps([(0, UID, 1), (1, FIRST, 11)])
    assert f"/etc/subuid gives it {FIRST} to {FIRST + 9} (line 1)" in user.refused("run", "c1")
    user.maps([(0, UID, 1)])
    user.sh("echo ok")
    assert user.hull("run", "c1").stdout == "ok\n"


def test_another_name_service_for_subordinate_ids(user):
    """nsswitch.conf says that the files do not decide: getsubids(1) is asked, and without its word newuidmap(1) is."""
    user.etc("nsswitch.conf", "passwd: files\nsubid: nosuchservice\n")
    user.etc("subuid", "")
    user.maps([(0, UID, 1), (1, 300000, 10)])
    error = user.refused("run", "c1")
    assert "newuidmap" in error and "exit status 1" in error, error


def test_newuidmap_that_cannot_do_its_work(user):
    user.maps(RANGES)
    user.before = [f"touch {user.dir}/none", f"mount --bind {user.dir}/none /usr/bin/newuidmap"]
    error = user.refused("run", "c1")
    assert '"newuidmap" is not installed' in error and "uidmap" in error
    shutil.copy("/usr/bin/newuidmap", user.dir / "plain")
    (user.dir / "plain").chmod(0o755)
    user.before = [f"mount --bind {user.dir}/plain /usr/bin/newuidmap"]
    assert "neither set-uid root nor has it a file capability" in user.refused("run", "c1")
    user.before, user.options = [], ["--no-new-privs"]
    assert "no_new_privs" in user.refused("run", "c1")
    user.maps([(0, UID, 1)])
    user.sh("echo ok")
    assert user.hull("run", "c1").stdout == "ok\n"


def test_groups_where_setgroups_is_denied(user):
    user.edit(lambda c: c["process"]["user"].update(additionalGids=[0]))
    error = user.refused("run", "c1")
    assert "process.user.additionalGids" in error and "setgroups(2)" in error and "/etc/subgid" in error


@pytest.mark.parametrize("user_ids,said", [
    ({"uid": 5}, "process.user.uid: uid 5 has no host uid in the container's user namespace: linux.uidMappings map "
                 "container uids 0 to 0"),
    ({"gid": 7}, "process.user.gid: gid 7 has no host gid"),
])
def test_ids_of_the_process_that_are_not_mapped(user, user_ids, said):
    user.edit(lambda c: c["process"]["user"].update(user_ids))
    assert said in user.refused("run", "c1")


def test_a_map_without_root(user):
    user.maps([(1000, UID, 1)])
    user.edit(lambda c: c["process"]["user"].update(uid=1000, gid=1000))
    user.edit(lambda c: c["process"].update(capabilities={}))
    user.sh("id -u; touch /tmp/made; stat -c %u /dev/shm")
    assert user.hull("run", "c1").stdout.split() == ["1000", "1000"]
    assert (user.rootfs / "tmp/made").stat().st_uid == UID
    user.start("c1")
    assert user.hull("exec", "c1", "id", "-u").stdout == "1000\n"


# ---- namespaces ----------------------------------------------------------------------------------------------


def test_without_a_user_namespace(user):
    user.namespaces(remove=["user"])
    user.edit(lambda c: (c["linux"].pop("uidMappings"), c["linux"].pop("gidMappings")))
    error = user.refused("run", "c1")
    assert "needs a user namespace" in error and "hull spec --rootless" in error


def test_a_network_namespace_of_its_own(user):
    user.namespaces({"type": "network"})
    user.mount("/sys", type="sysfs", source="sysfs", options=["nosuid", "noexec", "nodev", "ro"])
    user.sh("ls /sys/class/net; wc -l < /proc/net/dev; cat /proc/mounts | grep ' /sys '")
    out = user.hull("run", "c1").stdout.split()
    assert out[:2] == ["lo", "3"] and out[4:5] == ["sysfs"]


def test_sysfs_of_the_hosts_network_is_a_readonly_bind(user):
    user.mount("/sys", type="sysfs", source="sysfs", options=["nosuid", "noexec", "nodev"])
    user.sh("grep ' /sys' /proc/mounts | grep -v ' /sys/fs/cgroup \\| /sys/firmware ' | grep -vc ' ro,'; ls /sys/class/net")
    before = set(os.listdir("/sys/class/net"))  # others make and remove theirs meanwhile
    out = user.hull("run", "c1", check=False).stdout.split()
    after = set(os.listdir("/sys/class/net"))
    assert out[0] == "0" and "lo" in out and before & after <= set(out[1:])


def test_joining_another_containers_namespaces(user):
    """User and network namespace of the first, the rest new; exec works in the second."""
    user.namespaces({"type": "network"})
    pid = user.start("c1")
    user.namespaces({"type": "user", "path": f"/proc/{pid}/ns/user"}, {"type": "network", "path": f"/proc/{pid}/ns/net"})
    user.mount("/sys", type="sysfs", source="sysfs", options=["nosuid", "noexec", "nodev", "ro"])
    second = user.start("c2")
    for ns, same in {"user": True, "net": True, "pid": False, "mnt": False, "ipc": False}.items():
        assert (os.readlink(f"/proc/{pid}/ns/{ns}") == os.readlink(f"/proc/{second}/ns/{ns}")) == same, ns
    assert user.hull("exec", "c2", "sh", "-c", "id -u; stat -c %u /dev/mqueue").stdout.split() == ["0", "0"]
    # Without mappings in the spec they are read from the namespace.
    user.edit(lambda c: (c["linux"].pop("uidMappings"), c["linux"].pop("gidMappings")))
    user.sh("id -u")
    assert user.hull("run", "c3").stdout == "0\n"


def test_a_container_in_all_namespaces_of_another(user):
    """As in a pod: only the mounts are its own; /proc is that of the joined pid namespace."""
    user.namespaces({"type": "network"})
    user.mount("/sys", type="sysfs", source="sysfs", options=["nosuid", "noexec", "nodev", "ro"])
    pid = user.start("c1")
    names = {"user": "user", "network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid", "cgroup": "cgroup"}
    user.namespaces(*[{"type": t, "path": f"/proc/{pid}/ns/{n}"} for t, n in names.items()])
    user.edit(lambda c: c.pop("hostname"))
    second = user.start("c2", "sleep", "200")
    for name in names.values():
        assert os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/{second}/ns/{name}"), name
    seen = user.hull("exec", "c2", "ps").stdout
    assert "sleep 100" in seen and "sleep 200" in seen
    user.hull("delete", "-f", "c2")
    assert user.state("c1")["status"] == "running"


def test_a_network_namespace_that_is_not_ones_own(user):
    user.namespaces({"type": "network", "path": "/proc/self/ns/net"})
    user.sh("echo ok")
    assert user.hull("run", "c1").stdout == "ok\n"  # one's own is no joining
    with subprocess.Popen(["unshare", "-n", "sleep", "100"]) as other:
        try:
            wait_until(lambda: os.readlink(f"/proc/{other.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
            user.namespaces({"type": "network", "path": f"{user.dir}/netns"})
            (user.dir / "netns").touch()
            user.before = [f"mount --bind /proc/{other.pid}/ns/net {user.dir}/netns"]
            error = user.refused("run", "c1")
            assert "join the network namespace" in error and "not permitted" in error
        finally:
            other.kill()


# ---- limits --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not has_v1(), reason="cgroup v2 alone: what is delegated is in test_hull_rootless_v2.py")
def test_limits_need_a_cgroup(user):
    user.edit(lambda c: c["linux"].update(resources={"pids": {"limit": 20}}))
    error = user.refused("run", "c1")
    assert "pids" in error and "delegat" in error, error
    user.edit(lambda c: c["linux"].update(resources={}))
    user.start("c1")
    for command in (["ps", "c1"], ["pause", "c1"], ["resume", "c1"]):
        error = user.refused(*command)
        assert "has no cgroup of its own" in error and "delegated" in error, error


def test_rlimits_oom_score_and_scheduler(user):
    user.edit(lambda c: c["process"].update(oomScoreAdj=300, rlimits=[{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}],
                                            scheduler={"policy": "SCHED_BATCH", "nice": 5},
                                            ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0}))
    pid = user.start("c1")
    assert pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text() == "300\n"
    assert "64                   128" in pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    assert user.hull("exec", "c1", "cat", "/proc/self/oom_score_adj").stdout == "300\n"


def test_an_oom_score_that_is_too_low_is_left(user):
    user.edit(lambda c: c["process"].update(oomScoreAdj=-500))
    user.sh("cat /proc/self/oom_score_adj")
    done = user.hull("run", "c1", options=["--debug"])
    assert int(done.stdout) >= 0 and "oomScoreAdj: left at" in done.stderr


# ---- where it is forbidden -----------------------------------------------------------------------------------


def test_the_sysctl_that_forbids_user_namespaces_is_named(user):
    """user.max_user_namespaces is one of each user namespace: here that of a child."""
    inner = f"echo 0 > /proc/sys/user/max_user_namespaces; exec {user.hull_path} run c1"
    user.maps([(0, 0, 1)])
    done = user.run("unshare", "-Urm", "sh", "-c", inner, check=False)
    assert done.returncode == 1 and "user.max_user_namespaces is 0" in done.stderr, done.stderr


# ---- inside of another user namespace ------------------------------------------------------------------------


@pytest.mark.parametrize("flags", ["-Urm", "-Ur", "-Urmpf --mount-proc", "-Urmn"])
def test_nested_in_a_namespace_of_one_id(user, flags):
    """root of a namespace of one id: with a mount namespace of its own, and without."""
    user.maps([(0, 0, 1)])
    user.sh("id -u; cat /proc/self/uid_map")
    done = user.run("unshare", *flags.split(), user.hull_path, "run", "c1")
    assert done.stdout.split() == ["0", "0", "0", "1"]
    # And without one more user namespace.
    user.namespaces(remove=["user"])
    user.edit(lambda c: (c["linux"].pop("uidMappings"), c["linux"].pop("gidMappings")))
    user.mount("/sys", type="sysfs", source="sysfs", options=["nosuid", "noexec", "nodev"])
    done = user.run("unshare", *flags.split(), user.hull_path, "run", "c1")
    assert done.stdout.split() == ["0", "0", str(UID), "1"]


def test_nested_in_a_namespace_of_many_ids(user):
    (user.dir / "run").chmod(0o777)
    user.maps([(0, 1, 1000)])
    subprocess.run(["chown", "-Rh", f"{FIRST + 1}:{FIRST + 1}", user.rootfs], check=True)
    user.sh("id -u; cat /proc/self/uid_map; cat /proc/self/setgroups")
    done = user.run("unshare", "-Um", f"--map-users={FIRST},0,{COUNT}", f"--map-groups={FIRST},0,{COUNT}",
                    "--setuid", "0", "--setgid", "0", user.hull_path, "run", "c1")
    assert done.stdout.split() == ["0", "0", "1", "1000", "allow"]
    # $USER is set, and is not root.
    assert (user.runtime_dir / "hull/oci").exists()


def test_ids_that_the_outer_namespace_does_not_have(user):
    user.maps([(0, 5, 10)])
    done = user.run("unshare", "-Urm", user.hull_path, "run", "c1", check=False)
    assert done.returncode == 1 and "container uid 0 to host uid 5, size 10: hull runs in a user namespace" in done.stderr
