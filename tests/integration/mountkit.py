# SPDX-License-Identifier: Apache-2.0
"""What tests of mounts, devices and attacks share: mounts into a config.json, what a container sees of them, and mounts
on the host for as long as a test needs them."""
import os
import subprocess

from bundles import own_cgroup  # noqa: F401


class Mount:
    def __init__(self, line):
        left, right = line.split(" - ")
        self.id, self.parent, self.dev, self.root, self.at, options, *tags = left.split()
        self.type, self.source, super_options = right.split(" ", 2)
        self.options, self.super = set(options.split(",")), set(super_options.split(","))
        self.tags = {tag.split(":")[0] for tag in tags}

    def __repr__(self):
        return f"{self.at} {self.type} {sorted(self.options)} {sorted(self.super)} {sorted(self.tags)}"


def mountinfo(text):
    """The topmost mount at each place."""
    return {m.at: m for m in map(Mount, filter(None, text.splitlines()))}


def add_mount(bundle, destination, source=None, fstype=None, options=(), **more):
    mount = {"destination": destination, "options": list(options), **more}
    if source is not None:
        mount["source"] = str(source)
    if fstype is not None:
        mount["type"] = fstype
    bundle.edit(lambda c: c["mounts"].append(mount))


def bind(bundle, destination, source, *options, **more):
    add_mount(bundle, destination, source, "bind", ["bind", *options], **more)


def tmpfs(bundle, destination, *options):
    add_mount(bundle, destination, "tmpfs", "tmpfs", options)


def seen(bundle, name="c1", *options):
    bundle.sh("cat /proc/self/mountinfo")
    return mountinfo(bundle.hull("run", *options, name).stdout)


def output(bundle, script, name="c1", *options):
    bundle.sh(script)
    return bundle.hull("run", *options, name).stdout


def fails(bundle, *options):
    """The one line of a creation that is refused, which leaves nothing."""
    bundle.args("true")
    done = bundle.hull("run", *options, "c1", check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert not bundle.root.exists() or not [n for n in os.listdir(bundle.root) if not n.startswith(":")]
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr.replace('\\"', '"')


def user_namespace(bundle, first=100000, size=65536):
    def change(c):
        c["linux"]["namespaces"].append({"type": "user"})
        for key in ("uidMappings", "gidMappings"):
            c["linux"][key] = [{"containerID": 0, "hostID": first, "size": size}]
    bundle.edit(change)
    for directory in ("", "bin", "proc", "dev", "sys", "tmp", "etc"):
        os.chown(bundle.rootfs / directory, first, first)


def no_namespace(bundle, kind):
    bundle.edit(lambda c: c["linux"].update(
        namespaces=[n for n in c["linux"]["namespaces"] if n["type"] != kind]))


class Mounted:
    """A mount on the host that goes away with the test; private, or what is asked for."""

    def __init__(self, path, *args, propagation="private"):
        self.path = path
        path.mkdir(exist_ok=True)
        subprocess.run(["mount", *args, path], check=True)
        subprocess.run(["mount", f"--make-{propagation}", path], check=True)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        subprocess.run(["umount", "-R", "-l", self.path], check=False)
