# SPDX-License-Identifier: Apache-2.0
"""What hull's commands do beyond a straight life: several at a time, killed ones, wrong files, fds handed over."""
import array
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

from bundles import HULL, bundle, pytestmark  # noqa: F401
from commandkit import box, cgroups, eventually, hook, nothing_is_left, processes, start  # noqa: F401


# ---- rollback -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["create", "run", "run -d"])
def test_a_pid_file_that_cannot_be_written_leaves_nothing(box, command):
    done = box.hull(*command.split(), "--pid-file", "/nonexistent/pid", "c", check=False)
    assert done.returncode == 1 and "/nonexistent/pid" in done.stderr
    assert nothing_is_left(box)


@pytest.mark.parametrize("option", ["console-socket", "pidfd-socket"])
def test_a_socket_without_a_listener_is_found_before_anything_is_made(box, option):
    if option == "console-socket":
        box.edit(lambda c: c["process"].update(terminal=True))
    hook(box, "prestart", f"touch {box.path}/made")
    for path in ("/nonexistent/socket", str(box.path / "config.json"), "/" + "x" * 200):
        done = box.hull("create", f"--{option}", path, "c", check=False)
        assert done.returncode == 1 and path[:50] in done.stderr, done.stderr
        assert not box.root.exists() and not (box.path / "made").exists()
    assert nothing_is_left(box)


def test_an_exec_whose_pid_file_cannot_be_written_is_ended(box):
    box.create("c")
    box.hull("start", "c")
    done = box.hull("exec", "-d", "--pid-file", "/nonexistent/pid", "c", "sleep", "77", check=False)
    assert done.returncode == 255 and "/nonexistent/pid" in done.stderr
    assert eventually(lambda: len(json.loads(box.hull("ps", "-f", "json", "c").stdout)) == 1)


# ---- a creation that is killed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_create_that_is_killed_in_a_hook(box, kind):
    """createContainer's parent is the init, whose parent is the creator."""
    parent = "$PPID" if kind != "createContainer" else "$(awk '/^PPid/ { print $2 }' /proc/$PPID/status)"
    hook(box, kind, f"echo {parent} > {box.path}/killed; kill -9 {parent}; sleep 0.2")
    bundle_config = json.loads((box.path / "config.json").read_text())
    if kind == "createContainer":  # with the init's pid namespace it could not see the creator
        bundle_config["linux"]["namespaces"] = [n for n in bundle_config["linux"]["namespaces"] if n["type"] != "pid"]
        (box.path / "config.json").write_text(json.dumps(bundle_config))
    done = box.hull("create", "c", check=False)
    assert done.returncode == -signal.SIGKILL
    assert box.hull("state", "c", check=False).returncode == 1
    assert eventually(lambda: not processes(box)), "the init outlives its creator"
    box.hull("delete", "--force", "c")
    assert nothing_is_left(box)


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_a_create_that_is_killed_at_any_system_call(box):
    """Killed at the n-th call of a kind, on the way in: whatever is there, delete --force removes. Those that make
    something are all tried, of the others some."""
    box.edit(lambda c: c["linux"].update(cgroupsPath=f"{box.cgroups}/deep/c"))

    # A sanitizer looks for leaks by tracing, too, which only one can.
    env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}

    def create(call, option):
        done = subprocess.run(["strace", "-qq", "-o", box.path / "trace", "-e", f"trace={call}", *option, HULL, "--root",
                               box.root, "create", "c"], cwd=box.path, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        return done.returncode, sum(line.startswith(call) for line in (box.path / "trace").read_text().splitlines())

    killed = 0
    for call in ("openat", "mkdirat", "renameat", "clone3", "write", "sendmsg", "sendto", "fchown", "unlinkat", "bind",
                 "listen", "recvmsg", "mount_setattr"):
        code, count = create(call, [])
        assert code == 0
        box.hull("delete", "c")
        step = 1 if call in ("mkdirat", "renameat", "clone3", "bind", "sendto") else count // 8 + 1
        for n in range(1, count + 1, step):
            code, _ = create(call, ["-e", f"inject={call}:signal=SIGKILL:when={n}"])
            assert code in (-signal.SIGKILL, 128 + signal.SIGKILL)
            killed += 1
            listed = box.hull("list", "-q").stdout
            assert (listed == "c\n") == (box.hull("state", "c", check=False).returncode == 0)
            box.hull("delete", "--force", "c")
            assert nothing_is_left(box), f"{call} {n}: {cgroups(box)} {processes(box)}"
    assert killed > 30


def test_delete_removes_what_a_killed_create_has_left(box):
    hook(box, "createRuntime", "kill -9 $PPID; sleep 0.1")
    box.hull("create", "c", check=False)
    assert cgroups(box)
    # As with runc, without --force it says that there is no container, but cleans up.
    assert box.hull("delete", "c", check=False).returncode == 1
    assert nothing_is_left(box)


def test_the_last_container_below_takes_the_parents_along(box):
    """What hull made of them; what somebody else made stays."""
    hierarchies = [d for d in pathlib.Path("/sys/fs/cgroup").iterdir() if (d / "cgroup.procs").exists() and not d.is_symlink()]
    others = hierarchies[0] / box.cgroups[1:] if hierarchies else pathlib.Path("/sys/fs/cgroup") / box.cgroups[1:]
    others.mkdir()
    try:
        for name in ("c", "d", "e"):
            box.edit(lambda c, n=name: c["linux"].update(cgroupsPath=f"{box.cgroups}/pod/{n}"))
            box.create(name)
        everywhere = cgroups(box)
        for name in ("c", "e"):
            box.hull("delete", "--force", name)
            assert cgroups(box) == everywhere and all(os.path.isdir(f"{d}/pod") for d in everywhere)
        box.hull("delete", "--force", "d")
        assert cgroups(box) == [str(others)] and [d for d in others.iterdir() if d.is_dir()] == []
    finally:
        others.rmdir()


# ---- several at a time --------------------------------------------------------------------------------------------------


def test_one_of_many_creates_of_a_name_succeeds(box):
    for _ in range(3):
        creates = [start(box, "create", "c") for _ in range(6)]
        said = []
        for p in creates:
            # The init that is left keeps the pipe open, so only what is there is read.
            p.wait(timeout=60)
            if p.returncode != 0:
                said.append(p.stderr.read())
            p.stderr.close()
        assert sorted(p.returncode for p in creates) == [0] + [1] * 5
        assert all("container with given ID already exists" in text for text in said)
        assert box.status("c") == "created"
        box.hull("delete", "c")
        assert nothing_is_left(box)


def test_while_it_is_created_it_does_not_exist(box):
    hook(box, "createRuntime", f"touch {box.path}/reached; while [ ! -e {box.path}/go ]; do sleep 0.01; done")
    with start(box, "create", "c") as p:
        assert eventually((box.path / "reached").exists)
        for command in ("state", "start", "pause", "delete", "kill"):
            done = box.hull(command, "c", check=False)
            assert done.returncode == 1 and "container does not exist" in done.stderr, command
        assert box.hull("list", "-q").stdout == ""
        assert "already exists" in box.hull("create", "c", check=False).stderr
        (box.path / "go").touch()
        assert p.wait(timeout=60) == 0
        assert box.status("c") == "created"
        box.hull("start", "c")
        box.hull("delete", "-f", "c")


def test_a_creation_is_deleted_by_force(box):
    hook(box, "createRuntime", f"touch {box.path}/reached; while [ ! -e {box.path}/go ]; do sleep 0.01; done")
    with start(box, "create", "c") as p:
        assert eventually((box.path / "reached").exists)
        box.hull("delete", "--force", "c")
        (box.path / "go").touch()
        assert p.wait(timeout=60) == 1
    assert nothing_is_left(box)


def test_creates_and_deletes_of_one_name(box):
    """Whoever wins, each either does its work or says why not, and in the end nothing is left."""
    def worker(number):
        for _ in range(8):
            command = ["create", "c"] if number % 2 else ["delete", "--force", "c"]
            done = subprocess.run([HULL, "--root", box.root, *command], cwd=box.path, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
            assert done.returncode in (0, 1)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(worker, range(4)))
    box.hull("delete", "--force", "c")
    assert nothing_is_left(box)


def test_many_deletes_of_one_container(box):
    box.create("c")
    box.hull("start", "c")
    deletes = [start(box, "delete", "--force", "c") for _ in range(4)]
    for p in deletes:
        assert p.wait(timeout=60) == 0, p.stderr.read()
        p.stderr.close()
    assert nothing_is_left(box)


# ---- kill ------------------------------------------------------------------------------------------------------------


def share_pids(config):
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "pid"]


def test_sigkill_ends_all_that_share_a_pid_namespace(box):
    box.edit(share_pids)
    box.sh("sleep 101 & sleep 102 & echo > /tmp/up; wait")
    box.create("c")
    box.hull("start", "c")
    assert eventually(lambda: len(json.loads(box.hull("ps", "-f", "json", "c").stdout)) == 3)
    box.hull("kill", "c", "KILL")
    assert eventually(lambda: json.loads(box.hull("ps", "-f", "json", "c").stdout) == [])
    assert "container not running" in box.hull("kill", "c", "KILL", check=False).stderr
    box.hull("delete", "c")
    assert nothing_is_left(box)


def test_what_an_init_leaves_in_a_shared_pid_namespace_is_killed(box):
    box.edit(share_pids)
    box.sh("sleep 101 & exit 0")
    box.create("c")
    box.hull("start", "c")
    box.wait_for("c", "stopped")
    assert len(json.loads(box.hull("ps", "-f", "json", "c").stdout)) == 1
    # The init is gone, yet there is something to kill.
    box.hull("kill", "c", "KILL")
    assert eventually(lambda: json.loads(box.hull("ps", "-f", "json", "c").stdout) == [])
    box.hull("delete", "c")


def test_a_signal_for_all_processes(box):
    box.sh("sh -c 'trap \"echo one >> /tmp/got\" USR1; echo >> /tmp/up; while :; do sleep 0.02; done' &"
           "trap 'echo two >> /tmp/got' USR1; echo >> /tmp/up; while :; do sleep 0.02; done")
    box.create("c")
    box.hull("start", "c")
    assert eventually(lambda: (box.rootfs / "tmp/up").exists() and (box.rootfs / "tmp/up").read_text() == "\n\n")
    box.hull("kill", "c", "usr1")
    assert eventually(lambda: (box.rootfs / "tmp/got").exists() and (box.rootfs / "tmp/got").read_text() == "two\n")
    # The shells' own sleeps end at it; they are started again.
    box.hull("kill", "--all", "c", "SIGUSR1")
    assert eventually(lambda: sorted((box.rootfs / "tmp/got").read_text().split()) == ["one", "two", "two"])


def test_a_paused_container_is_killed(box):
    box.create("c")
    box.hull("start", "c")
    box.hull("pause", "c")
    box.hull("kill", "c", "KILL")
    box.wait_for("c", "stopped")
    box.hull("delete", "c")


def test_a_created_container_can_be_ended(box):
    for sig in ("TERM", "INT", "RTMIN+1"):
        box.create("c")
        box.hull("kill", "c", "CONT")
        box.hull("kill", "c", "0")
        assert box.status("c") == "created"
        box.hull("kill", "c", sig)
        box.wait_for("c", "stopped")
        box.hull("delete", "c")


# ---- fds -------------------------------------------------------------------------------------------------------------


class Listener:
    def __init__(self, path):
        self.path = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(self.path)
        self.sock.listen(1)

    def fd(self):
        peer, _ = self.sock.accept()
        with peer:
            fds = array.array("i")
            _, ancillary, _, _ = peer.recvmsg(100, socket.CMSG_LEN(fds.itemsize))
            fds.frombytes(ancillary[0][2])
        self.sock.close()
        return fds[0]


def pid_of(fd):
    info = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines())
    return int(info["Pid"])


def test_pidfd_sockets(box):
    listener = Listener(box.path / "s1")
    box.create("c", "--pidfd-socket", listener.path)
    init = listener.fd()
    assert pid_of(init) == box.state("c")["pid"]
    # Before the start it heeds signals, whatever way they come.
    signal.pidfd_send_signal(init, signal.SIGCONT)
    assert box.status("c") == "created"
    signal.pidfd_send_signal(init, signal.SIGTERM)
    os.close(init)
    box.wait_for("c", "stopped")
    box.hull("delete", "c")
    listener = Listener(box.path / "s1b")
    box.create("c", "--pidfd-socket", listener.path)
    init = listener.fd()
    box.hull("start", "c")
    listener = Listener(box.path / "s2")
    subprocess.run([HULL, "--root", box.root, "exec", "-d", "--pid-file", box.path / "pid", "--pidfd-socket",
                    listener.path, "c", "sleep", "55"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)
    other = listener.fd()
    assert pid_of(other) == int((box.path / "pid").read_text())
    signal.pidfd_send_signal(init, signal.SIGKILL)
    box.wait_for("c", "stopped")
    os.close(init)
    os.close(other)


def test_a_file_of_our_own_is_nothing_that_was_passed(box):
    """The log is fd 3 of hull then; it must not reach the container in place of one that the caller forgot."""
    done = box.hull("run", "--preserve-fds", "1", "c", options=("--log", box.path / "log"), check=False)
    assert done.returncode == 1 and "fd 3" in done.stderr
    assert nothing_is_left(box)


# ---- run -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [None, "--no-subreaper"])
def test_orphans_come_to_run(box, option):
    box.edit(share_pids)
    # The orphan ends before the container, which waits until even its zombie is gone: it was reaped.
    os.mkfifo(box.rootfs / "tmp/fifo")
    box.sh("sh -c '(read x < /tmp/fifo) & echo $! > /tmp/pid'; p=/proc/$(cat /tmp/pid); "
           "grep PPid: $p/status > /tmp/ppid; echo > /tmp/fifo; "
           + ("while [ -e $p ]; do sleep 0.02; done" if option is None else "true"))
    with subprocess.Popen([HULL, "--root", box.root, "run", *([option] if option else []), "c"], cwd=box.path,
                          stdin=subprocess.DEVNULL) as p:
        assert p.wait(timeout=60) == 0
    parent = int((box.rootfs / "tmp/ppid").read_text().split()[1])
    assert (parent == p.pid) == (option is None)


def test_run_keeps(box):
    box.sh("exit 3")
    assert box.hull("run", "--keep", "c", check=False).returncode == 3
    assert box.status("c") == "stopped"
    box.hull("delete", "c")
    assert nothing_is_left(box)


# ---- exec ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/sys/fs/cgroup/memory"), reason="no cgroup v1")
def test_exec_in_a_sub_cgroup_of_one_controller(box):
    box.create("c")
    box.hull("start", "c")
    (pathlib.Path("/sys/fs/cgroup/memory") / box.cgroups[1:] / "c/sub").mkdir()
    (pathlib.Path("/sys/fs/cgroup/pids") / box.cgroups[1:] / "c/other").mkdir()

    def seen(*options):
        text = box.hull("exec", *options, "c", "cat", "/proc/self/cgroup").stdout
        return {line.split(":")[1]: line.split(":")[2].removeprefix(f"{box.cgroups}/c") or "/"
                for line in text.splitlines()}

    plain = seen()
    assert seen("--cgroup", "/") == plain
    got = seen("--cgroup", "memory:sub", "--cgroup", "pids:/other")
    assert {k: v for k, v in got.items() if v != plain[k]} and got["memory"].endswith("/sub") and \
        got["pids"].endswith("/other") and not got["freezer"].endswith(("/sub", "/other"))
    for wrong, text in [("memory:../x", "not a sub cgroup path"), ("memory:nope", "nope"), ("nonsense:sub", "nonsense"),
                        (":sub", "invalid --cgroup"), ("sub", "sub")]:
        done = box.hull("exec", "--cgroup", wrong, "c", "true", check=False)
        assert done.returncode == 255 and text in done.stderr, done.stderr
    done = box.hull("exec", "--cgroup", "memory:sub", "--cgroup", "sub", "c", "true", check=False)
    assert done.returncode == 255 and "CONTROLLER:PATH" in done.stderr


def test_exec_adds_groups_and_capabilities(box):
    box.edit(lambda c: c["process"]["user"].update(additionalGids=[11]))
    box.create("c")
    box.hull("start", "c")
    assert sorted(box.hull("exec", "-g", "12", "--additional-gids", "13", "c", "id", "-G").stdout.split()) == \
        ["0", "11", "12", "13"]
    script = "grep -E '^Cap(Prm|Eff|Bnd|Inh)' /proc/self/status"
    sets = dict(line.split(":") for line in box.hull("exec", "-c", "CAP_SYS_PTRACE", "--cap", "CAP_NICE_TRY", "c", "sh",
                                                     "-c", script).stdout.splitlines())
    bit = 1 << 19
    assert all(int(sets[name], 16) & bit for name in ("CapPrm", "CapEff", "CapBnd"))
    assert not int(sets["CapInh"], 16) & bit


# ---- list, broken records -----------------------------------------------------------------------------------------------


def test_owners_have_names(box):
    box.create("c")
    record = box.root / "c/state.json"
    for uid, name in ((0, "root"), (1, "daemon"), (424242, "#424242")):
        state = json.loads(record.read_text())
        state["owner"] = uid
        record.write_text(json.dumps(state))
        assert box.state("c")["owner"] == name
        assert json.loads(box.hull("list", "-f", "json").stdout)[0]["owner"] == name
        assert box.hull("list").stdout.splitlines()[1].split()[-1] == name


def test_columns_are_as_wide_as_their_text(box):
    names = ["c", "a-name-that-is-longer-than-any-column-is-wide-of-itself"]
    for name in names:
        box.edit(lambda c, n=name: c["linux"].update(cgroupsPath=f"{box.cgroups}/{n}"))
        box.create(name)
    lines = box.hull("list").stdout.splitlines()
    for title in ("PID", "STATUS", "BUNDLE", "CREATED", "OWNER"):
        at = lines[0].index(title)
        assert all(line[at - 3:at] == "   " and line[at] != " " for line in lines)


def test_a_record_that_cannot_be_read(box):
    box.create("c")
    record = box.root / "c/state.json"
    for text in ("", "{", "[]", '{"id": 1}', '{"id": "c", "pid": -1, "startTime": 0}', "\x00" * 100, "x" * (2 << 20)):
        record.write_text(text)
        listed = box.hull("list")
        assert listed.stdout.splitlines()[1:] == [] and "load container c" in listed.stderr
        assert box.hull("state", "c", check=False).returncode == 1
        assert box.hull("delete", "c", check=False).returncode == 1
    box.hull("delete", "--force", "c")
    assert nothing_is_left(box)


# ---- before the command -------------------------------------------------------------------------------------------------


def test_roots_that_are_none(box):
    for root in ("/", "", "/tmp/..", "//"):
        done = subprocess.run([HULL, "--root", root, "list"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "--root must not be" in done.stderr
    done = subprocess.run([HULL, "--root", box.path / "config.json", "create", "c"], capture_output=True, text=True,
                          cwd=box.path, timeout=60)
    assert done.returncode == 1 and "config.json" in done.stderr


def test_the_log_is_appended_to(box):
    log = box.path / "log"
    log.write_text("before\n")
    for _ in range(2):
        box.hull("state", "nope", options=("--log", log), check=False)
    lines = log.read_text().splitlines()
    assert lines[0] == "before" and len(lines) == 3 and all("level=error" in line for line in lines[1:])


def test_wrong_words_show_the_usage(box):
    done = box.hull("run", check=False)
    assert done.returncode == 1 and "usage: hull run [options] CONTAINER" in done.stderr and done.stdout == ""
    done = box.hull("run", "--bundel", "x", "c", check=False)
    assert "unknown option" in done.stderr and "--bundel" in done.stderr and "usage: hull run" in done.stderr
    done = box.hull("rnu", "c", check=False)
    assert done.returncode == 3 and "rnu" in done.stderr and "usage: hull [options] COMMAND" in done.stderr
    done = box.hull("list", options=("--rootless", "perhaps"), check=False)
    assert done.returncode == 1 and "auto, true or false" in done.stderr
