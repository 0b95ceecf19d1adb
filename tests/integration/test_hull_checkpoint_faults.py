# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are interrupted, and restores that fail: the container goes on or is whole in its images, and nothing is
left of what did not become one."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from bundles import bundle, pytestmark  # noqa: F401
from checkpoints import (CRIU, cgroup_dirs, count, counting, cr, eventually, host_mounts,  # noqa: F401
                         needs_criu, refused)

pytestmark = [*pytestmark, needs_criu]  # noqa: F811

# Enough to hit each stage; by hand: more.
ROUNDS = int(os.environ.get("HULL_ROUNDS", "5"))


def processes(cr):
    """Of the container, of criu and of hull: all whose root, program or files are the bundle's."""
    found = []
    for proc in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes() + os.readlink(proc / "cwd").encode()
            if str(cr.b.path).encode() in words or b"criu\0swrk" in words and os.readlink(proc / "exe") in (CRIU, shutil.which(CRIU)):
                found.append((proc.name, words))
        except OSError:
            pass
    return found


def start(cr, *args):
    return subprocess.Popen([cr.b.hull_program, "--root", cr.b.root, "--criu", CRIU, *map(str, args)], cwd=cr.b.path,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def child_of(pid, word):
    """The descendant of a process whose command line begins with a word."""
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            if pathlib.Path(f"/proc/{child}/cmdline").read_bytes().startswith(word):
                return int(child)
    return None


def time_of_a_dump(cr):
    begin = time.monotonic()
    cr.checkpoint("c1", "--leave-running")
    took = time.monotonic() - begin
    shutil.rmtree(cr.images)
    return took


def frozen(name):
    """The hierarchies that hold a container."""
    states = {d: [f.read_text().strip() for f in (pathlib.Path(d, "freezer.state"), pathlib.Path(d, "cgroup.freeze"))
                  if f.exists()] for d in cgroup_dirs(name)}
    return [d for d, state in states.items() if state and state[0] not in ("0", "THAWED")]


def goes_on(cr):
    at = count(cr)
    return eventually(lambda: count(cr) > at)


def test_a_killed_checkpoint_leaves_the_container_running_or_whole(cr):
    counting(cr)
    took = time_of_a_dump(cr)
    for i in range(ROUNDS):
        hull = start(cr, "checkpoint", "--image-path", cr.images, "c1")
        time.sleep(took * i / ROUNDS)
        hull.kill()
        hull.wait()
        assert eventually(lambda: not processes(cr)), processes(cr)
        status = cr.b.status("c1") if (cr.b.root / "c1").exists() else None
        if status == "running":
            assert goes_on(cr)
        else:
            # criu was done before it could notice.
            assert status in (None, "stopped")
            cr.hull("delete", "--force", "c1", check=False)
            assert not cgroup_dirs("c1")
            cr.restore("c1")
            assert goes_on(cr)
        shutil.rmtree(cr.images, ignore_errors=True)
    cr.checkpoint("c1")
    cr.restore("c1")
    assert goes_on(cr)


def test_a_checkpoint_whose_criu_is_killed_does_not_leave_the_container_frozen(cr):
    """What criu was about to do inside of the processes cannot be taken back; that it holds them can."""
    mounts, names = pathlib.Path("/proc/self/mountinfo").read_text(), set(os.listdir("/tmp"))
    for i in range(ROUNDS):
        counting(cr)
        took = time_of_a_dump(cr) if i == 0 else took
        log = open(cr.b.path / "killed", "wb")
        with log:
            hull = subprocess.Popen([cr.b.hull_program, "--root", cr.b.root, "--criu", CRIU, "checkpoint", "--image-path",
                                     cr.images, "c1"], cwd=cr.b.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        assert eventually((cr.images / "descriptors.json").exists)
        time.sleep(took * i / ROUNDS / 2)
        criu = child_of(hull.pid, b"criu")
        if criu:
            os.kill(criu, signal.SIGKILL)
        ended = hull.wait(30)
        if ended and criu:
            assert "criu" in (cr.b.path / "killed").read_text()
            assert cr.b.status("c1") in ("running", "stopped") and not frozen("c1")
        cr.hull("delete", "--force", "c1", check=False)
        assert not cgroup_dirs("c1") and not (cr.b.root / "c1").exists()
        assert eventually(lambda: not processes(cr)), processes(cr)
        shutil.rmtree(cr.images)
        (cr.b.rootfs / "count").unlink()
    assert "criu" not in pathlib.Path("/proc/self/mountinfo").read_text() or "criu" in mounts
    for name in set(os.listdir("/tmp")) - names:
        if name.startswith(".criu."):
            os.rmdir("/tmp/" + name)  # its own, empty, of the moment when it was killed


def broken(whole):
    """What becomes of an image: cut, empty, gone, other bytes."""
    yield whole[:len(whole) // 2]
    yield b""
    yield None
    yield bytes(b ^ 0x5A for b in whole[:64]) + whole[64:]
    yield whole[:16] + os.urandom(max(len(whole) - 16, 16))


def test_broken_images_leave_nothing(cr):
    counting(cr)
    cr.checkpoint("c1")
    mounts, links = host_mounts(cr), set(os.listdir("/tmp"))
    images = sorted(p for p in cr.images.iterdir() if p.suffix == ".img")
    assert len(images) > 15
    failed = 0
    for i, image in enumerate(images):
        whole = image.read_bytes()
        ways = list(broken(whole))
        # One way each; all of them by hand.
        for text in ways if ROUNDS > 5 else [ways[i % len(ways)]] if i % 3 == 0 else []:
            if text is None:
                image.unlink()
            else:
                image.write_bytes(text)
            done = cr.restore("c2", check=False)
            if done.returncode == 0:
                cr.hull("delete", "--force", "c2")
            else:
                failed += 1
                assert "restore container" in done.stderr or "checkpoint" in done.stderr, done.stderr
            assert not (cr.b.root / "c2").exists() and not cgroup_dirs("c2"), image
            assert host_mounts(cr) == mounts
            image.write_bytes(whole)
    assert failed > 2
    assert eventually(lambda: not processes(cr)), processes(cr)
    assert not [name for name in set(os.listdir("/tmp")) - links if "criu" in name or name.startswith("cr-")]
    at = count(cr)
    time.sleep(0.2)
    assert count(cr) <= at + 1
    cr.restore("c2")
    assert goes_on(cr)


def test_memory_that_is_cut_short_is_named(cr):
    """criu itself would read on for ever where nothing is, and log that."""
    counting(cr)
    cr.checkpoint("c1")
    pages = cr.images / "pages-1.img"
    whole = pages.read_bytes()
    for text in (b"", whole[:4096], whole[:-1]):
        pages.write_bytes(text)
        refused(cr, '"pages-1.img" is cut short')
    pages.unlink()
    refused(cr, "pages-1.img")
    pages.write_bytes(whole)
    pagemap = next(cr.images.glob("pagemap-*.img"))
    pagemap.write_bytes(pagemap.read_bytes()[:-1])
    refused(cr, f'"{pagemap.name}"')


def test_a_restore_whose_criu_is_killed_leaves_nothing(cr):
    counting(cr)
    cr.checkpoint("c1")
    inside = cr.waiting_hook()
    mounts = host_mounts(cr)
    with open(cr.b.path / "killed", "wb") as log:
        hull = subprocess.Popen([cr.b.hull_program, "--root", cr.b.root, "--criu", CRIU, "restore", "-d", "--image-path",
                                 cr.images, "c2"], cwd=cr.b.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        assert eventually(inside.exists)
        os.kill(child_of(hull.pid, b"criu"), signal.SIGKILL)
    finally:
        inside.unlink(missing_ok=True)
    assert hull.wait(30) == 1
    assert "criu" in (cr.b.path / "killed").read_text()
    assert not (cr.b.root / "c2").exists() and not cgroup_dirs("c2")
    assert host_mounts(cr) == mounts
    assert eventually(lambda: not processes(cr)), processes(cr)


@pytest.mark.parametrize("mode, owner", [(0o777, 0), (0o1777, 0), (0o770, 0), (0o700, 4321)])
def test_directories_that_others_can_write_are_not_written(cr, mode, owner):
    """criu opens files in there by name, as root: whoever can make links there would choose which."""
    counting(cr)
    place = cr.b.path / "place"
    place.mkdir()
    precious = cr.b.path / "precious"
    precious.write_text("kept")
    place.chmod(mode)
    os.chown(place, owner, 0)
    for name in ("pages-1.img", "inventory.img", "stats-dump", "stats-restore"):
        (place / name).symlink_to(precious)
    for options in (["--image-path", place], ["--work-path", place, "--image-path", cr.images]):
        done = cr.hull("checkpoint", *options, "c1", check=False)
        assert done.returncode == 1 and "others" in done.stderr or "belongs to user 4321" in done.stderr, done.stderr
        assert str(place) in done.stderr
    assert cr.b.status("c1") == "running" and goes_on(cr)
    shutil.rmtree(cr.images, ignore_errors=True)
    cr.checkpoint("c1")
    done = cr.restore("c2", "--work-path", place, check=False)
    assert done.returncode == 1 and str(place) in done.stderr, done.stderr
    assert not (cr.b.root / "c2").exists() and not cgroup_dirs("c2")
    assert precious.read_text() == "kept" and sorted(os.listdir(place)) == ["inventory.img", "pages-1.img", "stats-dump",
                                                                           "stats-restore"]
