# SPDX-License-Identifier: Apache-2.0
"""An ordinary user for tests that run as root: a uid without a line in the machine's files, with passwd, subuid and
subgid of its own laid over /etc in a mount namespace of each command (newuidmap, which is set-uid root, reads those)."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from bundles import APPLETS, HULL, wait_until

UID = GID = 61234
NAME = "hulltester"
FIRST, COUNT = 500000, 65536  # its subordinate ids
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class User:
    def __init__(self, directory):
        self.dir = directory
        self.path = directory / "bundle"
        self.rootfs = self.path / "rootfs"
        self.runtime_dir = directory / "run"
        self.root = self.runtime_dir / "hull/oci"
        self.hull_path = directory / "hull"
        self.before = []  # shell lines that root runs in the mount namespace first
        self.env = {"PATH": DEFAULT_PATH, "HOME": "/", "USER": NAME, "XDG_RUNTIME_DIR": str(self.runtime_dir)}
        for name in os.environ:
            if name.endswith("SAN_OPTIONS"):
                self.env[name] = os.environ[name]
        self.options = []  # of setpriv
        directory.chmod(0o755)
        shutil.copy(HULL, self.hull_path)
        self.hull_path.chmod(0o755)
        self.runtime_dir.mkdir(mode=0o700)
        for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
            (self.rootfs / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.rootfs / "bin/busybox")
        (self.rootfs / "bin/busybox").chmod(0o755)
        for name in APPLETS:
            (self.rootfs / "bin" / name).symlink_to("busybox")
        subprocess.run(["chown", "-Rh", f"{UID}:{GID}", self.path, self.runtime_dir], check=True)
        self.etc("passwd", pathlib.Path("/etc/passwd").read_text() + f"{NAME}:x:{UID}:{GID}::/:/bin/sh\n")
        self.etc("subuid", f"# comment\nsomebody:100000:65536\n{NAME}:{FIRST}:{COUNT}\n")
        self.etc("subgid", f"{UID}:{FIRST}:{COUNT}\n")
        self.hull("spec", "--rootless")
        self.edit(lambda c: c["process"].update(terminal=False))
        self.edit(lambda c: c["root"].update(readonly=False))

    def etc(self, name, text):
        (self.dir / "etc").mkdir(exist_ok=True)
        (self.dir / "etc" / name).write_text(text)

    def command(self, *args):
        lines = [f"mount -t overlay -o lowerdir={self.dir}/etc:/etc overlay /etc", *self.before,
                 f'exec setpriv --reuid={UID} --regid={GID} --clear-groups {" ".join(self.options)} -- '
                 f'env -i {" ".join(f"{k}={v}" for k, v in self.env.items())} "$@"']
        return ["unshare", "-m", "sh", "-ec", "\n".join(lines), "sh", *map(str, args)]

    def run(self, *args, check=True, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(self.command(*args), cwd=self.path, text=True, capture_output=True, timeout=60, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{args}: exit {done.returncode}: {done.stderr}")
        return done

    def hull(self, *args, check=True, options=(), **kwargs):
        return self.run(self.hull_path, *options, *args, check=check, **kwargs)

    def refused(self, *args, **kwargs):
        done = self.hull(*args, check=False, **kwargs)
        assert done.returncode != 0, done.stdout
        assert not self.root.exists() or os.listdir(self.root) == [] or args[0] not in ("run", "create")
        return done.stderr.replace('\\"', '"')

    def create(self, name, *options):
        with open(self.path / f"{name}.log", "wb") as log:
            done = subprocess.run(self.command(self.hull_path, "create", *options, name), cwd=self.path,
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60)
        if done.returncode != 0:
            raise AssertionError((self.path / f"{name}.log").read_text())

    def start(self, name, *args):
        self.args(*(args or ("sleep", "100")))
        self.create(name)
        self.hull("start", name)
        return self.state(name)["pid"]

    def state(self, name):
        return json.loads(self.hull("state", name).stdout)

    def wait_for(self, name, status):
        wait_until(lambda: self.state(name)["status"] == status)

    def edit(self, change):
        config = json.loads((self.path / "config.json").read_text())
        change(config)
        (self.path / "config.json").write_text(json.dumps(config))

    def args(self, *args):
        self.edit(lambda c: c["process"].update(args=list(args)))

    def sh(self, script):
        self.args("sh", "-c", script)

    def maps(self, uids, gids=None):
        """Extents (container, host, size)."""
        as_json = lambda m: [dict(zip(("containerID", "hostID", "size"), x)) for x in m]  # noqa: E731
        self.edit(lambda c: c["linux"].update(uidMappings=as_json(uids), gidMappings=as_json(gids or uids)))

    def namespaces(self, *add, remove=()):
        def change(c):
            kept = [n for n in c["linux"]["namespaces"] if n["type"] not in [a["type"] for a in add] + list(remove)]
            c["linux"]["namespaces"] = kept + list(add)
        self.edit(change)

    def mount(self, destination, **values):
        """Change the mount on this destination."""
        self.edit(lambda c: next(m for m in c["mounts"] if m["destination"] == destination).update(values))


@pytest.fixture
def user():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="hull-rootless-"))
    u = User(directory)
    yield u
    u.before, u.options = [], []
    for name in os.listdir(u.root) if u.root.exists() else []:
        u.hull("delete", "--force", name, check=False)
    shutil.rmtree(directory)
