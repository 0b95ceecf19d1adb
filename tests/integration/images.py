# SPDX-License-Identifier: Apache-2.0
"""The images that pods of the tests run, in a real docker-registry on loopback: the session's fixture
`images`. All are made here from Debian's static busybox.

    images.busybox      every applet, users and groups in /etc/passwd and /etc/group
    images.configured   the same with a user, environment, working directory, entrypoint, cmd, stop signal
    images.bare         neither entrypoint nor cmd
    images.pause        what a pause image is: an entrypoint that waits
    images.layered      five layers that overwrite and remove each other's files
"""
import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest

import imagekit as kit

BUSYBOX = pathlib.Path("/bin/busybox")

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
app:x:1000:1000:app:/home/app:/bin/sh
other:x:1001:3000:other:/:/bin/sh
"""
GROUP = b"""root:x:0:
app:x:1000:
extra:x:5000:app
more:x:5001:app,other
"""
WAIT = 'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done'


def applets():
    return subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()


def busybox_layer():
    entries = [kit.directory(d) for d in ("bin", "etc", "root", "home", "proc", "sys", "dev", "data", "var")]
    entries += [kit.directory("tmp", mode=0o1777), kit.directory("home/app", uid=1000, gid=1000)]
    entries += [kit.file("bin/busybox", BUSYBOX.read_bytes(), mode=0o755)]
    entries += [kit.hardlink(f"bin/{a}", "bin/busybox") for a in applets() if a != "busybox"]
    entries += [kit.file("etc/passwd", PASSWD), kit.file("etc/group", GROUP),
                kit.file("home/app/own", b"of the user\n", uid=1000, gid=1000, mode=0o600),
                kit.file("data/file", b"of the image\n")]
    return kit.tar(*entries)


class Images:
    """Their references in the registry, and their ids."""

    def __init__(self, host):
        self.host = host
        self.ids = {}
        self.digests = {}

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return f"{self.host}/test/{name}:1"

    def push(self, name, image, directory):
        """Into the registry as test/NAME:1."""
        kit.oci_layout(directory / name, image, names=["1"])
        subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                        f"oci:{directory}/{name}:1", f"docker://{self.host}/test/{name}:1"], check=True)
        self.ids[name] = image.id
        self.digests[name] = kit.digest_of(image.manifest)


@contextlib.contextmanager
def served(directory):
    base = busybox_layer()
    with kit.docker_registry(directory) as host:
        images = Images(host)
        images.push("busybox", kit.Image(base, config={"Cmd": ["/bin/sh"]}), directory)
        images.push("configured", kit.Image(base, config={
            "User": "app", "Env": ["FROM_IMAGE=yes", "PATH=/bin"], "WorkingDir": "/home/app",
            "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo cmd of the image; pwd; id; env; " + WAIT],
            "StopSignal": "SIGUSR1"}), directory)
        images.push("bare", kit.Image(base, config={"Env": ["A=b"]}), directory)
        images.push("pause", kit.Image(base, config={
            "Entrypoint": ["/bin/sh", "-c", WAIT], "Env": ["OF_PAUSE=1"], "WorkingDir": "/data"}), directory)
        images.push("layered", kit.Image(
            base, kit.tar(kit.directory("l"), kit.file("l/gone", b"1"), kit.file("l/over", b"1")),
            kit.tar(kit.file("l/.wh.gone"), kit.file("l/over", b"2")),
            kit.tar(kit.directory("o"), kit.file("o/below", b"1")),
            kit.tar(kit.file("o/.wh..wh..opq"), kit.file("o/above", b"2")), config={"Cmd": ["/bin/sh"]}), directory)
        yield images


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("pods need root")
    for program in ("docker-registry", "skopeo"):
        if not shutil.which(program):
            pytest.skip(f"no {program}")
    if not BUSYBOX.exists():
        pytest.skip("no busybox-static")
    with served(tmp_path_factory.mktemp("registry")) as images:
        yield images
