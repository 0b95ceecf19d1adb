# SPDX-License-Identifier: Apache-2.0
"""What the attacks on the `hull` command (test_hull_attacks*.py) have in common. tests/helper/adversary.c is the
attacker's fast half."""
import contextlib
import hashlib
import os
import shutil
import subprocess

import pytest

from bundles import BUILD, HULL, host_mounts

ADVERSARY = BUILD / "tests/helper/adversary"
ATTEMPTS = int(os.environ.get("HULL_ATTACK_ATTEMPTS", "25"))  # of a race
CAPS = ["bounding", "effective", "permitted"]


def capabilities(bundle, *names):
    bundle.edit(lambda c: c["process"]["capabilities"].update({kind: list(names) for kind in CAPS}))


def with_adversary(bundle):
    shutil.copy(ADVERSARY, bundle.rootfs / "bin/adversary")


@contextlib.contextmanager
def swapping(a, b):
    with subprocess.Popen([ADVERSARY, "swap", str(a), str(b)]) as p:
        try:
            yield
        finally:
            p.kill()


@pytest.fixture
def victim(tmp_path):
    """A directory of the host that no container has anything to do with; nothing comes into it or goes."""
    path = tmp_path / "victim"
    path.mkdir()
    (path / "file").write_text("of the host")
    (path / "dir").mkdir()
    before, mounts = sorted(os.walk(path)), host_mounts(path)
    yield path
    assert sorted(os.walk(path)) == before
    assert (path / "file").read_text() == "of the host"
    assert [m for m in host_mounts(path) if str(path) in m] == [m for m in mounts if str(path) in m]


def quietly(bundle, *args):
    """What stays keeps its output, which must be no pipe of ours."""
    return subprocess.run([HULL, "--root", bundle.root, *args], cwd=bundle.path, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=60)


def containers(bundle):
    """What is left in the state directory, but for its cache."""
    return [n for n in os.listdir(bundle.root) if not n.startswith(":")] if bundle.root.exists() else []


def another_cgroup(bundle):
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=c["linux"]["cgroupsPath"] + "2"))


def climb(path):
    return "../" * 30 + str(path).lstrip("/")


def attempts(bundle, count=ATTEMPTS):
    """Run it over and over; those that are refused are refused in one line and leave nothing."""
    good, bad = [], []
    for _ in range(count):
        done = bundle.hull("run", "c1", check=False)
        if done.returncode == 0:
            good.append(done.stdout)
        else:
            assert "Sanitizer" not in done.stderr
            bad.append(done.stderr)
    assert containers(bundle) == []
    return good, bad


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns
