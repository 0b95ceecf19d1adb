# SPDX-License-Identifier: Apache-2.0
"""A hull that is killed before any of its system calls: whatever it was about, `delete --force` leaves nothing of the
container, and a container that lived goes on living and obeys. tests/helper/killat.c does the killing.

Some points of each command are tried, others each time; HULL_CRASH_POINTS=all tries every one."""
import os
import pathlib
import random
import signal
import subprocess

import pytest

from bundles import BUILD, HULL, bundle, host_mounts, pytestmark  # noqa: F401 pylint: disable=unused-import
from commandkit import box, cgroups, eventually, nothing_is_left, processes  # noqa: F401

KILLAT = BUILD / "tests/helper/killat"
POINTS = os.environ.get("HULL_CRASH_POINTS", "12")
NAP = str(1000000 + os.getpid())  # how long our containers sleep: no other process has this in its command line
# A sanitizer looks for leaks by tracing, too, which only one can.
ENV = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def killed_at(box, n, *args):  # noqa: F811
    """Returns the exit status, and how many system calls there were."""
    done = subprocess.run([KILLAT, str(n), box.path / "count", HULL, "--root", box.root, *args], cwd=box.path, env=ENV,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60,
                          check=False)
    return done.returncode, int((box.path / "count").read_text())


def naps():
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if NAP.encode() in path.read_bytes().split(b"\0")[:3]:
                found.append(path.parent.name)
        except OSError:
            pass
    return found


def created(box):  # noqa: F811
    box.create("c")


def running(box):  # noqa: F811
    box.create("c")
    box.hull("start", "c")


def paused(box):  # noqa: F811
    running(box)
    box.hull("pause", "c")


def nobody(_box):
    pass


def is_one_or_none(box):  # noqa: F811
    """What list and state say of it agrees."""
    assert (box.hull("list", "-q").stdout == "c\n") == (box.hull("state", "c", check=False).returncode == 0)


def is_what_it_says(box):  # noqa: F811
    """Running when it runs, also when who started it could not note that."""
    started = box.rootfs / "tmp/started"
    assert eventually(lambda: (box.status("c") == "running") == started.exists()), box.status("c")
    if not started.exists():
        box.hull("start", "c")
        assert eventually(started.exists)
    assert box.hull("delete", "c", check=False).returncode == 1, "a container that runs is not deleted without --force"


def goes_on(box):  # noqa: F811
    assert box.status("c") == "running"
    assert box.hull("exec", "c", "echo", "well").stdout == "well\n"
    box.hull("update", "--pids-limit", "77", "c")


def can_be_resumed(box):  # noqa: F811
    if box.status("c") == "paused":
        box.hull("resume", "c")
    goes_on(box)


CASES = {
    "create": (nobody, ["create", "c"], is_one_or_none),
    "run": (nobody, ["run", "-d", "c"], is_one_or_none),
    "start": (created, ["start", "c"], is_what_it_says),
    "exec": (running, ["exec", "-d", "c", "sleep", NAP], goes_on),
    "exec-and-stay": (running, ["exec", "c", "true"], goes_on),
    "pause": (running, ["pause", "c"], can_be_resumed),
    "resume": (paused, ["resume", "c"], can_be_resumed),
    "update": (running, ["update", "--memory", "100M", "--pids-limit", "55", "c"], goes_on),
    "kill": (running, ["kill", "c", "KILL"], is_one_or_none),
    "delete": (running, ["delete", "--force", "c"], is_one_or_none),
}


def points(count):
    if POINTS == "all":
        return range(1, count + 1)
    return sorted(random.sample(range(1, count + 1), min(int(POINTS), count)))


@pytest.mark.parametrize("case", CASES)
def test_a_command_that_is_killed_at_any_point(box, case):
    prepare, args, check = CASES[case]
    box.edit(lambda c: c["linux"].update(cgroupsPath=f"{box.cgroups}/deep/c"))
    box.sh(f"echo > /tmp/started; exec sleep {NAP}")
    mounts = host_mounts(box.path)
    prepare(box)
    code, count = killed_at(box, 0, *args)
    assert code == 0 and count > 20
    box.hull("delete", "--force", "c")
    killed = 0
    for n in points(count):
        prepare(box)
        (box.rootfs / "tmp/started").unlink(missing_ok=True)
        code, _ = killed_at(box, n, *args)
        # The number of calls differs a little from one time to the next (who is woken first).
        assert code in (128 + signal.SIGKILL, 0), (n, code)
        killed += code != 0
        check(box)
        box.hull("delete", "--force", "c")
        assert nothing_is_left(box), (n, cgroups(box), processes(box), os.listdir(box.root))
        assert eventually(lambda: not naps()), (n, naps())
        box.ids.clear()
    assert killed > 3
    assert host_mounts(box.path) == mounts
