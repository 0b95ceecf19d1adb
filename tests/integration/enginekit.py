# SPDX-License-Identifier: Apache-2.0
"""A private place for other projects' engines: mount, network and pid namespaces of its own, with its own /run, /dev/shm,
/var/lib/cni, an /etc laid over the machine's, and of cgroup v1 only the hierarchies that are mounted (where a directory has
another controller's name, podman and Docker take it for one). Whatever an engine starts, mounts or connects in there ends
with it."""
import contextlib
import glob
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from bundles import CHECKOUT, HULL, wait_until

CGROUPS = pathlib.Path("/sys/fs/cgroup")
UID = GID = 61234
GROUP = 61235  # one more of the user's groups
NAME = "hulltester"
FIRST = 600000
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
APPLETS = ("sh true id ls cat mount ps echo sleep readlink kill stat touch tty stty hostname head tail wc test grep seq ip "
           "ping env rm mkdir sort").split()

def readme(word, file="README.md"):
    """The block of code in it that has this word in it."""
    blocks = (CHECKOUT / file).read_text().split("```")[1::2]
    (block,) = [b.split("\n", 1)[1] for b in blocks if word in b]
    return block


# Process 1 of the place: all that lose their parent become its children, and it waits for none.
KEEPER = """
import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""


class Place:
    def __init__(self, etc=None):
        """etc: files to have in /etc, by name: text that is added to the machine's file. hull is installed."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hull-engine-"))
        self.dir.chmod(0o755)
        self.hull = pathlib.Path("/usr/bin/hull")
        programs = self.dir / "usr-bin"
        programs.mkdir()
        shutil.copy(HULL, programs / "hull")
        (programs / "hull").chmod(0o755)
        self.runtime_dir = self.dir / "xdg"
        self.home = self.dir / "home"
        for d in (self.runtime_dir, self.home):
            d.mkdir(mode=0o700)
            os.chown(d, UID, GID)
        over = self.dir / "etc"
        (over / "docker").mkdir(parents=True)
        for name, text in (etc or {}).items():
            machine = pathlib.Path("/etc") / name
            (over / name).parent.mkdir(parents=True, exist_ok=True)
            (over / name).write_text((machine.read_text() if machine.exists() else "") + text)
        script = f"""
mount -t overlay -o lowerdir={over}:/etc overlay /etc
mount -t overlay -o lowerdir={programs}:/usr/bin overlay /usr/bin
for d in /run /dev/shm /var/lib/cni /var/tmp /etc/docker; do mkdir -p $d; mount -t tmpfs tmpfs $d; done
mkdir -p /run/lock /run/netns
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
	mkdir /run/cgroup
	mount -t tmpfs tmpfs /run/cgroup
	for d in /sys/fs/cgroup/*; do
		! mountpoint -q $d || {{ mkdir /run/cgroup/${{d##*/}}; mount --bind $d /run/cgroup/${{d##*/}}; }}
	done
	umount -l /sys/fs/cgroup
	mount --move /run/cgroup /sys/fs/cgroup
fi
ip link set lo up
exec {sys.executable} -c '{KEEPER}'
"""
        self.keeper = subprocess.Popen(["unshare", "-mnpf", "--kill-child", "--mount-proc", "sh", "-ec", script],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout.readline() == "ready\n"
        children = f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children"
        self.pid = int(pathlib.Path(children).read_text())

    def command(self, *args, as_user=False, env=None):
        criu = os.environ.get("HULL_CRIU", "")
        path = f"{os.path.dirname(criu)}:{PATH}" if criu.startswith("/") else PATH
        env = {"PATH": path, "TERM": "xterm", "HOME": "/root", **(env or {})}
        for name in os.environ:
            if name.endswith("SAN_OPTIONS"):
                env[name] = os.environ[name]
        who = []
        if as_user:
            env.update(HOME=str(self.home), USER=NAME, XDG_RUNTIME_DIR=str(self.runtime_dir))
            who = ["setpriv", f"--reuid={UID}", f"--regid={GID}", f"--groups={GROUP}", "--"]
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "--wdns=/", "--", *who, "env", "-i",
                *(f"{k}={v}" for k, v in env.items()), *map(str, args)]

    def run(self, *args, check=True, as_user=False, env=None, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("timeout", 60)
        done = subprocess.run(self.command(*args, as_user=as_user, env=env), text=True, capture_output=True, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{args}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def close(self):
        self.keeper.kill()
        self.keeper.wait()
        self.keeper.stdout.close()
        for _ in range(50):  # the pid namespace is emptied, then its files can go
            if not os.path.exists(f"/proc/{self.pid}"):
                break
            subprocess.run(["sleep", "0.02"], check=True)
        shutil.rmtree(self.dir)


def image_root(directory):
    """A root file system of busybox, and a tar of it."""
    root = directory / "image"
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc", "root"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    (root / "bin/busybox").chmod(0o755)
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    tar = directory / "image.tar"
    subprocess.run(["tar", "-C", root, "--owner=0", "--group=0", "-cf", tar, "."], check=True)
    return tar


# For a machine without systemd, and for tests of containers without cgroups (hull(1)).
MACHINE = """engine.cgroup_manager = "cgroupfs"
engine.runtime_supports_nocgroup = ["hull"]
engine.events_logger = "file"
engine.network_cmd_path = ""
"""


class Podman:
    """podman with hull, by root or an ordinary user."""

    def __init__(self, as_user=False):
        self.as_user = as_user
        self.old_cgroups = set(CGROUPS.glob("*/libpod_parent"))
        etc = {"passwd": f"{NAME}:x:{UID}:{GID}::/:/bin/sh\ncontainers:x:{UID + 1}:{GID}::/:/bin/sh\n", "group": f"{NAME}:x:{GID}:\n",
               "subuid": f"{NAME}:{FIRST}:65536\ncontainers:800000:1000000\n",
               "subgid": f"{NAME}:{FIRST}:65536\ncontainers:800000:1000000\n", "containers/containers.conf": MACHINE}
        dropin = "containers/containers.conf.d/hull.conf"
        self.place = Place(etc if as_user else {**etc, dropin: readme("engine.runtime")})
        self.dir = self.place.dir
        if as_user:
            config = self.place.home / ".config"
            (config / dropin).parent.mkdir(parents=True)
            (config / dropin).write_text(readme("engine.runtime"))
            subprocess.run(["chown", "-R", f"{UID}:{GID}", config], check=True)
        self.storage = [] if as_user else ["--root", self.dir / "root", "--runroot", "/run/podman-run"]
        self.storage += ["--storage-driver", "vfs" if as_user else "overlay"]
        self.images = []
        tar = image_root(self.dir)
        self("import", "-c", 'CMD ["sh"]', tar, "busy")
        self("import", "-c", 'ENTRYPOINT ["/bin/sleep", "100000"]', tar, "pause")

    def argv(self, *args, program="podman"):
        return self.place.command(program, *self.storage, *args, as_user=self.as_user,
                                  env={"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"})

    def __call__(self, *args, check=True, program="podman", **kwargs):
        """What it printed."""
        done = self.done(*args, program=program, **kwargs)
        if check and done.returncode != 0:
            raise AssertionError(f"{program} {args}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def done(self, *args, program="podman", **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.argv(*args, program=program), text=True, capture_output=True, timeout=60, **kwargs)

    def box(self, *args, network="none", **kwargs):
        """The output of a short container."""
        return self("run", "--rm", "--network", network, *args, **kwargs)

    def inspect(self, name, what):
        return self("inspect", "-f", "{{%s}}" % what, name).strip()

    def remove_all(self):
        self("pod", "rm", "-fa", "-t", "0", check=False)
        self("rm", "-fa", "-t", "0", check=False)

    def close(self):
        self.remove_all()
        self.place.close()
        # podman's own, of its monitors; a cgroup that hull made is gone with the last container below it.
        for top in set(CGROUPS.glob("*/libpod_parent")) - self.old_cgroups:
            for d, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(d)


def cgroups_of(name):
    """All cgroups with this in their name, in any hierarchy. (Others come and go meanwhile, which pathlib's glob does not
    bear.)"""
    return [pathlib.Path(d) for level in ("*", "*/*") for d in glob.glob(f"{CGROUPS}/{level}/*{name}*")]


@pytest.fixture(scope="module")
def podman():
    p = Podman()
    yield p
    p.close()


@pytest.fixture(autouse=True)
def nothing_left(podman):
    """For modules that import it: each test begins without containers."""
    yield
    podman.remove_all()


# A container that counts in a file and says so, to see after a restore whether it goes on.
COUNT = "i=0; while :; do i=$((i+1)); echo $i >/count; echo line $i; sleep 0.1; done"


def count_goes_on(read):
    """Waits until what read() returns of its file has grown. Returns from what."""
    def number():
        text = read().split()  # it is empty for a moment each time
        return int(text[-1]) if text else 0

    at = wait_until(number)
    wait_until(lambda: number() > at)
    return at
