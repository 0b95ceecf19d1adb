# SPDX-License-Identifier: Apache-2.0
"""Terminals of `hull run` and `hull exec`: in the foreground and detached, on a terminal and without."""
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import termios
import time

import pytest

from bundles import HULL, bundle, pytestmark  # noqa: F401
from terminals import TIMEOUT, ConsoleSocket, Terminal
from terminalkit import children_of, console, hull, own_cgroup, process_state, terminal, tty_bundle, wait_state  # noqa: F401


# ---- as runc does ----------------------------------------------------------------------------------------------
# The same script on the same terminal, by both: what is shown must be the same to the byte. "!" is a line that
# waits for what is typed next.

TRANSCRIPTS = {
    # The mode is changed by runc when the process may run already.
    "modes": ("until stty -a 2>/dev/null | grep -q -- -onlcr; do :; done; tty; stty -a 2>/dev/null | busybox tail -n +2; ls -l /dev/console | head -c 10", []),
    "line": ("echo !; head -n1; exit 4", ["typed\r"]),
    "raw": ("stty raw -echo; printf '!'; head -c 3 | od -c; printf 'a\\nb\\n'", ["\x03\x04\r"]),
    "interrupt": ("trap 'echo got it; exit 7' INT; echo !; while :; do :; done", ["\x03"]),
    "quit": ("trap 'echo got it; exit 8' QUIT; echo !; while :; do :; done", ["\x1c"]),
    "end of input": ("echo !; cat; echo !; cat; echo after", ["a\r\x04", "\x04"]),
    "erase": ("echo !; head -n1 | od -c", ["ab\x7fc\r"]),
    "much": ("busybox seq 1 30000", []),
    "to stderr": ("echo out; echo err >&2; sh -c 'echo tty >/dev/tty'", []),
    "job control": ("cut -d ' ' -f 5,6,8 /proc/self/stat; sh -ic 'cut -d \" \" -f 6 /proc/self/stat'", []),
    "killed": ("sh -c 'kill -9 $$'; exit $?", []),
}


def transcript(terminal, argv, cwd, typed):
    terminal.run(argv, cwd)
    shown = ""
    for text in typed:
        shown += terminal.until("!")
        terminal.type(text)
    last, status = terminal.end()
    assert terminal.is_as_before()
    # runc changes the mode of the container's terminal when the first line may have been written.
    return (shown + last).replace("\r\r\n", "\r\n") if argv[0] != HULL else shown + last, status


@pytest.mark.skipif(not shutil.which("runc"), reason="no runc")
@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_run_shows_what_runc_shows(bundle, name):
    script, typed = TRANSCRIPTS[name]
    for applet in ("od", "cut", "printf"):
        (bundle.rootfs / "bin" / applet).symlink_to("busybox")
    tty_bundle(bundle, script)
    got = []
    for runtime, root in ((shutil.which("runc"), bundle.path / "runc"), (HULL, bundle.root)):
        t = Terminal(24, 80)  # what stty takes it for while it has no size
        got.append(transcript(t, [runtime, "--root", root, "run", "c1"], bundle.path, typed))
        t.close()
    assert got[0] == got[1] and (got[0][0] or name == "killed")


@pytest.mark.skipif(not shutil.which("runc"), reason="no runc")
def test_exec_shows_what_runc_shows(bundle):
    bundle.args("sleep", "1000")
    got = []
    for runtime, root in ((shutil.which("runc"), bundle.path / "runc"), (HULL, bundle.root)):
        with open(bundle.path / "log", "wb") as log:
            subprocess.run([runtime, "--root", root, "run", "-d", "c1"], cwd=bundle.path, check=True,
                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            for name in ("modes", "line", "interrupt", "end of input", "to stderr", "killed"):
                script, typed = TRANSCRIPTS[name]
                t = Terminal(24, 80)  # what stty takes it for while it has no size
                got.append((runtime, name, transcript(t, [runtime, "--root", root, "exec", "-t", "c1", "sh", "-c", script],
                                                      bundle.path, typed)))
                t.close()
        finally:
            subprocess.run([runtime, "--root", root, "delete", "-f", "c1"], check=True)
    half = len(got) // 2
    assert [g[1:] for g in got[:half]] == [g[1:] for g in got[half:]]


# ---- whose terminal --------------------------------------------------------------------------------------------


def test_the_terminal_is_the_users_and_dev_console_is_it(bundle, terminal):
    tty_bundle(bundle, "stat -c '%n %u %t:%T' /dev/pts/0 /dev/console; echo >/dev/console && echo written",
               user={"uid": 7, "gid": 8})
    terminal.run(hull(bundle, "run", "c1"), bundle.path)
    shown, status = terminal.end()
    assert status == 0
    assert shown.splitlines()[:2] == ["/dev/pts/0 7 88:0", "/dev/console 7 88:0"] and "written" in shown


def test_exec_makes_a_second_terminal_of_the_containers(bundle, terminal):
    bundle.args("sleep", "1000")
    bundle.create("c1")
    bundle.hull("start", "c1")
    terminal.run(hull(bundle, "exec", "-t", "-u", "7", "c1", "sh", "-c", "tty; stat -c %u $(tty)"), bundle.path)
    assert terminal.end() == ("/dev/pts/0\r\n7\r\n", 0)


def test_the_containers_terminal_is_not_one_of_the_hosts(bundle, terminal):
    tty_bundle(bundle, "stat -L -c %d /dev/pts/0")
    terminal.run(hull(bundle, "run", "c1"), bundle.path)
    shown, status = terminal.end()
    assert status == 0 and int(shown) != os.stat("/dev/pts").st_dev


# ---- size ------------------------------------------------------------------------------------------------------


def test_the_size_is_there_from_the_beginning_and_changes_with_ours(bundle):
    t = Terminal(33, 101)
    tty_bundle(bundle, "stty size; trap 'stty size; exit' WINCH; echo now; while :; do sleep 0.01; done",
               consoleSize={"height": 5, "width": 6})
    t.run(hull(bundle, "run", "c1"), bundle.path)
    assert t.until("now") == "33 101\r\nnow"
    t.resize(44, 55)
    assert t.end() == ("\r\n44 55\r\n", 0)
    t.close()


def test_exec_has_the_size_of_our_terminal(bundle):
    bundle.args("sleep", "1000")
    bundle.create("c1")
    bundle.hull("start", "c1")
    t = Terminal(12, 34)
    t.run(hull(bundle, "exec", "--tty", "c1", "sh", "-c", "stty size; trap 'stty size; exit' WINCH; echo now; "
               "while :; do sleep 0.01; done"), bundle.path)
    assert t.until("now") == "12 34\r\nnow"
    t.resize(21, 43)
    assert t.end() == ("\r\n21 43\r\n", 0)
    t.close()


def test_console_size_is_used_without_a_terminal_of_ours(bundle):
    tty_bundle(bundle, "stty size", consoleSize={"height": 5, "width": 6})
    done = bundle.hull("run", "c1", start_new_session=True)
    assert done.stdout == "5 6\n"


# ---- stdin and stdout are something else -------------------------------------------------------------------------


def test_a_terminal_between_pipes(bundle):
    tty_bundle(bundle, "tty; head -n1")
    done = bundle.hull("run", "c1", stdin=None, input="typed\n", start_new_session=True)
    assert sorted(done.stdout.splitlines(True)) == ["/dev/pts/0\n", "typed\n", "typed\n"]


def test_the_end_of_our_input_is_no_hangup(bundle):
    tty_bundle(bundle, "trap 'echo hangup; exit 1' HUP; trap 'exit 3' USR1; (sleep 0.3; echo still here; kill -USR1 $$) & "
                       "while :; do sleep 0.01; done")
    done = bundle.hull("run", "c1", check=False, start_new_session=True)
    assert (done.stdout, done.returncode) == ("still here\n", 3)


def test_without_a_terminal_input_is_passed_through_to_its_end(bundle):
    bundle.sh("cat; readlink /proc/self/fd/0 | head -c 5")
    done = bundle.hull("run", "c1", stdin=None, input="all of it")
    assert done.stdout == "all of itpipe:"


def test_a_closed_stdin_is_dev_null_and_nothing_else(bundle):
    bundle.sh("readlink /proc/self/fd/0; ls /proc/self/fd | wc -l; cat; echo end")
    done = bundle.hull("run", "c1", preexec_fn=lambda: os.close(0))
    assert done.stdout == "/dev/null\n4\nend\n"


def test_closed_outputs_do_not_become_files_of_ours(bundle):
    def close_all():
        for fd in range(3):
            os.close(fd)

    bundle.sh("readlink /proc/self/fd/1 >/tmp/one; readlink /proc/self/fd/2 >/tmp/two; echo lost; echo lost >&2")
    assert bundle.hull("run", "c1", preexec_fn=close_all).stdout == ""
    assert (bundle.rootfs / "tmp/two").read_text() == "/dev/null\n"
    config = json.loads((bundle.path / "config.json").read_text())
    assert config["process"]["args"][0] == "sh"


# ---- much output, slow readers ---------------------------------------------------------------------------------


NUMBERS = "".join(f"{n}\n" for n in range(1, 40001)).encode()


@pytest.mark.parametrize("count", [4000, 40000])
def test_a_slow_reader_gets_all_output(bundle, count):
    """4000 lines fit into what lies between, so that the container has ended before the first byte is read."""
    tty_bundle(bundle, f"busybox seq 1 {count}; echo {count} >/tmp/done")
    with subprocess.Popen(hull(bundle, "run", "c1"), cwd=bundle.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          start_new_session=True) as p:
        if count == 4000:
            deadline = time.monotonic() + TIMEOUT
            while not (bundle.rootfs / "tmp/done").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
        output = p.stdout.read()
        assert p.wait(TIMEOUT) == 0
    assert output == NUMBERS[:len(output)] and output.endswith(f"\n{count}\n".encode())


def test_a_reader_that_stops_does_not_hold_up_signals(bundle):
    tty_bundle(bundle, "trap 'exit 5' TERM; echo ready; while :; do busybox seq 1 1000; done")
    with subprocess.Popen(hull(bundle, "run", "c1"), cwd=bundle.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          start_new_session=True) as p:
        init = None
        deadline = time.monotonic() + TIMEOUT
        while not init and time.monotonic() < deadline:
            state = bundle.hull("state", "c1", check=False)
            init = json.loads(state.stdout)["pid"] if state.returncode == 0 and '"running"' in state.stdout else None
        full_pipe(p.stdout)
        p.send_signal(signal.SIGKILL if init is None else signal.SIGTERM)
        # The shell gets it, although nobody reads: it ends or waits for its own output, not for us.
        with open(f"/proc/{init}/status", encoding="ascii") as f:
            assert "SigCgt" in f.read()
        os.kill(init, signal.SIGKILL)
        wait_gone(init)
        assert p.poll() is None  # hull still has something to deliver
        p.send_signal(signal.SIGTERM)
        assert p.wait(TIMEOUT) == 137
        p.stdout.close()


def full_pipe(reader):
    """Wait until nothing more fits into the pipe."""
    size, before, same = fcntl.fcntl(reader, 1032), -1, 0  # F_GETPIPE_SZ
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        waiting = bytearray(4)
        fcntl.ioctl(reader, termios.FIONREAD, waiting)
        now = int.from_bytes(waiting, "little")
        same = same + 1 if now == before else 0
        if same >= 5 and now > size // 2:
            return
        before = now
        time.sleep(0.1)
    raise AssertionError("the pipe does not fill")


def wait_gone(pid):
    deadline = time.monotonic() + TIMEOUT
    while os.path.exists(f"/proc/{pid}") and process_state(pid) not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nobody_reads_any_more_and_the_container_goes_on(bundle):
    tty_bundle(bundle, "busybox seq 1 20000; echo done >/tmp/done; exit 6")
    with subprocess.Popen(hull(bundle, "run", "c1"), cwd=bundle.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          start_new_session=True) as p:
        p.stdout.read(10)
        p.stdout.close()
        assert p.wait(TIMEOUT) == 6
    assert (bundle.rootfs / "tmp/done").exists()


def test_a_nonblocking_stdout_loses_nothing(bundle):
    tty_bundle(bundle, "busybox seq 1 40000")
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, subprocess.Popen(hull(bundle, "run", "c1"), cwd=bundle.path, stdin=subprocess.DEVNULL, stdout=theirs,
                                start_new_session=True) as p:
        theirs.close()
        time.sleep(0.1)
        output = b""
        while data := ours.recv(65536):
            output += data
        assert p.wait(TIMEOUT) == 0
    assert output == NUMBERS


def test_a_shared_stdout_stays_blocking(bundle):
    tty_bundle(bundle, "echo a")
    reader, writer = os.pipe()
    subprocess.run(hull(bundle, "run", "c1"), cwd=bundle.path, stdin=subprocess.DEVNULL, stdout=writer, check=True,
                   start_new_session=True)
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    os.close(writer)
    assert os.read(reader, 100) == b"a\n"
    os.close(reader)


def test_a_process_may_close_its_terminal_and_write_to_it_later(bundle, terminal):
    tty_bundle(bundle, "exec <&- >&- 2>&-; sleep 0.1; echo once more >/dev/tty; exit 2")
    terminal.run(hull(bundle, "run", "c1"), bundle.path)
    assert terminal.end() == ("once more\r\n", 2)


def test_exec_ends_with_its_process_though_others_hold_the_terminal(bundle, terminal):
    bundle.args("sleep", "1000")
    bundle.create("c1")
    bundle.hull("start", "c1")
    script = "trap '' HUP; sh -c 'while :; do echo noise; done' & echo begun; exit 3"
    terminal.run(hull(bundle, "exec", "-t", "c1", "sh", "-c", script), bundle.path)
    shown, status = terminal.end()
    assert status == 3 and "begun" in shown


# ---- our terminal --------------------------------------------------------------------------------------------------


def test_our_terminal_is_raw_meanwhile_and_as_before_after_that(bundle, terminal):
    tty_bundle(bundle, "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done")
    p = terminal.run(hull(bundle, "run", "c1"), bundle.path)
    terminal.until("ready")
    terminal.wait_raw()
    p.send_signal(signal.SIGTERM)
    assert terminal.end()[1] == 9 and terminal.is_as_before()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGHUP, signal.SIGABRT, signal.SIGSEGV])
def test_our_terminal_is_restored_whatever_kills_us(bundle, terminal, sig):
    tty_bundle(bundle, "trap 'exit 9' INT HUP ABRT SEGV; echo ready; while :; do sleep 0.01; done")
    p = terminal.run(hull(bundle, "run", "c1"), bundle.path)
    terminal.until("ready")
    p.send_signal(sig)
    assert terminal.end()[1] == 9 and terminal.is_as_before()


def test_our_terminal_is_restored_when_the_container_is_killed(bundle, terminal):
    tty_bundle(bundle, "echo ready; sleep 1000")
    terminal.run(hull(bundle, "run", "c1"), bundle.path)
    terminal.until("ready")
    bundle.hull("kill", "c1", "KILL")
    assert terminal.end()[1] == 137 and terminal.is_as_before()


def test_our_terminal_is_not_touched_when_nothing_runs(bundle, terminal):
    bundle.edit(lambda c: c["process"].update(terminal=True, args=["/none"]))
    terminal.run(hull(bundle, "run", "c1"), bundle.path)
    shown, status = terminal.end()
    assert status == 1 and "/none" in shown and terminal.is_as_before()


# A shell, as far as jobs are concerned: the job has a process group of its own, in the foreground at once or when a
# byte comes from an fd.
SHELL = """
import os, signal, sys
when, job = int(sys.argv[1]), sys.argv[2:]
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    if when < 0:
        os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(job[0], job)
if when >= 0:
    os.read(when, 1)
    os.tcsetpgrp(0, pid)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def as_job(when, argv):
    return [sys.executable, "-c", SHELL, str(when), *argv]


def test_a_stop_gives_the_terminal_to_the_shell(bundle, terminal):
    """SIGTSTP goes to the container and stops hull itself; SIGCONT takes all up again."""
    tty_bundle(bundle, "trap 'echo stop; echo > /stopped' TSTP; trap 'echo cont' CONT; echo ready; while :; do sleep 0.01; done")
    shell = terminal.run(as_job(-1, hull(bundle, "run", "c1")), bundle.path)
    terminal.until("ready")
    terminal.wait_raw()
    pid = int(children_of(shell.pid)[0])
    os.kill(pid, signal.SIGTSTP)
    wait_state(pid, "T")
    assert terminal.is_as_before()
    bundle.wait_for_file("stopped")  # a SIGTSTP that is still pending when SIGCONT comes is taken back (signal(7))
    os.kill(pid, signal.SIGCONT)
    while b"stop" not in terminal.shown or b"cont" not in terminal.shown:  # in whatever order the shell has it
        assert terminal.read()
    terminal.wait_raw()
    bundle.hull("kill", "c1", "KILL")
    assert terminal.end()[1] == 137
    assert terminal.is_as_before()


def test_a_process_group_that_nobody_would_continue_is_not_stopped(bundle, terminal):
    tty_bundle(bundle, "trap 'echo stop; exit 4' TSTP; echo ready; while :; do sleep 0.01; done")
    p = terminal.run(hull(bundle, "run", "c1"), bundle.path)
    terminal.until("ready")
    p.send_signal(signal.SIGTSTP)
    shown, status = terminal.end()
    assert status == 4 and "stop" in shown


def test_in_the_background_the_terminal_is_left_alone(bundle, terminal):
    tty_bundle(bundle, "echo ready; head -n1; exit 5")
    reader, writer = os.pipe()
    terminal.run(as_job(reader, hull(bundle, "run", "c1")), bundle.path, pass_fds=[reader])
    os.close(reader)
    terminal.until("ready")
    assert terminal.is_as_before()  # it runs, and its output comes
    os.close(writer)
    terminal.wait_raw()
    terminal.type("for the container\r")
    shown, status = terminal.end()
    assert status == 5 and "for the container" in shown


# ---- detached -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["create", "run", "exec"])
def test_a_detached_terminal_goes_to_the_socket(bundle, console, how):
    script = "stty size; stat -L -c %d /dev/pts/0; head -n1; exit 0"
    if how == "exec":
        bundle.args("sleep", "1000")
        bundle.create("c1")
        bundle.hull("start", "c1")
        bundle.hull("exec", "-d", "-t", "--console-socket", console.path, "c1", "sh", "-c", script)
        size = "0 0"
    else:
        tty_bundle(bundle, script, consoleSize={"height": 11, "width": 22})
        size = "11 22"
        if how == "create":
            bundle.create("c1", "--console-socket", console.path)
        else:
            bundle.hull("run", "-d", "--console-socket", console.path, "c1")
    text, screen = console.take()
    assert text == b"/dev/ptmx"
    assert stat.S_ISCHR(os.fstat(screen.fileno()).st_mode) and os.fstat(screen.fileno()).st_rdev == os.makedev(5, 2)
    assert not os.fstat(screen.fileno()).st_dev == os.stat("/dev/pts/ptmx").st_dev
    if how == "create":
        bundle.hull("start", "c1")
    if size == "0 0":
        screen.until("\n")  # busybox has an opinion of its own on this
        number = screen.until("\r\n")
    else:
        assert screen.until("\r\n") == size + "\r\n"
        number = screen.until("\r\n")
    assert int(number) == os.fstat(screen.fileno()).st_dev
    screen.type("typed\n")
    assert screen.rest() == "typed\r\ntyped\r\n"
    screen.close()


def test_a_detached_container_is_hung_up_with_its_terminal(bundle, console):
    tty_bundle(bundle, "trap 'echo >/tmp/hangup; exit' HUP; echo ready; while :; do sleep 0.01; done")
    bundle.hull("run", "-d", "--console-socket", console.path, "c1")
    _, screen = console.take()
    screen.until("ready")
    screen.close()
    bundle.wait_for("c1", "stopped")
    assert (bundle.rootfs / "tmp/hangup").exists()


def test_the_path_of_the_socket_may_be_long(bundle):
    folder = bundle.path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    console = ConsoleSocket(folder / "s")
    tty_bundle(bundle, "echo hello")
    bundle.hull("run", "-d", "--console-socket", console.path, "c1")
    _, screen = console.take()
    assert screen.until("hello")
    screen.close()
    console.close()


@pytest.mark.parametrize("command", ["create", "run -d"])
def test_without_a_listener_nothing_is_made(bundle, command):
    tty_bundle(bundle, "true")
    done = bundle.hull(*command.split(), "--console-socket", bundle.path / "none", "c1", check=False)
    assert done.returncode == 1 and "console socket" in done.stderr and f"{bundle.path}/none" in done.stderr
    assert not bundle.root.exists() or os.listdir(bundle.root) == []


def test_exec_without_a_listener_runs_nothing(bundle):
    bundle.sh("sleep 1000")
    bundle.create("c1")
    bundle.hull("start", "c1")
    done = bundle.hull("exec", "-d", "-t", "--console-socket", bundle.path / "none", "c1", "touch", "/tmp/ran",
                       check=False)
    assert done.returncode == 255 and "console socket" in done.stderr
    assert not (bundle.rootfs / "tmp/ran").exists()


@pytest.mark.parametrize("terminal_is_set, options", [(True, ["-d"]), (False, ["-d", "--console-socket", "x"]),
                                                     (True, ["--console-socket", "x"])])
def test_what_does_not_fit_together_is_refused(bundle, terminal_is_set, options):
    bundle.edit(lambda c: c["process"].update(terminal=terminal_is_set))
    done = bundle.hull("run", *options, "c1", check=False)
    assert done.returncode == 1 and "--console-socket" in done.stderr
    assert not bundle.root.exists() or os.listdir(bundle.root) == []
