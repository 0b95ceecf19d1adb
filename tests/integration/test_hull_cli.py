# SPDX-License-Identifier: Apache-2.0
"""The `hull` command as its callers use it: real bundles of a static busybox."""
import array
import errno
import glob
import json
import os
import pathlib
import pty
import signal
import socket
import stat
import subprocess
import time

import pytest

from bundles import HULL, bundle, host_mounts, pytestmark, wait_until  # noqa: F401 pylint: disable=unused-import


# ---- run -----------------------------------------------------------------------------------------------------


def test_run_returns_the_exit_status_and_leaves_nothing(bundle):
    bundle.sh("echo out; echo err >&2; exit 5")
    done = bundle.hull("run", "c1", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")
    assert os.listdir(bundle.root) == []
    assert not list(pathlib.Path("/sys/fs/cgroup").glob("*/hull/c1"))


def test_run_passes_stdin_through(bundle):
    bundle.args("cat")
    done = subprocess.run([HULL, "--root", bundle.root, "run", "c1"], cwd=bundle.path, input=b"to the container",
                          capture_output=True, timeout=60)
    assert done.stdout == b"to the container"


def test_run_forwards_signals(bundle):
    bundle.sh("trap 'echo got it; exit 9' USR1; echo ready; while true; do sleep 0.05; done")
    with subprocess.Popen([HULL, "--root", bundle.root, "run", "c1"], cwd=bundle.path, stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True) as p:
        assert p.stdout.readline() == "ready\n"
        p.send_signal(signal.SIGUSR1)
        assert p.stdout.read() == "got it\n"
        assert p.wait(timeout=60) == 9


def test_a_signal_that_ends_the_container_is_128_and_its_number(bundle):
    bundle.sh("kill -9 $$")
    bundle.edit(lambda c: c["linux"].update(namespaces=[n for n in c["linux"]["namespaces"] if n["type"] != "pid"]))
    assert bundle.hull("run", "c1", check=False).returncode == 137


def test_options_may_follow_the_id(bundle):
    bundle.sh("exit 3")
    done = bundle.hull("run", "c1", "--bundle", bundle.path, check=False)
    assert done.returncode == 3


def test_run_on_a_terminal(bundle):
    bundle.edit(lambda c: c["process"].update(terminal=True))
    bundle.sh("tty; echo from inside; head -n1; exit 4")
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(bundle.path)
        os.execv(HULL, [str(HULL), "--root", str(bundle.root), "run", "c1"])
    output = b""
    while b"from inside" not in output:
        output += os.read(fd, 1024)
    os.write(fd, b"typed\n")
    try:
        while True:
            output += os.read(fd, 1024)
    except OSError as e:
        assert e.errno == errno.EIO
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
    os.close(fd)
    assert b"/dev/pts/0" in output and b"typed" in output


# ---- life ----------------------------------------------------------------------------------------------------


def test_create_start_kill_delete(bundle):
    bundle.args("sleep", "100")
    bundle.create("c1", "--pid-file", bundle.path / "pid")
    state = bundle.state("c1")
    assert state["status"] == "created"
    assert state["bundle"] == str(bundle.path) and state["rootfs"] == str(bundle.rootfs)
    assert state["id"] == "c1" and state["ociVersion"] and state["owner"] == "root"
    assert int((bundle.path / "pid").read_text()) == state["pid"]
    assert pathlib.Path(f"/proc/{state['pid']}/comm").read_text() != "sleep\n"
    bundle.hull("start", "c1")
    assert bundle.status("c1") == "running"
    assert pathlib.Path(f"/proc/{state['pid']}/comm").read_text() == "sleep\n"
    refused = bundle.hull("start", "c1", check=False)
    assert refused.returncode == 1 and "cannot start an already running container" in refused.stderr
    refused = bundle.hull("delete", "c1", check=False)
    assert refused.returncode == 1 and "cannot delete container c1 that is not stopped: running" in refused.stderr
    bundle.hull("kill", "c1", "KILL")
    bundle.wait_for("c1", "stopped")
    assert bundle.state("c1")["pid"] == 0
    refused = bundle.hull("kill", "c1", "TERM", check=False)
    assert refused.returncode == 1 and "container not running" in refused.stderr
    refused = bundle.hull("start", "c1", check=False)
    assert "cannot start a container that has stopped" in refused.stderr
    bundle.hull("delete", "c1")
    gone = bundle.hull("state", "c1", check=False)
    assert gone.returncode == 1 and "does not exist" in gone.stderr


def test_delete_force_takes_a_running_one_and_none(bundle):
    bundle.args("sleep", "100")
    bundle.create("c1")
    bundle.hull("start", "c1")
    pid = bundle.state("c1")["pid"]
    bundle.hull("delete", "--force", "c1")
    assert not os.path.exists(f"/proc/{pid}/exe")
    bundle.hull("delete", "--force", "c1")
    assert bundle.hull("delete", "c1", check=False).returncode == 1


def test_a_created_container_can_be_deleted(bundle):
    bundle.create("c1")
    bundle.hull("delete", "c1")
    assert os.listdir(bundle.root) == []


def test_an_id_is_taken_once(bundle):
    bundle.create("c1")
    again = bundle.hull("create", "c1", check=False)
    assert again.returncode == 1 and "already exists" in again.stderr
    assert bundle.status("c1") == "created"


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../x", "", "a b", "x" * 1025])
def test_ids_that_are_no_names_are_refused(bundle, name):
    for command in ("state", "delete", "run", "create"):
        assert bundle.hull(command, name, check=False).returncode == 1
    assert sorted(os.listdir(bundle.path)) == ["config.json", "rootfs"]


def test_list(bundle):
    assert bundle.hull("list", "--format", "json").stdout == "null\n"
    bundle.args("sleep", "100")
    bundle.create("c1")
    bundle.create("c2")
    bundle.hull("start", "c2")
    assert {c["id"]: c["status"] for c in json.loads(bundle.hull("list", "-f", "json").stdout)} == \
        {"c1": "created", "c2": "running"}
    assert bundle.hull("list", "-q").stdout == "c1\nc2\n"
    lines = bundle.hull("list").stdout.splitlines()
    assert lines[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"] and len(lines) == 3


def test_a_created_container_waits_with_little(bundle):
    """What the program may not have, its init gives up before it is started, not after."""
    bundle.edit(lambda c: c["process"]["capabilities"].update(bounding=["CAP_KILL", "CAP_NET_BIND_SERVICE"]))
    bundle.sh("sleep 1000")
    bundle.create("c1")
    status = pathlib.Path(f"/proc/{bundle.state('c1')['pid']}/status")
    few = f"CapBnd:\t{1 << 5 | 1 << 10:016x}\n"
    wait_until(lambda: few in status.read_text())
    assert bundle.status("c1") == "created"
    bundle.hull("start", "c1")
    assert few in status.read_text()


def test_a_pause_is_seen_without_the_record_of_its_files(bundle):
    """A container of an earlier hull, and one whose cgroups are mounted elsewhere now."""
    bundle.sh("sleep 1000")
    bundle.create("c1")
    record = bundle.root / "c1/state.json"
    state = json.loads(record.read_text())
    assert state["freezerFiles"]
    for files in (None, [], ["/nowhere/freezer.state"], ["/proc/self/cmdline"]):
        state.pop("freezerFiles", None)
        if files is not None:
            state["freezerFiles"] = files
        record.write_text(json.dumps(state))
        assert bundle.status("c1") == "created"
        bundle.hull("pause", "c1")
        assert bundle.status("c1") == "paused"
        refused = bundle.hull("start", "c1", check=False)
        assert refused.returncode == 1 and "paused" in refused.stderr
        bundle.hull("resume", "c1")
    bundle.hull("start", "c1")
    bundle.hull("pause", "c1")
    bundle.hull("kill", "c1", "KILL")
    bundle.wait_for("c1", "stopped")


def test_pause_and_resume(bundle):
    bundle.args("sleep", "100")
    bundle.create("c1")
    bundle.hull("start", "c1")
    bundle.hull("pause", "c1")
    assert bundle.status("c1") == "paused"
    refused = bundle.hull("exec", "c1", "true", check=False)
    assert refused.returncode == 255 and "cannot exec in a paused container" in refused.stderr
    bundle.hull("resume", "c1")
    assert bundle.status("c1") == "running"
    bundle.hull("pause", "c1")
    bundle.hull("delete", "-f", "c1")
    assert os.listdir(bundle.root) == []


def test_a_pid_that_went_to_another_process_is_not_the_container(bundle):
    bundle.args("sleep", "100")
    bundle.create("c1")
    record = bundle.root / "c1/state.json"
    state = json.loads(record.read_text())
    real = state["pid"]
    state["pid"] = os.getpid()
    record.write_text(json.dumps(state))
    assert bundle.status("c1") == "stopped"
    assert "not running" in bundle.hull("kill", "c1", "KILL", check=False).stderr
    state["pid"] = real
    record.write_text(json.dumps(state))
    assert bundle.status("c1") == "created"


# ---- exec ----------------------------------------------------------------------------------------------------


def test_exec(bundle):
    bundle.args("sleep", "100")
    bundle.create("c1")
    bundle.hull("start", "c1")
    done = bundle.hull("exec", "--cwd", "/tmp", "--env", "X=y", "--user", "5:6", "c1", "sh", "-c",
                       "pwd; echo $X; id -u; id -g; exit 7", check=False)
    assert (done.returncode, done.stdout) == (7, "/tmp\ny\n5\n6\n")
    assert "USER" in bundle.hull("exec", "c1", "ps").stdout
    missing = bundle.hull("exec", "c1", "no-such", check=False)
    assert missing.returncode == 255 and "executable file not found in $PATH" in missing.stderr
    assert len(json.loads(bundle.hull("ps", "-f", "json", "c1").stdout)) == 1
    # Options of the command are not ours.
    assert bundle.hull("exec", "c1", "echo", "--user", "-t").stdout == "--user -t\n"


def test_exec_of_a_process_file_detached(bundle):
    bundle.args("sleep", "100")
    bundle.create("c1")
    bundle.hull("start", "c1")
    process = bundle.path / "process.json"
    process.write_text(json.dumps({"args": ["sh", "-c", "id -u > /tmp/uid; sleep 50"], "cwd": "/",
                                   "env": ["PATH=/bin"], "user": {"uid": 9, "gid": 9}}))
    (bundle.rootfs / "tmp").chmod(0o777)
    with open(bundle.path / "exec.log", "wb") as log:
        subprocess.run([HULL, "--root", bundle.root, "exec", "-d", "--pid-file", bundle.path / "xpid", "-p", process,
                        "c1"], check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60)
    pid = int((bundle.path / "xpid").read_text())
    bundle.wait_for_file("tmp/uid")
    assert (bundle.rootfs / "tmp/uid").read_text() == "9\n"
    assert os.stat(f"/proc/{pid}").st_uid == 9
    assert len(json.loads(bundle.hull("ps", "-f", "json", "c1").stdout)) >= 2


# ---- terminals by socket ---------------------------------------------------------------------------------------


def test_a_detached_terminal_goes_to_the_console_socket(bundle):
    bundle.edit(lambda c: c["process"].update(terminal=True))
    bundle.sh("stty size; echo hello; sleep 0.2")
    bundle.edit(lambda c: c["process"].update(consoleSize={"height": 11, "width": 22}))
    path = str(bundle.path / "console.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)
        bundle.create("c1", "--console-socket", path)
        peer, _ = listener.accept()
        with peer:
            fds = array.array("i")
            _, ancillary, _, _ = peer.recvmsg(100, socket.CMSG_LEN(fds.itemsize))
            fds.frombytes(ancillary[0][2])
    bundle.hull("start", "c1")
    output = b""
    while b"hello" not in output:
        output += os.read(fds[0], 1024)
    os.close(fds[0])
    assert output == b"11 22\r\nhello\r\n"


def test_a_detached_terminal_without_a_socket_is_refused(bundle):
    bundle.edit(lambda c: c["process"].update(terminal=True))
    done = bundle.hull("create", "c1", check=False)
    assert done.returncode == 1 and "cannot allocate tty" in done.stderr
    assert not bundle.root.exists() or os.listdir(bundle.root) == []


# ---- errors, logs ------------------------------------------------------------------------------------------------


def test_errors_go_to_the_log_as_json(bundle):
    log = bundle.path / "log.json"
    bundle.args("no-such-program")
    done = bundle.hull("run", "c1", check=False, options=("--log", log, "--log-format", "json", "--debug"))
    assert done.returncode == 1 and "executable file not found in $PATH" in done.stderr
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(r["level"] == "error" and "no-such-program" in r["msg"] for r in records)
    assert any(r["level"] == "debug" for r in records)
    assert os.listdir(bundle.root) == []


def test_a_failed_create_leaves_nothing(bundle):
    bundle.edit(lambda c: c["mounts"].append({"destination": "/x", "type": "bind", "source": "/nonexistent",
                                              "options": ["bind"]}))
    before = host_mounts(bundle.path)
    done = bundle.hull("create", "c1", check=False)
    assert done.returncode == 1 and "/nonexistent" in done.stderr
    assert os.listdir(bundle.root) == []
    assert not list(pathlib.Path("/sys/fs/cgroup").glob("*/hull/c1"))
    assert host_mounts(bundle.path) == before


def test_spec_is_written_once(bundle):
    again = bundle.hull("spec", check=False)
    assert again.returncode == 1 and "config.json exists" in again.stderr


def test_version_and_unknown_words(bundle):
    assert "spec: 1." in bundle.hull("--version").stdout
    assert bundle.hull("nonsense", check=False).returncode == 3
    assert "unknown option" in bundle.hull("run", "--nonsense", "c1", check=False).stderr


# ---- hooks -------------------------------------------------------------------------------------------------------


def test_hooks_run_in_their_order_and_places(bundle):
    note = bundle.path / "hook"
    note.write_text('#!/bin/sh\n'
                    'echo "$1 $(cat | tr -d " \\n" | grep -o \'"status":"[a-z]*"\') $(ls -d %s/rootfs/proc/1 2>/dev/null | wc -l)" '
                    '>> %s/hooks.log\n' % (bundle.path, bundle.path))
    note.chmod(0o755)
    inside = bundle.rootfs / "hook"
    inside.write_text('#!/bin/sh\necho "startContainer $(hostname)" >> /tmp/hooks.log\n')
    inside.chmod(0o755)
    kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    bundle.edit(lambda c: c.update(hooks={k: [{"path": str(note), "args": ["hook", k], "env": ["PATH=/usr/bin:/bin"]}]
                                          for k in kinds}))
    bundle.edit(lambda c: c["hooks"].update(startContainer=[{"path": "/hook", "env": ["PATH=/bin"]}]))
    bundle.sh("cat /tmp/hooks.log")
    assert bundle.hull("run", "c1").stdout == "startContainer hull\n"
    # createContainer alone runs in the container's mount namespace: it sees the root file system with its /proc.
    assert (bundle.path / "hooks.log").read_text().splitlines() == [
        'prestart "status":"creating" 0', 'createRuntime "status":"creating" 0',
        'createContainer "status":"creating" 1', 'poststart "status":"running" 0', 'poststop "status":"stopped" 0']


def test_a_hook_that_fails_stops_the_creation(bundle):
    bundle.edit(lambda c: c.update(hooks={"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]}))
    done = bundle.hull("create", "c1", check=False)
    assert done.returncode == 1
    assert "error running createRuntime hook #0: exit status 3, stdout: , stderr: no" in done.stderr
    assert os.listdir(bundle.root) == []


def test_a_hook_is_killed_after_its_timeout(bundle):
    bundle.edit(lambda c: c.update(hooks={"createContainer": [{"path": "/bin/sleep", "args": ["sleep", "50"], "timeout": 1}]}))
    begin = time.monotonic()
    done = bundle.hull("create", "c1", check=False)
    assert done.returncode == 1 and "hook ran past specified timeout of 1.0s" in done.stderr
    assert time.monotonic() - begin < 40


# ---- safety --------------------------------------------------------------------------------------------------------


def test_the_program_cannot_be_overwritten_from_inside(bundle):
    """CVE-2019-5736: /proc/PID/exe of what was forked off hull, opened for writing."""
    bundle.create("c1")
    pid = bundle.state("c1")["pid"]
    assert os.statvfs(f"/proc/{pid}/exe").f_flag & os.ST_RDONLY
    with pytest.raises(OSError) as failed:
        os.open(f"/proc/{pid}/exe", os.O_WRONLY)
    assert failed.value.errno in (errno.EROFS, errno.ETXTBSY)
    # Also when it runs as the container's program; with a sanitizer it is not static, and finds no libraries there.
    bundle.hull("delete", "c1")
    if b"libasan.so" in HULL.read_bytes():
        return
    bundle.args("/proc/self/exe", "--version")
    assert "hull version" in bundle.hull("run", "c2").stdout


def test_state_is_roots_alone(bundle):
    bundle.create("c1")
    assert stat.S_IMODE(bundle.root.stat().st_mode) == 0o700
    assert stat.S_IMODE((bundle.root / "c1").stat().st_mode) == 0o700


def test_a_user_namespace(bundle):
    def change(c):
        c["linux"]["namespaces"].append({"type": "user"})
        c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 730000, "size": 65536}]
    bundle.edit(change)
    bundle.sh("id -u; cat /proc/self/uid_map; ls /sys/kernel | wc -l; stat -c %u /dev/null /dev/mqueue")
    out = bundle.hull("run", "c1").stdout.split()
    assert out[:4] == ["0", "0", "730000", "65536"] and out[5:] == ["0", "0"]


def test_many_at_once(bundle):
    bundle.sh("echo $HOSTNAME ok")
    running = [subprocess.Popen([HULL, "--root", bundle.root, "run", f"m{i}"], cwd=bundle.path, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
               for i in range(12)]
    for p in running:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
        assert "ok" in out
    assert os.listdir(bundle.root) == []


def test_a_container_without_cgroups(bundle):
    """It stays in its creator's, whatever cgroupsPath says, and what needs one of its own says so."""
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"/without-{os.getpid()}"))
    here = pathlib.Path("/proc/self/cgroup").read_text()
    namespaces = [n for n in json.loads((bundle.path / "config.json").read_text())["linux"]["namespaces"] if n["type"] != "cgroup"]
    bundle.edit(lambda c: c["linux"].update(namespaces=namespaces))
    bundle.sh("cat /proc/self/cgroup")
    for options in (("--cgroup-manager", "disabled"), ("--systemd-cgroup", "--cgroup-manager=disabled")):
        assert bundle.hull("run", "c1", options=options).stdout == here
    bundle.args("sleep", "100")
    subprocess.run([HULL, "--root", bundle.root, "--cgroup-manager=disabled", "run", "-d", "c1"], cwd=bundle.path, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert bundle.hull("exec", "c1", "cat", "/proc/self/cgroup").stdout == here
    for command in (("pause", "c1"), ("update", "--pids-limit", "5", "c1"), ("ps", "c1")):
        done = bundle.hull(*command, check=False)
        assert done.returncode == 1 and "has no cgroup of its own" in done.stderr
    bundle.hull("kill", "c1", "KILL")
    bundle.wait_for("c1", "stopped")
    bundle.hull("delete", "c1")
    assert not glob.glob(f"/sys/fs/cgroup/without-{os.getpid()}") + glob.glob(f"/sys/fs/cgroup/*/without-{os.getpid()}")


def test_limits_without_cgroups_are_refused(bundle):
    bundle.edit(lambda c: c["linux"]["resources"].update(pids={"limit": 5}))
    bundle.args("true")
    done = bundle.hull("run", "c1", options=("--cgroup-manager", "disabled"), check=False)
    assert done.returncode == 1 and "a limit for pids needs a cgroup" in done.stderr and not (bundle.root / "c1").exists()


def test_words_for_the_cgroup_manager(bundle):
    bundle.args("true")
    bundle.hull("run", "c1", options=("--cgroup-manager", "cgroupfs"))
    done = bundle.hull("run", "c1", options=("--cgroup-manager", "nonsense"), check=False)
    assert done.returncode == 1 and "cgroupfs, systemd or disabled" in done.stderr
    # systemd's is asked for: its form of a path is then needed.
    bundle.edit(lambda c: c["linux"].update(cgroupsPath="/not/systemds"))
    done = bundle.hull("run", "c1", options=("--cgroup-manager=systemd",), check=False)
    assert done.returncode == 1 and "slice:prefix:name" in done.stderr
