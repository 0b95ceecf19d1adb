# SPDX-License-Identifier: Apache-2.0
"""Signals to `hull run` and `hull exec`, and what comes to them as a reaper."""
import os
import pathlib
import signal
import subprocess
import time

import pytest

from bundles import bundle, pytestmark  # noqa: F401
from terminals import TIMEOUT
from terminalkit import children_of, hull, own_cgroup, wait_state  # noqa: F401

PASSED = [s for s in signal.Signals if s not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTSTP,
                                                 signal.SIGWINCH)]
TRAPS = "; ".join(f"trap 'echo {s.value}' {s.value}" for s in PASSED)


@pytest.mark.parametrize("with_terminal", [False, True])
def test_all_signals_go_to_the_container(bundle, with_terminal):
    bundle.edit(lambda c: c["process"].update(terminal=with_terminal))
    bundle.sh(f"{TRAPS}; echo ready; while :; do sleep 0.005; done")
    with subprocess.Popen(hull(bundle, "run", "c1"), cwd=bundle.path, stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, start_new_session=True) as p:
        assert p.stdout.readline() == "ready\n"
        for s in PASSED:
            p.send_signal(s)
            assert p.stdout.readline() == f"{s.value}\n"
        bundle.hull("kill", "c1", "KILL")
        assert p.wait(TIMEOUT) == 137


def test_signals_go_to_the_process_of_exec(bundle):
    bundle.args("sleep", "1000")
    bundle.create("c1")
    bundle.hull("start", "c1")
    with subprocess.Popen(hull(bundle, "exec", "c1", "sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; "
                               "while :; do sleep 0.01; done"), stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL) as p:
        assert p.stdout.readline() == "ready\n"
        p.send_signal(signal.SIGTERM)
        assert p.stdout.read() == "got\n" and p.wait(TIMEOUT) == 3
    done = bundle.hull("exec", "c1", "sh", "-c", "kill -TERM $$", check=False)
    assert done.returncode == 143


def test_an_exec_stops_and_goes_on_with_its_process_told(bundle):
    """The process leads a session that has no job control over it: the kernel stops it only by SIGSTOP."""
    bundle.args("sleep", "1000")
    bundle.create("c1")
    bundle.hull("start", "c1")
    script = "trap 'echo stop' TSTP; trap 'echo cont' CONT; trap exit TERM; echo ready; while :; do sleep 0.01; done"
    with subprocess.Popen(hull(bundle, "exec", "c1", "sh", "-c", script), stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, process_group=0) as p:
        try:
            assert p.stdout.readline() == "ready\n"
            p.send_signal(signal.SIGTSTP)
            wait_state(p.pid, "T")
            assert p.stdout.readline() == "stop\n"
            p.send_signal(signal.SIGCONT)
            assert p.stdout.readline() == "cont\n"
            p.send_signal(signal.SIGTERM)
            assert p.wait(TIMEOUT) == 0
        finally:
            p.kill()


# ---- orphans ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [None, "--no-subreaper"])
def test_orphans_of_a_container_without_a_pid_namespace_are_reaped(bundle, option):
    bundle.edit(lambda c: c["linux"].update(namespaces=[n for n in c["linux"]["namespaces"] if n["type"] != "pid"]))
    bundle.sh("sh -c '(read x </tmp/fifo; exit 3) & echo $!'; exec cat")
    os.mkfifo(bundle.rootfs / "tmp/fifo")
    options = [option] if option else []
    with subprocess.Popen(hull(bundle, "run", *options, "c1"), cwd=bundle.path, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as p:
        orphan = int(p.stdout.readline())
        deadline = time.monotonic() + TIMEOUT

        def parent():
            return int(pathlib.Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[1])

        if option:
            while parent() not in (1, os.getppid()) and str(orphan) in children_of(p.pid):
                assert time.monotonic() < deadline
            assert parent() != p.pid
        else:
            while parent() != p.pid:
                assert time.monotonic() < deadline
        (bundle.rootfs / "tmp/fifo").write_text("now\n")
        while os.path.exists(f"/proc/{orphan}") and not option:
            assert time.monotonic() < deadline, "the orphan is a zombie"
            time.sleep(0.01)
        p.stdin.close()
        assert p.wait(TIMEOUT) == 0
