# SPDX-License-Identifier: Apache-2.0
"""Containers that are checkpointed and restored. Test modules import what they use, `cr` (a fixture), `bundle` and
`pytestmark` among it.

What needs a criu that can work on this kernel uses $HULL_CRIU, or the one in $PATH; where it cannot, it is skipped here and
run in the guest (tests/vm)."""
import os
import pathlib
import shutil
import subprocess
import textwrap
import time

import pytest

from bundles import HULL, bundle, pytestmark  # noqa: F401

CRIU = os.environ.get("HULL_CRIU", "criu")


def criu_works():
    done = subprocess.run([CRIU, "check"], capture_output=True, text=True, check=False) if shutil.which(CRIU) else None
    return done is not None and done.returncode == 0


needs_criu = pytest.mark.skipif(not criu_works(), reason="criu cannot work on this kernel")


class Checkpoints:
    """A bundle's containers, with standard files that are no pipes of ours."""

    def __init__(self, b):
        self.b = b
        self.images = b.path / "images"
        self.shared = b.path / "shared"
        self.shared.mkdir()

    def hull(self, *args, options=("--criu", CRIU), **kwargs):
        done = self.b.hull(*args, options=options, **kwargs)
        done.stderr = done.stderr.replace('\\"', '"')  # as the log escapes it
        return done

    def start(self, command, name, *options, check=True, out=None, **kwargs):
        """run or restore, detached."""
        if out is None:
            out = open(self.b.path / "out", "ab")
            os.fchmod(out.fileno(), 0o666)  # criu opens it again, as the container's root
        # For appending: criu wants a file that is written elsewhere to be as long as it was.
        (self.b.path / "err").write_bytes(b"")
        (self.b.path / "err").chmod(0o666)
        with open(self.b.path / "err", "ab") as err:
            done = subprocess.run(
                [self.b.hull_program, "--root", self.b.root, "--criu", CRIU, "--log", self.b.path / "log", command,
                 "--detach", *map(str, options), name],
                cwd=self.b.path, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=100, check=False, **kwargs)
        done.stderr = (self.b.path / "err").read_text()
        if check and done.returncode != 0:
            raise AssertionError(f"{command} {options}: {done.stderr}\n{self.criu_log()}")
        return done

    def run(self, name, *options, **kwargs):
        return self.start("run", name, *options, **kwargs)

    def checkpoint(self, name, *options, images=None, **kwargs):
        return self.hull("checkpoint", "--image-path", images or self.images, *options, name, **kwargs)

    def restore(self, name, *options, images=None, **kwargs):
        return self.start("restore", name, "--image-path", images or self.images, *options, **kwargs)

    def criu_log(self):
        logs = [self.images / "dump.log", self.images / "restore.log"]
        lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
        return "\n".join(line for line in lines if "Error" in line or "Warn" in line)

    def python(self, script):
        """A program of Python in the container, by the host's /usr; `say` writes a line that said() waits for."""
        head = """
            import fcntl, os, signal, socket, sys, threading, time
            def say(*words):
                with open("/shared/said", "a") as f:
                    print(*words, file=f)
            def wait_for(name):
                while not os.path.exists("/shared/" + name):
                    time.sleep(0.01)
            """
        (self.shared / "program.py").write_text(textwrap.dedent(head) + textwrap.dedent(script))
        for name in ("lib", "lib64"):
            if not os.path.lexists(self.b.rootfs / name):
                (self.b.rootfs / name).symlink_to("usr/" + name)
        for name in ("usr", "shared"):
            (self.b.rootfs / name).mkdir(exist_ok=True)
        self.b.args("/usr/bin/python3", "-SEB", "/shared/program.py")
        self.bind("/usr", "/usr", "rbind", "ro")
        self.bind(self.shared, "/shared")

    def bind(self, source, destination, *options):
        mount = {"destination": destination, "type": "bind", "source": str(source), "options": list(options) or ["bind"]}
        self.b.edit(lambda c: c["mounts"].append(mount))

    def waiting_hook(self):
        """A prestart hook that waits for as long as the file is there which it makes. Returns its path."""
        inside, hook = self.b.path / "in-hook", self.b.path / "hook"
        hook.write_text(f"#!/bin/sh\ntouch {inside}\nwhile [ -e {inside} ]; do sleep 0.05; done\n")
        hook.chmod(0o755)
        self.b.edit(lambda c: c.update(hooks={"prestart": [{"path": str(hook)}]}))
        return inside

    def said(self, word, timeout=60):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if (self.shared / "said").exists():
                for line in (self.shared / "said").read_text().splitlines():
                    if line.split()[:1] == [word]:
                        return line[len(word):].strip()
            time.sleep(0.02)
        raise AssertionError(f"the container did not say {word}")

    def tell(self, name):
        (self.shared / name).touch()


@pytest.fixture
def cr(bundle):  # noqa: F811
    bundle.hull_program = HULL
    yield Checkpoints(bundle)


def eventually(what, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


COUNTER = 'i=0; while :; do i=$((i+1)); echo $i >>/count; sleep 0.05; done'


def count(cr):
    for _ in range(1000):
        text = (cr.b.rootfs / "count").read_text() if (cr.b.rootfs / "count").exists() else ""
        if text.endswith("\n"):
            return int(text.split()[-1])
        time.sleep(0.02)
    raise AssertionError("the container does not count")


def counting(cr, name="c1", *options):
    cr.b.sh(COUNTER)
    cr.run(name, *options)
    assert eventually(lambda: count(cr) > 3)


def cgroup_dirs(name):
    """Of a container without a cgroupsPath."""
    top = pathlib.Path("/sys/fs/cgroup")
    return [str(p) for place in [top, *(p for p in top.iterdir() if p.is_dir())]
            if (p := place / "hull" / name).is_dir()]


def host_mounts(cr):
    """Those that could be ours: others mount, too."""
    return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
            if str(cr.b.path.parent) in line or "criu" in line]


def images_of(cr, **files):
    cr.images.mkdir(mode=0o700)
    for name, text in {"inventory.img": "x", "pstree.img": "x", **files}.items():
        (cr.images / name.replace("_json", ".json")).write_text(text)


def refused(cr, words):
    mounts = host_mounts(cr)
    done = cr.restore("c2", check=False)
    assert done.returncode == 1
    assert words in done.stderr, done.stderr
    assert not (cr.b.root / "c2").exists()
    assert not cgroup_dirs("c2")
    assert host_mounts(cr) == mounts
