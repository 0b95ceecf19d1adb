# SPDX-License-Identifier: Apache-2.0
"""`hull checkpoint` and `hull restore`: what a container has is there again, and nothing that fails leaves anything. Where
criu cannot work on this kernel, hull says why."""
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import textwrap
import time

import pytest

from bundles import bundle, pytestmark  # noqa: F401
from checkpoints import (COUNTER, CRIU, cgroup_dirs, count, counting, cr, criu_works, eventually, host_mounts,  # noqa: F401
                         images_of, needs_criu, refused)


def takes(pid, sig):
    """Is it ready for a signal, by a handler or to read it from a descriptor?"""
    lines = dict(line.split(":\t") for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return (int(lines["SigCgt"], 16) | int(lines["SigBlk"], 16)) >> (sig - 1) & 1


# ---- what is said when it cannot be done -------------------------------------------------------------------


def test_a_criu_that_cannot_work_says_why_and_the_container_runs_on(cr):
    counting(cr)
    done = cr.checkpoint("c1", check=False)
    if criu_works():
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    assert "does not work on this kernel" in done.stderr and os.uname().release in done.stderr
    assert "Error (criu/" in done.stderr
    before = count(cr)
    assert eventually(lambda: count(cr) > before)
    assert cr.b.status("c1") == "running"
    assert not cr.images.exists()


def test_a_missing_criu_names_the_package(cr):
    counting(cr)
    done = cr.hull("checkpoint", "c1", check=False, options=(), env={"PATH": "/nonexistent"})
    assert done.returncode == 1
    assert "package criu" in done.stderr
    done = cr.hull("checkpoint", "c1", check=False, options=("--criu", "/nonexistent/criu"))
    assert 'there is no program "/nonexistent/criu"' in done.stderr
    assert not (cr.b.path / "checkpoint").exists()


def test_a_criu_that_others_could_have_written_is_not_run(cr):
    counting(cr)
    fake = cr.b.path / "criu"
    fake.write_text(f"#!/bin/sh\ntouch {cr.b.path}/was-run\n")
    for mode, owner in ((0o777, 0), (0o775, 0), (0o755, 12345)):
        fake.chmod(mode)
        os.chown(fake, owner, 0)
        done = cr.hull("checkpoint", "c1", check=False, options=("--criu", fake))
        assert done.returncode == 1
        assert "written by others than root" in done.stderr
    done = cr.hull("checkpoint", "c1", check=False, options=(), env={"PATH": str(cr.b.path)})
    assert "written by others than root" in done.stderr
    assert not (cr.b.path / "was-run").exists()


def test_an_old_criu_is_refused(cr):
    counting(cr)
    old = cr.b.path / "old-criu"
    # VERSION answered by 3.12: type 10, success, version {major 3, minor 12}.
    old.write_text(textwrap.dedent("""\
        #!/usr/bin/python3
        import socket, sys
        s = socket.socket(fileno=int(sys.argv[2]))
        s.recv(4096)
        s.send(bytes([0x08, 10, 0x10, 1, 0x52, 4, 0x08, 3, 0x10, 12]))
        """))
    old.chmod(0o755)
    done = cr.hull("checkpoint", "c1", check=False, options=("--criu", old))
    assert done.returncode == 1
    assert "criu 3.12 is too old" in done.stderr and "3.16" in done.stderr


def test_a_criu_that_speaks_nonsense_is_an_error(cr):
    counting(cr)
    odd = cr.b.path / "odd-criu"
    for answer in (b"\x08", b"\xff" * 64, b"", bytes([0x08, 6, 0x10, 1])):
        odd.write_text("#!/usr/bin/python3\nimport socket, sys\ns = socket.socket(fileno=int(sys.argv[2]))\n"
                       f"s.recv(4096)\ns.send({answer!r})\n")
        odd.chmod(0o755)
        done = cr.hull("checkpoint", "c1", check=False, options=("--criu", odd))
        assert done.returncode == 1
        assert "criu" in done.stderr
    assert cr.b.status("c1") == "running"


def test_an_ordinary_user_is_told_what_is_missing(cr):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        shutil.copy(cr.b.hull_program, directory + "/hull")
        os.mkdir(directory + "/run")
        os.chown(directory + "/run", 4321, 4321)
        shutil.copy(cr.b.path / "config.json", directory)
        for args in (["checkpoint", "c1"], ["restore", "--detach", "c2"]):
            done = subprocess.run(["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups", directory + "/hull",
                                   "--root", directory + "/run", *args],
                                  capture_output=True, text=True, cwd=directory, check=False)
            assert done.returncode == 1
            assert "need root" in done.stderr and "user 4321" in done.stderr, done.stderr
        assert os.listdir(directory + "/run") == []


def test_root_of_a_child_user_namespace_is_told_what_is_missing(cr):
    counting(cr)
    done = subprocess.run(["unshare", "--user", "--map-root-user", cr.b.hull_program, "--root", cr.b.root,
                           "--rootless", "false", "checkpoint", "c1"], capture_output=True, text=True, cwd=cr.b.path,
                          check=False)
    assert done.returncode == 1
    assert "initial user namespace" in done.stderr, done.stderr


def test_containers_that_do_not_run_are_refused(cr):
    assert "does not exist" in cr.checkpoint("none", check=False).stderr
    cr.b.sh("true")
    cr.b.create("c1")
    assert "cannot be checkpointed in created state" in cr.checkpoint("c1", check=False).stderr
    cr.b.hull("start", "c1")
    cr.b.wait_for("c1", "stopped")
    assert "cannot be checkpointed in stopped state" in cr.checkpoint("c1", check=False).stderr
    assert not cr.images.exists()


@pytest.mark.parametrize("options, words", [
    (["--manage-cgroups-mode", "hard"], "none of soft, full, strict, ignore"),
    (["--empty-ns", "pid"], 'namespace "pid" is not supported'),
    (["--parent-path", "/tmp"], "must be relative"),
    (["--page-server", "localhost"], "no ADDRESS:PORT"),
    (["--page-server", "::1:80000"], "no ADDRESS:PORT"),
    (["--status-fd", "77"], "--status-fd 77"),
    (["--status-fd", "x"], "no number"),
])
def test_wrong_words_change_nothing(cr, options, words):
    counting(cr)
    done = cr.checkpoint("c1", *options, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert not cr.images.exists()
    assert cr.b.status("c1") == "running"


# ---- a restore of what is none ---------------------------------------------------------------------------------


@needs_criu
def test_images_that_are_none(cr):
    refused(cr, "directory of the images")
    cr.images.mkdir(mode=0o700)
    refused(cr, "there is no checkpoint")
    (cr.images / "inventory.img").touch()
    refused(cr, "there is only memory, of a pre-dump")


@needs_criu
def test_images_that_are_nonsense(cr):
    images_of(cr)
    refused(cr, "criu failed")


@needs_criu
@pytest.mark.parametrize("text", ["", "{}", "[1]", '["a","b","c","d"]', '["pipe:[1]"', "[" * 1000, "x" * 20000])
def test_descriptors_that_are_nonsense(cr, text):
    images_of(cr, descriptors_json=text)
    refused(cr, "descriptors.json")


@needs_criu
def test_images_that_others_could_write_are_refused(cr):
    images_of(cr)
    cr.images.chmod(0o777)
    refused(cr, "can be written by others")
    cr.images.chmod(0o700)
    (cr.images / "pstree.img").chmod(0o666)
    refused(cr, '"pstree.img" of the checkpoint can be written by others')
    (cr.images / "pstree.img").chmod(0o600)
    os.chown(cr.images / "pstree.img", 4321, 4321)
    refused(cr, "belongs to user 4321")
    os.chown(cr.images / "pstree.img", 0, 0)
    os.chown(cr.images, 4321, 4321)
    refused(cr, "belongs to user 4321")


@needs_criu
def test_images_with_links_and_special_files_are_refused(cr):
    images_of(cr)
    (cr.images / "pages-1.img").symlink_to("/etc/shadow")
    refused(cr, "neither a file nor a directory")
    (cr.images / "pages-1.img").unlink()
    os.mkfifo(cr.images / "pages-1.img")
    refused(cr, "neither a file nor a directory")
    (cr.images / "pages-1.img").unlink()
    (cr.images / "descriptors.json").symlink_to("/etc/passwd")
    refused(cr, "neither a file nor a directory")
    (cr.images / "descriptors.json").unlink()
    outside = cr.b.path / "outside"
    outside.mkdir()
    (outside / "pages-1.img").symlink_to("/etc/shadow")
    (cr.images / "parent").symlink_to("../outside")
    refused(cr, "neither a file nor a directory")


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


@needs_criu
def test_mounts_are_those_of_the_bundle(cr):
    """A restore elsewhere: another bundle, whose root never ran a container, and other sources at the same places."""
    outer, inner = cr.b.path / "outer", cr.b.path / "inner"
    for directory in (outer / "below", inner):
        directory.mkdir(parents=True)
    (outer / "name").write_text("first")
    (cr.b.path / "file").write_text("a file")
    (cr.b.rootfs / "link").symlink_to("target")
    subprocess.run(["mount", "-t", "tmpfs", "below", outer / "below"], check=True)
    try:
        (outer / "below/deep").write_text("below the first")
        cr.bind(outer, "/outer", "rbind", "ro", "nosuid")
        cr.bind(cr.b.path / "file", "/file", "bind", "ro")
        cr.bind(inner, "/link")
        cr.bind(inner, "/outer/below")
        cr.b.edit(lambda c: c["mounts"].append({"destination": "/own", "type": "tmpfs", "source": "own",
                                                "options": ["size=1m", "nosuid", "mode=750"]}))
        cr.bind(cr.b.path / "file", "/own/file")
        counting(cr)
        cr.hull("exec", "c1", "sh", "-c", "echo mine >/own/data; echo in inner >/link/x")

        def mounts(name):
            lines = cr.hull("exec", name, "cat", "/proc/self/mountinfo").stdout.splitlines()
            return {w[4]: (w[5].replace("rw,relatime", ""), w[w.index("-") + 1]) for w in map(str.split, lines)}

        before = mounts("c1")
        cr.checkpoint("c1")
        other = cr.b.path / "other"
        (other / "rootfs").mkdir(parents=True)
        for name in ("bin", "tmp"):
            shutil.copytree(cr.b.rootfs / name, other / "rootfs" / name, symlinks=True)
        (other / "rootfs/link").symlink_to("target")
        shutil.copy(cr.b.rootfs / "count", other / "rootfs/count")
        shutil.copy(cr.b.path / "config.json", other)
        (outer / "name").write_text("second")
        cr.restore("c2", "--bundle", other)
        assert cr.hull("exec", "c2", "cat", "/outer/name", "/own/data", "/link/x", "/outer/below/x", "/own/file").stdout \
            == "secondmine\nin inner\nin inner\na file"
        after = mounts("c2")
        assert after == before
        assert cr.hull("exec", "c2", "touch", "/outer/no", check=False).returncode != 0
        assert not cr.b.state("c2")["rootfs"].startswith(str(cr.b.rootfs))
        cr.hull("delete", "--force", "c2")
    finally:
        subprocess.run(["umount", "-l", outer / "below"], check=True)


@needs_criu
def test_mounts_are_refused_that_show_others_of_the_container(cr):
    """Nothing outside of the container has what they show."""
    extra = cr.b.path / "extra"
    extra.mkdir()
    cr.bind(extra, "/extra")
    cr.bind(cr.b.rootfs / "extra", "/again")
    counting(cr)
    done = cr.checkpoint("c1", check=False)
    assert done.returncode == 1 and 'mount on "/again"' in done.stderr and "another mount of the container" in done.stderr
    assert cr.b.status("c1") == "running"


@needs_criu
def test_a_source_that_is_missing_now_is_an_error_of_the_bundle(cr):
    extra = cr.b.path / "extra"
    extra.mkdir()
    cr.bind(extra, "/extra")
    counting(cr)
    cr.checkpoint("c1")
    extra.rmdir()
    refused(cr, '"/extra"')
    extra.mkdir()
    # The images name a mount that the bundle does not have: criu does not find it, and nothing else is tried.
    cr.b.edit(lambda c: c["mounts"].pop())
    refused(cr, "criu failed")


@needs_criu
def test_a_read_only_root_stays_one(cr):
    (cr.b.rootfs / "data").mkdir()
    cr.bind(cr.shared, "/data")
    cr.b.edit(lambda c: c["root"].update(readonly=True))
    cr.b.sh(COUNTER.replace("/count", "/data/count"))
    cr.run("c1")
    assert eventually((cr.shared / "count").exists)
    cr.checkpoint("c1")
    (cr.shared / "count").unlink()
    cr.restore("c1")
    assert eventually((cr.shared / "count").exists)
    assert cr.hull("exec", "c1", "touch", "/no", check=False).returncode != 0


@needs_criu
def test_limits_are_those_of_the_bundle(cr):
    cr.b.edit(lambda c: c["linux"].setdefault("resources", {}).update(pids={"limit": 111}))
    counting(cr)
    cr.checkpoint("c1")
    cr.b.edit(lambda c: c["linux"]["resources"].update(pids={"limit": 222}))
    cr.restore("c1")
    limits = {pathlib.Path(d, "pids.max").read_text().strip() for d in cgroup_dirs("c1")
              if pathlib.Path(d, "pids.max").exists()}
    assert limits == {"222"}


@needs_criu
def test_hooks(cr):
    log = cr.b.path / "hooks"
    script = cr.b.path / "hook"
    script.write_text(f'#!/bin/sh\necho $1 $(/bin/busybox cat | /bin/busybox grep -o \'"status": *"[a-z]*"\') >>{log}\n')
    script.chmod(0o755)
    kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    cr.b.edit(lambda c: c.update(hooks={k: [{"path": str(script), "args": ["hook", k]}] for k in kinds
                                        if k not in ("createContainer", "startContainer")}))
    counting(cr)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["prestart", "createRuntime", "poststart"]
    log.unlink()
    cr.checkpoint("c1")
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["poststop"]
    log.unlink()
    cr.restore("c1")
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["prestart", "createRuntime"]
    cr.hull("delete", "--force", "c1")
    script.write_text("#!/bin/sh\necho no network >&2\nexit 3\n")
    refused(cr, "no network")


@needs_criu
def test_a_joined_network_namespace(cr):
    name = f"hull-cr-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        def join(c):
            for ns in c["linux"]["namespaces"]:
                if ns["type"] == "network":
                    ns["path"] = f"/run/netns/{name}"
        cr.b.edit(join)
        counting(cr)
        inode = os.stat(f"/run/netns/{name}").st_ino
        cr.checkpoint("c1")
        cr.restore("c1")
        assert os.stat(f"/proc/{cr.b.state('c1')['pid']}/ns/net").st_ino == inode
        cr.hull("delete", "--force", "c1")
        subprocess.run(["ip", "netns", "delete", name], check=True)
        refused(cr, "open the network namespace")
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


@needs_criu
def test_a_user_namespace(cr):
    maps = [{"containerID": 0, "hostID": 400000, "size": 65536}]

    def with_user_namespace(c):
        c["linux"]["namespaces"].append({"type": "user"})
        c["linux"].update(uidMappings=maps, gidMappings=maps)
    subprocess.run(["chown", "-R", "400000:400000", cr.b.rootfs], check=True)
    cr.b.edit(with_user_namespace)
    counting(cr)
    cr.checkpoint("c1")
    at = count(cr)
    cr.restore("c1")
    assert eventually(lambda: count(cr) > at + 3)
    pid = cr.b.state("c1")["pid"]
    assert pathlib.Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", "400000", "65536"]
    assert os.stat(f"/proc/{pid}").st_uid == 400000
    assert cr.hull("exec", "c1", "id", "-u").stdout == "0\n"


@needs_criu
def test_a_dump_that_fails_leaves_the_container_as_it_was(cr):
    cr.python("""
        outside = socket.socket(socket.AF_UNIX)
        outside.connect("/shared/sock")
        say("ready")
        i = 0
        while True:
            i += 1
            with open("/shared/i", "w") as f:
                f.write(str(i))
            time.sleep(0.02)
        """)

    def runs():
        before = (cr.shared / "i").read_text()
        return eventually(lambda: (cr.shared / "i").read_text() not in ("", before))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(cr.shared / "sock"))
        listener.listen(1)
        cr.run("c1")
        cr.said("ready")
        pid = cr.b.state("c1")["pid"]
        cr.images.write_text("in the way")
        done = cr.checkpoint("c1", check=False)
        assert done.returncode == 1 and "directory of the images" in done.stderr
        assert runs()
        cr.images.unlink()
        done = cr.checkpoint("c1", check=False)
        assert done.returncode == 1
        assert "Error (criu/" in done.stderr and "unix" in done.stderr
        assert str(cr.images / "dump.log") in done.stderr
        assert cr.b.status("c1") == "running" and cr.b.state("c1")["pid"] == pid
        assert runs()


@needs_criu
def test_a_restore_that_fails_leaves_nothing(cr):
    counting(cr)
    before = set(os.listdir("/tmp"))
    cr.checkpoint("c1")
    core = next(cr.images.glob("core-*.img"))
    whole = core.read_bytes()
    core.write_bytes(whole[:40])
    refused(cr, "criu failed")
    assert "restore.log" in cr.restore("c2", check=False).stderr
    core.write_bytes(whole)
    # In the end, when all of it is there: the pid cannot be written.
    done = cr.restore("c2", "--pid-file", "/nonexistent/pid", check=False)
    assert done.returncode == 1 and "/nonexistent" in done.stderr
    assert not (cr.b.root / "c2").exists()
    assert not cgroup_dirs("c2")
    assert not [name for name in set(os.listdir("/tmp")) - before if name.startswith((".criu", "cr-tmpfs"))]
    at = count(cr)
    time.sleep(0.2)
    assert count(cr) == at
    cr.restore("c2")
    assert eventually(lambda: count(cr) > at)


@needs_criu
def test_a_killed_restore_leaves_nothing_that_delete_does_not_find(cr):
    counting(cr)
    cr.checkpoint("c1")
    hook = cr.b.path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {cr.b.path}/in-hook\nsleep 1000\n")
    hook.chmod(0o755)
    cr.b.edit(lambda c: c.update(hooks={"prestart": [{"path": str(hook)}]}))
    mounts = host_mounts(cr)
    restore = subprocess.Popen(
        [cr.b.hull_program, "--root", cr.b.root, "--criu", CRIU, "restore", "-d", "--image-path", cr.images, "c2"],
        cwd=cr.b.path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert eventually((cr.b.path / "in-hook").exists)
    restore.kill()
    restore.wait()
    subprocess.run(["pkill", "-KILL", "-f", f"^/bin/sh {hook}$"], check=False)
    assert host_mounts(cr) == mounts
    cr.hull("delete", "--force", "c2")
    assert eventually(lambda: not cgroup_dirs("c2"))
    assert not (cr.b.root / "c2").exists()


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
