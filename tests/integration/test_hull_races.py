# SPDX-License-Identifier: Apache-2.0
"""Several hulls at one container at a time: each does its work or says why not, and none undoes what another did."""
import fcntl
import glob
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from bundles import HULL, bundle, host_mounts, pytestmark  # noqa: F401 pylint: disable=unused-import
from commandkit import box, cgroups, eventually, hook, nothing_is_left, processes, start  # noqa: F401


def results(commands):
    """Exit status and last line of each."""
    found = []
    for p in commands:
        said = p.communicate(timeout=60)[1]
        assert "Sanitizer" not in said, said
        found.append((p.returncode, said.strip().split("\n")[-1]))
    return found


def running(box):  # noqa: F811
    box.create("c")
    box.hull("start", "c")


# ---- create ------------------------------------------------------------------------------------------------------


def test_one_of_several_creates_gets_the_cgroup_that_all_want(box):
    """Each found it empty, and all were in it."""
    for _ in range(10):
        creates = [start(box, "create", f"c{n}") for n in range(4)]
        codes = [p.wait(timeout=60) for p in creates]
        for p, code in zip(creates, codes):
            if code:
                assert "container's cgroup is not empty" in p.stderr.read()
            p.stderr.close()  # the init of the one that succeeded has it still
        assert sorted(codes) == [0, 1, 1, 1]
        winner = f"c{codes.index(0)}"
        assert box.status(winner) == "created"
        assert cgroups(box)
        box.hull("delete", "--force", winner)
        assert nothing_is_left(box)


# ---- start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, "startContainer", "poststart"])
def test_of_several_starts_one_starts(box, kind):
    """With a startContainer hook, those that came too late took the end of the line for a hook that had failed, and
    destroyed what was running."""
    if kind:
        box.edit(lambda c: c.update(hooks={kind: [{"path": "/bin/sleep", "args": ["sleep", "0.1"]}]}))
    for _ in range(10):
        box.create("c")
        found = results([start(box, "start", "c") for _ in range(4)])
        assert sorted(code for code, _ in found) == [0, 1, 1, 1], found
        assert all("cannot start an already running container" in text for code, text in found if code), found
        assert box.status("c") == "running"
        assert box.hull("exec", "c", "echo", "well").stdout == "well\n"
        box.hull("delete", "--force", "c")
        assert nothing_is_left(box)


def test_a_start_hook_that_fails_still_ends_the_container(box):
    box.edit(lambda c: c.update(hooks={"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 0.1; exit 3"]}]}))
    box.create("c")
    found = results([start(box, "start", "c") for _ in range(3)])
    assert [code for code, _ in found] == [1, 1, 1]
    assert any("startContainer hook" in text for _, text in found), found
    assert eventually(lambda: nothing_is_left(box))


def test_a_start_against_a_delete(box):
    for _ in range(10):
        box.create("c")
        found = results([start(box, "start", "c"), start(box, "delete", "--force", "c")])
        assert found[1][0] == 0, found
        assert found[0][0] in (0, 1)
        assert found[0][0] == 0 or any(word in found[0][1] for word in ("init is gone", "does not exist", "has stopped")), found
        assert nothing_is_left(box)


def test_a_start_that_was_killed_before_it_could_note_it(box):
    """The socket at which the init waited is there, and nobody listens at it."""
    box.create("c")
    shutil.copy2(box.root / "c/state.json", box.path / "kept")
    os.link(box.root / "c/start.sock", box.path / "start.sock")
    box.hull("start", "c")
    os.link(box.path / "start.sock", box.root / "c/start.sock")
    assert box.status("c") == "running"
    assert "already running" in box.hull("start", "c", check=False).stderr
    assert "not stopped" in box.hull("delete", "c", check=False).stderr
    assert box.hull("exec", "c", "echo", "well").stdout == "well\n"
    box.hull("kill", "c", "KILL")
    box.wait_for("c", "stopped")
    box.hull("delete", "c")


def test_who_only_looks_does_not_start_and_does_not_stand_in_the_way(box):
    box.create("c")
    for _ in range(20):
        assert box.status("c") == "created"
    box.hull("pause", "c")
    for _ in range(12):  # more than the line of those who wait for the init is long
        assert box.status("c") == "paused"
    box.hull("resume", "c")
    assert box.status("c") == "created"
    box.hull("start", "c")
    assert box.status("c") == "running"


# ---- delete ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["--force"], []])
def test_of_several_deletes_one_runs_the_hooks(box, options):
    hook(box, "poststop", f"echo >> {box.path}/ran; sleep 0.2")
    for _ in range(3):
        (box.path / "ran").unlink(missing_ok=True)
        running(box)
        if not options:
            box.hull("kill", "c", "KILL")
            box.wait_for("c", "stopped")
        found = results([start(box, "delete", *options, "c") for _ in range(4)])
        assert all(code == 0 or "does not exist" in text for code, text in found), found
        assert 0 in [code for code, _ in found]
        assert (box.path / "ran").read_text() == "\n"
        assert nothing_is_left(box)


def lock(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def removed(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


@pytest.mark.parametrize("args", [["delete", "--force", "c"], ["update", "--pids-limit", "44", "c"]])
def test_what_was_meant_for_one_does_not_hit_the_next_of_its_name(box, args):
    """A delete or update that had to wait finds its container removed, and another one with its name and cgroup."""
    running(box)
    before = box.state("c")["pid"]
    fd = lock(box.root / "c")
    with start(box, *args) as waiting:
        time.sleep(0.3)
        assert waiting.poll() is None
        (box.root / "c").rename(box.root / "old")
        os.kill(before, 9)
        assert eventually(lambda: not pathlib.Path(f"/proc/{before}").exists())
        shutil.rmtree(box.root / "old")
        for top in cgroups(box):
            assert eventually(lambda top=top: removed(f"{top}/c")) and removed(top)
        running(box)
        pid = box.state("c")["pid"]
        os.close(fd)
        code, said = results([waiting])[0]
    assert code == 0 if "delete" in args else (code == 1 and "does not exist" in said)
    assert box.state("c")["pid"] == pid and box.status("c") == "running"
    assert not any(pathlib.Path(f).read_text() == "44\n"
                   for f in glob.glob(f"/sys/fs/cgroup/**{box.cgroups}/c/pids.max", recursive=True))


def test_a_creation_that_is_deleted_while_it_is_noted(box):
    """Between the look of "delete --force" and its removal, the creation comes to its end."""
    hook(box, "createRuntime", f"touch {box.path}/reached; while [ ! -e {box.path}/go ]; do sleep 0.01; done")
    with start(box, "create", "c") as creating:
        assert eventually((box.path / "reached").exists)
        fd = lock(box.root / "c")
        with start(box, "delete", "--force", "c") as deleting:
            time.sleep(0.2)
            (box.path / "go").touch()
            time.sleep(0.2)
            assert creating.poll() is None and deleting.poll() is None
            os.close(fd)
            assert results([deleting])[0][0] == 0
        creating.wait(timeout=60)
    # Either it was noted first, and then deleted as any other, or it found itself deleted.
    assert creating.returncode in (0, 1)
    assert nothing_is_left(box), (cgroups(box), processes(box))


def test_a_lock_that_is_never_given_back_is_named(box, monkeypatch):
    box.create("c")
    fd = lock(box.root / "c")
    try:
        with start(box, "delete", "--force", "c") as p:
            time.sleep(0.5)
            assert p.poll() is None, "it waits"
            p.kill()
            p.stderr.close()
    finally:
        os.close(fd)
    box.hull("delete", "--force", "c")


# ---- the rest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args,meant", [
    (["exec", "c", "sleep", "1000"], ("does not exist", "stopped", "is gone", "died", "cgroup", "init")),
    (["kill", "c", "TERM"], ("does not exist", "not running")),
    (["pause", "c"], ("does not exist", "not running", "cgroup", "freeze")),
    (["update", "--pids-limit", "50", "c"], ("does not exist", "not running", "cgroup")),
    (["ps", "c"], ("does not exist", "cgroup")), (["state", "c"], ("does not exist",))], ids=lambda a: a[0])
def test_a_command_against_a_delete(box, args, meant):
    mounts = host_mounts(box.path)
    for i in range(10):
        running(box)
        commands = [start(box, *args) for _ in range(2)]
        time.sleep(0.002 * i)
        commands.append(start(box, "delete", "--force", "c"))
        found = results(commands)
        assert found[2] == (0, ""), found
        for code, text in found[:2]:
            assert code in (0, 1, 137, 255), found
            assert code in (0, 137) or any(word in text for word in meant), found
        assert nothing_is_left(box), (cgroups(box), processes(box))
    assert host_mounts(box.path) == mounts


def test_an_exec_whose_container_ends_meanwhile_says_so(box):
    """The pid namespace takes nobody any more: the kernel calls that a lack of memory."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    running(box)
    pid = box.state("c")["pid"]
    env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    with subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=setns", "-e", "inject=setns:delay_exit=700000:when=1",
                           HULL, "--root", box.root, "exec", "c", "true"], cwd=box.path, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as p:
        time.sleep(0.4)
        os.kill(pid, 9)
        said = p.communicate(timeout=30)[1]
    assert p.returncode == 255 and "process is gone" in said, said
