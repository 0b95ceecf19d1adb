# SPDX-License-Identifier: Apache-2.0
"""`hull checkpoint` and `hull restore`: what a container has is there again, and nothing that fails leaves anything. Where
criu cannot work on this kernel, hull says why."""
import json
import os
import pathlib
import pty
import select
import signal
import socket
import stat
import subprocess
import time

import pytest

from bundles import bundle, pytestmark  # noqa: F401
from checkpoints import CRIU, cgroup_dirs, count, counting, cr, eventually, host_mounts, needs_criu  # noqa: F401


def takes(pid, sig):
    """Is it ready for a signal, by a handler or to read it from a descriptor?"""
    lines = dict(line.split(":\t") for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return (int(lines["SigCgt"], 16) | int(lines["SigBlk"], 16)) >> (sig - 1) & 1


# ---- the real thing ------------------------------------------------------------------------------------------


@needs_criu
def test_a_counter_goes_on_where_it_was(cr):
    mounts = host_mounts(cr)
    counting(cr)
    cr.checkpoint("c1")
    assert stat.S_IMODE(cr.images.stat().st_mode) == 0o700
    assert not (cr.b.root / "c1").exists()
    assert not cgroup_dirs("c1")
    at = count(cr)
    time.sleep(0.3)
    assert count(cr) == at
    created = time.time()
    cr.restore("c1", "--pid-file", cr.b.path / "pid")
    assert eventually(lambda: count(cr) > at + 3)
    assert count(cr) < at + 400
    state = cr.b.state("c1")
    assert state["status"] == "running"
    assert state["pid"] == int((cr.b.path / "pid").read_text())
    assert state["created"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created - 2))
    assert os.readlink(f"/proc/{state['pid']}/exe") == "/bin/busybox"
    assert cr.hull("exec", "c1", "cat", "/proc/1/comm").stdout == "sh\n"
    assert [p for p in cr.hull("ps", "-f", "json", "c1").stdout.strip("[]\n").split(",")][0] == str(state["pid"])
    assert host_mounts(cr) == mounts
    assert cgroup_dirs("c1")
    cr.hull("kill", "c1", "KILL")
    cr.b.wait_for("c1", "stopped")
    cr.hull("delete", "c1")
    assert not cgroup_dirs("c1")


@needs_criu
def test_a_shell_that_redirects_its_output_all_the_time(cr):
    """Its descriptor 1 is a file of its own most of the time, and what it was started with then is at another number."""
    cr.b.sh("while :; do : >>/count; done")
    cr.run("c1")
    for n in range(4):
        cr.checkpoint("c1", "--leave-running", images=cr.b.path / f"images{n}")
    assert cr.b.status("c1") == "running"


@needs_criu
def test_a_standard_file_may_have_a_long_path(cr):
    deep = cr.b.path.joinpath(*["d" * 200] * 3)
    deep.mkdir(parents=True)
    cr.b.args("sleep", "1000")
    cr.run("c1", out=open(deep / "out", "ab"))
    cr.checkpoint("c1", "--leave-running")


@needs_criu
def test_what_is_there_already_is_not_restored_over(cr):
    counting(cr)
    cr.checkpoint("c1", "--leave-running")
    done = cr.restore("c1", check=False)
    assert done.returncode == 1
    assert "exists" in done.stderr
    assert cr.b.status("c1") == "running"


@needs_criu
def test_leave_running_and_a_second_one_from_the_same_images(cr):
    counting(cr)
    cr.checkpoint("c1", "--leave-running", "--work-path", cr.b.path / "work")
    assert (cr.b.path / "work/dump.log").exists() and not (cr.images / "dump.log").exists()
    at = count(cr)
    assert eventually(lambda: count(cr) > at + 2)
    assert cr.b.status("c1") == "running"
    cr.hull("delete", "--force", "c1")
    cr.restore("c2", "--work-path", cr.b.path / "work")
    assert (cr.b.path / "work/restore.log").exists()
    assert cr.b.status("c2") == "running"
    assert cgroup_dirs("c2") and not cgroup_dirs("c1")


@needs_criu
def test_a_paused_container(cr):
    counting(cr)
    cr.hull("pause", "c1")
    cr.checkpoint("c1", "--leave-running")
    assert cr.b.status("c1") == "paused"
    cr.hull("resume", "c1")
    cr.hull("delete", "--force", "c1")
    at = count(cr)
    cr.restore("c1")
    assert eventually(lambda: count(cr) > at)


@needs_criu
def test_memory_files_pipes_and_signals(cr):
    cr.python("""
        secret = os.urandom(1 << 20)
        f = open("/tmp/open-file", "w+")
        f.write("before ")
        f.flush()
        os.unlink("/tmp/open-file")
        dev = open("/dev/shm/kept", "w+")
        dev.write("shared memory")
        dev.flush()
        r, w = os.pipe()
        os.write(w, b"in the pipe")
        got = []
        signal.signal(signal.SIGUSR1, lambda *a: got.append(1))
        child = os.fork()
        if not child:
            wait_for("go")
            say("child", os.getpid(), os.read(r, 100).decode())
            os._exit(7)
        say("hash", hash(secret))
        say("ready")
        wait_for("go")
        f.write("after")
        f.seek(0)
        say("file", f.read())
        say("same", hash(secret))
        say("shm", open("/dev/shm/kept").read())
        say("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        while not got:
            time.sleep(0.01)
        say("signal", os.getpid(), socket.gethostname())
        time.sleep(1000)
        """)
    cr.b.edit(lambda c: c.update(hostname="kept-host"))
    cr.run("c1")
    cr.said("ready")
    cr.checkpoint("c1")
    cr.restore("c1")
    cr.tell("go")
    assert cr.said("file") == "before after"
    assert cr.said("same") == cr.said("hash")
    assert cr.said("shm") == "shared memory"
    assert cr.said("child").split(maxsplit=1)[1] == "in the pipe"
    assert cr.said("exit") == "7"
    cr.hull("kill", "c1", "USR1")
    assert cr.said("signal") == "1 kept-host"


@needs_criu
def test_tcp_connections_over_loopback(cr):
    cr.python("""
        wait_for("up")
        listener = socket.create_server(("127.0.0.1", 4711))
        client = socket.create_connection(("127.0.0.1", 4711))
        server, _ = listener.accept()
        client.sendall(b"sent before")
        say("ready")
        wait_for("go")
        say("got", server.recv(100).decode())
        server.sendall(b"answer")
        say("answer", client.recv(100).decode())
        again = socket.create_connection(("127.0.0.1", 4711))
        say("listening", listener.accept()[1][0])
        time.sleep(1000)
        """)
    cr.run("c1")
    subprocess.run(["nsenter", "-t", str(cr.b.state("c1")["pid"]), "-n", "ip", "link", "set", "lo", "up"], check=True)
    cr.tell("up")
    cr.said("ready")
    done = cr.checkpoint("c1", check=False)
    if done.returncode == 0:
        raise AssertionError("an established connection is in no checkpoint without --tcp-established")
    assert "Error (criu/" in done.stderr and "tcp" in done.stderr.lower(), done.stderr
    assert "dump.log" in done.stderr
    assert cr.b.status("c1") == "running"
    done = cr.checkpoint("c1", "--tcp-established", check=False)
    if done.returncode and "iptables" in done.stderr + cr.criu_log():
        pytest.skip("no iptables that works here")
    assert done.returncode == 0, done.stderr
    cr.restore("c1", "--tcp-established")
    cr.tell("go")
    assert cr.said("got") == "sent before"
    assert cr.said("answer") == "answer"
    assert cr.said("listening") == "127.0.0.1"


@needs_criu
def test_file_locks(cr):
    cr.python("""
        f = open("/tmp/locked", "w")
        fcntl.flock(f, fcntl.LOCK_EX)
        say("ready")
        wait_for("go")
        try:
            fcntl.flock(open("/tmp/locked", "w"), fcntl.LOCK_EX | fcntl.LOCK_NB)
            say("lock", "lost")
        except OSError:
            say("lock", "held")
        time.sleep(1000)
        """)
    cr.run("c1")
    cr.said("ready")
    done = cr.checkpoint("c1", check=False)
    assert done.returncode == 1
    assert "lock" in done.stderr and "Error (criu/" in done.stderr
    assert cr.b.status("c1") == "running"
    cr.checkpoint("c1", "--file-locks")
    cr.restore("c1", "--file-locks")
    cr.tell("go")
    assert cr.said("lock") == "held"


@needs_criu
def test_standard_pipes_are_those_of_the_restore(cr):
    cr.b.sh('i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done')
    r, w = os.pipe()
    cr.run("c1", out=w)
    os.close(w)
    with os.fdopen(r) as out:
        assert [out.readline() for _ in range(3)] == ["line 1\n", "line 2\n", "line 3\n"]
        cr.checkpoint("c1")
        last = [line for line in out][-1:]
    number = int(last[0].split()[1]) if last else 3
    assert json.loads((cr.images / "descriptors.json").read_text())[1].startswith("pipe:[")
    r, w = os.pipe()
    cr.restore("c1", out=w)
    os.close(w)
    with os.fdopen(r) as out:
        assert out.readline() == f"line {number + 1}\n"
        assert out.readline() == f"line {number + 2}\n"
        cr.hull("delete", "--force", "c1")


@needs_criu
def test_in_the_foreground_the_exit_status_is_the_containers(cr):
    cr.b.sh('trap "exit 5" TERM; echo up >/up; while :; do sleep 0.02; done')
    cr.run("c1")
    cr.b.wait_for_file("up")
    cr.checkpoint("c1")
    foreground = subprocess.Popen(
        [cr.b.hull_program, "--root", cr.b.root, "--criu", CRIU, "restore", "--image-path", cr.images, "c1"],
        cwd=cr.b.path, stdin=subprocess.DEVNULL, stdout=open(cr.b.path / "out", "ab"),
        stderr=open(cr.b.path / "err", "ab"))
    try:
        assert eventually(lambda: (cr.b.root / "c1/state.json").exists()), (cr.b.path / "err").read_text()
        assert cr.b.status("c1") == "running"
        assert eventually(lambda: takes(foreground.pid, signal.SIGTERM))
        foreground.send_signal(signal.SIGTERM)
        assert foreground.wait(60) == 5, (cr.b.path / "err").read_text()
    finally:
        foreground.kill()
        foreground.wait()
    assert not (cr.b.root / "c1").exists()


@needs_criu
def test_a_terminal(cr):
    cr.b.edit(lambda c: c["process"].update(terminal=True))
    cr.b.sh("stty -echo; while read line; do echo you said $line; done")

    def on_console(command, *options):
        path = cr.b.path / "console.sock"
        if path.exists():
            path.unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            cr.start(command, "c1", "--console-socket", path, *options)
            peer, _ = listener.accept()
            with peer:
                return socket.recv_fds(peer, 100, 1)[1][0]

    def ask(master, word):
        os.write(master, word.encode() + b"\n")
        text = b""
        end = time.monotonic() + 60
        while f"you said {word}".encode() not in text:
            assert time.monotonic() < end, text
            text += os.read(master, 1000)
        return text

    master = on_console("run")
    ask(master, "before")
    cr.checkpoint("c1")
    os.close(master)
    assert cr.restore("c1", check=False).returncode == 1  # without a console socket
    master = on_console("restore", "--image-path", cr.images)
    ask(master, "after")
    assert cr.hull("exec", "c1", "readlink", "/proc/1/fd/0").stdout.startswith("/dev/pts/")
    os.close(master)


@needs_criu
def test_a_shell_job_has_the_terminal_of_who_restores_it(cr):
    def on_a_terminal(*args):
        pid, master = pty.fork()
        if pid == 0:
            os.chdir(cr.b.path)
            os.execv(cr.b.hull_program, [str(cr.b.hull_program), "--root", str(cr.b.root), "--criu", CRIU, *map(str, args)])
        return pid, master

    def ask(master, word):
        os.write(master, word.encode() + b"\n")
        text = b""
        end = time.monotonic() + 60
        while f"you said {word}".encode() not in text:
            assert time.monotonic() < end and select.select([master], [], [], 60)[0], text
            text += os.read(master, 1000)

    cr.b.sh("while read line; do echo you said $line; done; exit 3")
    pid, master = on_a_terminal("run", "c1")
    ask(master, "before")
    cr.b.wait_for("c1", "running")
    done = cr.checkpoint("c1", check=False)
    assert done.returncode == 1 and "Error (criu/" in done.stderr
    cr.checkpoint("c1", "--shell-job")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGKILL
    os.close(master)
    pid, master = on_a_terminal("restore", "--shell-job", "--image-path", cr.images, "c1")
    ask(master, "after")
    os.write(master, b"\x04")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    os.close(master)


def tracks_memory():
    done = subprocess.run([CRIU, "check", "--feature", "mem_dirty_track"], capture_output=True, check=False)
    return done.returncode == 0


@needs_criu
def test_pre_dump_and_parent_path(cr):
    cr.python("""
        memory = bytearray(os.urandom(8 << 20))
        say("ready", hash(bytes(memory)))
        wait_for("go")
        say("same", hash(bytes(memory)))
        time.sleep(1000)
        """)
    cr.run("c1")
    digest = cr.said("ready")
    first = cr.b.path / "first"
    done = cr.checkpoint("c1", "--pre-dump", images=first, check=False)
    if not tracks_memory():
        assert done.returncode == 1 and "CONFIG_MEM_SOFT_DIRTY" in done.stderr
        assert not first.exists()
        return
    assert done.returncode == 0, done.stderr
    assert cr.b.status("c1") == "running"
    second = cr.b.path / "second"
    done = cr.checkpoint("c1", "--parent-path", "../nowhere", images=second, check=False)
    assert done.returncode == 1 and "../nowhere" in done.stderr
    cr.checkpoint("c1", "--parent-path", "../first", images=second)

    def size(directory):
        return sum(p.stat().st_size for p in directory.glob("pages-*.img"))
    assert size(first) > 8 << 20 > size(second)
    done = cr.restore("c1", images=first, check=False)
    assert done.returncode == 1 and "only memory" in done.stderr
    cr.restore("c1", images=second)
    cr.tell("go")
    assert cr.said("same") == digest


@needs_criu
def test_lazy_pages_and_the_status_fd(cr):
    cr.python("""
        memory = bytearray(os.urandom(4 << 20))
        say("ready", hash(bytes(memory)))
        wait_for("go")
        say("same", hash(bytes(memory)))
        time.sleep(1000)
        """)
    cr.run("c1")
    digest = cr.said("ready")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    r, w = os.pipe()
    work = cr.b.path / "work"
    work.mkdir()
    with open(cr.b.path / "lazy.err", "wb") as err:
        dump = subprocess.Popen(
            [cr.b.hull_program, "--root", cr.b.root, "--criu", CRIU, "checkpoint", "--lazy-pages", "--page-server",
             f"127.0.0.1:{port}", "--status-fd", str(w), "--work-path", work, "--image-path", cr.images, "c1"],
            cwd=cr.b.path, stdin=subprocess.DEVNULL, stdout=err, stderr=err, pass_fds=[w])
    os.close(w)
    daemon = None
    try:
        with os.fdopen(r, "rb") as status:
            ready = status.read(1)
        if not ready:
            assert "userfaultfd" in (cr.b.path / "lazy.err").read_text()
            return
        assert ready == b"\0"
        with open(cr.b.path / "daemon.err", "wb") as err:
            daemon = subprocess.Popen(
                [CRIU, "lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", str(port), "-vv",
                 "-D", cr.images, "-W", work], stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        assert eventually((work / "lazy-pages.socket").exists)
        done = cr.restore("c2", "--lazy-pages", "--work-path", work, check=False)
        if "page-pipe: tee" in (cr.b.path / "lazy.err").read_text():
            pytest.skip("no CAP_SYS_RESOURCE: criu's pipes cannot be made large enough")
        assert done.returncode == 0, done.stderr + (cr.b.path / "lazy.err").read_text()
        cr.tell("go")
        assert cr.said("same") == digest
        assert daemon.wait(60) == 0
        assert dump.wait(60) == 0, (cr.b.path / "lazy.err").read_text()
    finally:
        for process in (daemon, dump):
            if process:
                process.kill()
                process.wait()


@needs_criu
def test_cgroups_inside_of_the_containers(cr):
    unified = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
    base = pathlib.Path("/sys/fs/cgroup" if unified else "/sys/fs/cgroup/freezer") / "hull"
    # Without one criu takes the cgroup that the init is in for the container's.
    cr.b.edit(lambda c: {"type": "cgroup"} in (n := c["linux"]["namespaces"]) or n.append({"type": "cgroup"}))
    counting(cr)
    (base / "c1/inner").mkdir()
    pid = cr.b.state("c1")["pid"]
    (base / "c1/inner/cgroup.procs").write_text(str(pid))
    cr.checkpoint("c1", "--manage-cgroups-mode", "soft", "--leave-running")
    cr.hull("delete", "--force", "c1")
    cr.restore("c2", "--manage-cgroups-mode", "soft")
    assert str(cr.b.state("c2")["pid"]) in (base / "c2/inner/cgroup.procs").read_text().split()
    assert not (base / "c1").exists()
    cr.hull("delete", "--force", "c2")
    assert not (base / "c2").exists()
    cr.restore("c3", "--manage-cgroups-mode", "ignore")
    assert str(cr.b.state("c3")["pid"]) in (base / "c3/cgroup.procs").read_text().split()
