# SPDX-License-Identifier: Apache-2.0
"""Bundles for the `hull` command: a static busybox, the default config.json, a --root of their own, and the removal
of whatever a test left. Test modules import what they use, `bundle` (a fixture) and `pytestmark` among it."""
import json
import os
import pathlib
import subprocess
import time

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HULL_BUILD", CHECKOUT / "build"))
HULL = BUILD / "src/hull/hull"


# The id of a test's one container: its cgroup must not meet those of another run of the tests on the machine.
C1 = f"c1-{os.getpid()}"


def has_apparmor():
    enabled = pathlib.Path("/sys/module/apparmor/parameters/enabled")
    return enabled.exists() and enabled.read_text().startswith("Y")


def said(done):
    """What a command wrote to stderr, without the quoting of log lines."""
    return done.stderr.replace('\\"', '"')


def in_initial_user_namespace():
    return os.stat("/proc/self/ns/user").st_ino == 0xEFFFFFFD


pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not in_initial_user_namespace(), reason="containers need the host's root"),
    pytest.mark.skipif(not HULL.exists(), reason=f"no hull in {BUILD}"),
    pytest.mark.skipif(not os.path.exists("/bin/busybox"), reason="no busybox-static"),
]

APPLETS = "sh true id ls cat mount ps echo sleep readlink kill stat touch tty stty trap hostname head wc test grep sync".split()


def host_mounts(own):
    """What is mounted here; of what is below /tmp only what is below the directory `own`, as other tests mount there
    meanwhile."""
    lines = (line.split(" ", 3)[3] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted(line for line in lines if not line.split()[1].startswith("/tmp/") or line.split()[1].startswith(str(own)))


def wait_until(what, timeout=60):
    """The first true value of what()."""
    end = time.monotonic() + timeout
    while not (value := what()):
        assert time.monotonic() < end, f"waited {timeout} s in vain"
        time.sleep(0.01)
    return value


class Bundle:
    def __init__(self, path, root):
        self.path, self.root, self.ids = path, root, []
        self.rootfs = path / "rootfs"
        for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
            (self.rootfs / name).mkdir(parents=True)
        busybox = self.rootfs / "bin/busybox"
        busybox.write_bytes(pathlib.Path("/bin/busybox").read_bytes())
        busybox.chmod(0o755)
        for name in APPLETS:
            (self.rootfs / "bin" / name).symlink_to("busybox")
        subprocess.run([HULL, "spec", "-b", path], check=True)
        self.edit(lambda c: c["process"].update(terminal=False))
        self.edit(lambda c: c["root"].update(readonly=False))

    def edit(self, change):
        config = json.loads((self.path / "config.json").read_text())
        change(config)
        (self.path / "config.json").write_text(json.dumps(config))

    def args(self, *args):
        self.edit(lambda c: c["process"].update(args=list(args)))

    def sh(self, script):
        self.args("sh", "-c", script)

    def hull(self, *args, check=True, options=(), **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run([HULL, "--root", self.root, *options, *map(str, args)], cwd=self.path, text=True,
                              capture_output=True, timeout=120, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"hull {args}: exit {done.returncode}: {done.stderr}")
        return done

    def create(self, name, *options):
        """What create leaves behind keeps its stdio, so that must not be our pipe."""
        self.ids.append(name)
        with open(self.path / f"{name}.log", "wb") as log:
            done = subprocess.run([HULL, "--root", self.root, "create", *options, name], cwd=self.path,
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120)
        if done.returncode != 0:
            raise AssertionError(self.log(name))

    def log(self, name):
        return (self.path / f"{name}.log").read_text()

    def state(self, name):
        return json.loads(self.hull("state", name).stdout)

    def status(self, name):
        return self.state(name)["status"]

    def wait_for(self, name, status):
        wait_until(lambda: self.status(name) == status)

    def wait_for_log(self, name, text):
        """Until a created container has written this."""
        wait_until(lambda: text in self.log(name))

    def wait_for_file(self, path):
        """Until this file of the container is there and not empty."""
        file = self.rootfs / path
        wait_until(lambda: file.exists() and file.stat().st_size)


@pytest.fixture
def bundle(tmp_path):
    tmp_path.chmod(0o755)
    b = Bundle(tmp_path / "bundle", tmp_path / "state")
    yield b
    for name in os.listdir(b.root) if b.root.exists() else []:
        b.hull("delete", "--force", name, check=False)


@pytest.fixture(autouse=True)
def own_cgroup(bundle):
    """For modules that import it. Not the name of the container alone, which others on this machine may have as well."""
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"/hull-test-{os.getpid()}-c"))
