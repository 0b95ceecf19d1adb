# SPDX-License-Identifier: Apache-2.0
"""Device nodes and links of a container as it sees them (OCI config-linux.md, "Devices")."""
import os
import stat

import pytest

from bundles import HULL, bundle, pytestmark  # noqa: F401 pylint: disable=unused-import
from mountkit import Mounted, add_mount, bind, fails, output, own_cgroup, tmpfs, user_namespace  # noqa: F401
from terminals import Terminal

DEFAULTS = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
         "ptmx": "pts/ptmx"}


def device(bundle, path, kind, major=None, minor=None, mode=None, uid=None, gid=None):
    values = {"path": path, "type": kind, "major": major, "minor": minor, "fileMode": mode, "uid": uid, "gid": gid}
    bundle.edit(lambda c: c["linux"].setdefault("devices", []).append({k: v for k, v in values.items() if v is not None}))


def without_dev(bundle):
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if not m["destination"].startswith("/dev")]))


def nodes(bundle, *paths):
    """{path: (kind, major, minor, mode, uid, gid)}"""
    text = output(bundle, "stat -c '%n|%F|%t|%T|%a|%u|%g' " + " ".join(paths))
    found = {}
    for line in text.splitlines():
        path, kind, major, minor, *rest = line.split("|")
        found[path] = (kind.split()[0], int(major, 16), int(minor, 16), *rest)
    return found


def check_defaults(bundle):
    found = nodes(bundle, *("/dev/" + name for name in DEFAULTS))
    for name, numbers in DEFAULTS.items():
        assert found["/dev/" + name] == ("character", *numbers, "666", "0", "0")
    text = output(bundle, "for l in fd stdin stdout stderr ptmx core; do readlink /dev/$l; done; true")
    expected = [*LINKS.values(), *(["/proc/kcore"] if os.path.exists("/proc/kcore") else [])]
    assert text.split() == expected


@pytest.mark.parametrize("in_user_ns", [False, True])
def test_default_devices_and_links(bundle, in_user_ns):
    if in_user_ns:
        user_namespace(bundle)
    check_defaults(bundle)
    text = output(bundle, "head -c 3 /dev/zero | wc -c; echo x > /dev/null; echo x > /dev/full; head -c 1 /dev/urandom | wc -c; "
                          "echo seen > /dev/stdout; ls /dev/fd | wc -l")
    assert text.split()[:3] == ["3", "1", "seen"]


def test_default_devices_in_the_images_own_dev(bundle):
    without_dev(bundle)
    (bundle.rootfs / "dev/stdin").write_text("of the image")
    (bundle.rootfs / "dev/ptmx").write_text("of the image")
    found = nodes(bundle, *("/dev/" + name for name in DEFAULTS))
    assert {k.removeprefix("/dev/"): v[1:3] for k, v in found.items()} == DEFAULTS
    assert os.readlink(bundle.rootfs / "dev/ptmx") == "pts/ptmx"
    assert os.readlink(bundle.rootfs / "dev/stdout") == "/proc/self/fd/1"
    assert (bundle.rootfs / "dev/stdin").read_text() == "of the image"
    # Once more, where all of it is there already.
    assert nodes(bundle, "/dev/null")["/dev/null"][1:3] == (1, 3)


@pytest.mark.parametrize("in_user_ns", [False, True])
def test_devices_of_the_spec(bundle, in_user_ns):
    if in_user_ns:
        user_namespace(bundle)
    device(bundle, "/dev/char", "c", 1, 3, 0o640, 7, 8)
    device(bundle, "/dev/unbuffered", "u", 1, 5)
    device(bundle, "/dev/block", "b", 7, 0, 0o600)
    device(bundle, "/dev/fifo", "p", mode=0o622, uid=9)
    device(bundle, "/dev/deep/er/node", "c", 1, 3)
    device(bundle, "/dev//./odd/../odd", "c", 1, 3)
    device(bundle, "/outside/node", "c", 1, 9, 0o444, 3, 4)
    device(bundle, "/fifo", "p")
    device(bundle, "/dev/null", "c", 1, 3, 0o600, 5, 6)
    device(bundle, "/dev/big", "c", 4095, 1048575, 0o020600)
    found = nodes(bundle, "/dev/char", "/dev/unbuffered", "/dev/block", "/dev/fifo", "/dev/deep/er/node", "/dev/odd",
                  "/outside/node", "/fifo", "/dev/null", "/dev/big")
    assert found == {
        "/dev/char": ("character", 1, 3, "640", "7", "8"),
        "/dev/unbuffered": ("character", 1, 5, "666", "0", "0"),
        "/dev/block": ("block", 7, 0, "600", "0", "0"),
        "/dev/fifo": ("fifo", 0, 0, "622", "9", "0"),
        "/dev/deep/er/node": ("character", 1, 3, "666", "0", "0"),
        "/dev/odd": ("character", 1, 3, "666", "0", "0"),
        "/outside/node": ("character", 1, 9, "444", "3", "4"),
        "/fifo": ("fifo", 0, 0, "666", "0", "0"),
        "/dev/null": ("character", 1, 3, "600", "5", "6"),
        "/dev/big": ("character", 4095, 1048575, "600", "0", "0"),
    }


def test_devices_work_in_a_user_namespace(bundle):
    user_namespace(bundle)
    device(bundle, "/outside/zero", "c", 1, 5)
    device(bundle, "/dev/mine", "c", 1, 5)
    assert output(bundle, "head -c 5 /outside/zero | wc -c; head -c 6 /dev/mine | wc -c") == "5\n6\n"


def test_ptmx_of_the_spec_is_the_containers_own(bundle):
    device(bundle, "/dev/ptmx", "c", 5, 2)
    assert output(bundle, "readlink /dev/ptmx") == "pts/ptmx\n"


def test_a_node_that_the_image_has_is_taken_and_another_thing_is_an_error(bundle):
    without_dev(bundle)
    os.mknod(bundle.rootfs / "dev/mine", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.mkfifo(bundle.rootfs / "pipe", 0o600)
    device(bundle, "/dev/mine", "c", 1, 3)
    device(bundle, "/pipe", "p")
    found = nodes(bundle, "/dev/mine", "/pipe")
    assert found["/dev/mine"][:4] == ("character", 1, 3, "640")
    for make in (lambda p: p.write_text("x"), lambda p: p.mkdir(), lambda p: p.symlink_to("/etc"),
                 lambda p: os.mknod(p, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
                 lambda p: os.mknod(p, stat.S_IFBLK | 0o666, os.makedev(1, 3))):
        path = bundle.rootfs / "dev/other"
        if path.exists() and not path.is_symlink() and path.is_dir():
            path.rmdir()
        elif path.exists() or path.is_symlink():
            path.unlink()
        make(path)
        if not any(d["path"] == "/dev/other" for d in config(bundle)["linux"]["devices"]):
            device(bundle, "/dev/other", "c", 1, 3)
        message = fails(bundle)
        assert '"/dev/other"' in message and "something else" in message
    assert path.is_block_device()


def config(bundle):
    found = {}
    bundle.edit(found.update)
    return found


def test_devices_that_cannot_be(bundle):
    for values, word in (({"path": "dev/x", "type": "c", "major": 1, "minor": 3}, "absolute"),
                         ({"path": "/dev/x", "type": "z", "major": 1, "minor": 3}, "type"),
                         ({"path": "/dev/x", "type": "c", "minor": 3}, "major"),
                         ({"path": "/dev/x", "type": "c", "major": -5, "minor": 3}, "major"),
                         ({"path": "/dev/..", "type": "c", "major": 1, "minor": 3}, "root"),
                         ({"path": "/dev/null/x", "type": "c", "major": 1, "minor": 3}, "/dev/null/x"),
                         ({"path": "/dev/x", "type": "c", "major": 4096, "minor": 3}, "/dev/x"),
                         ({"path": "/bin/busybox/x", "type": "c", "major": 1, "minor": 3}, "/bin/busybox/x")):
        bundle.edit(lambda c, values=values: c["linux"].update(devices=[values]))
        assert word in fails(bundle)


def test_an_owner_that_is_not_mapped_is_refused_with_its_id(bundle):
    user_namespace(bundle, size=10)
    device(bundle, "/dev/x", "c", 1, 3, uid=10)
    message = fails(bundle)
    assert '"/dev/x"' in message and "10" in message


def test_nothing_is_made_in_a_dev_that_is_bound(bundle):
    own = bundle.path / "dev"
    own.mkdir()
    (own / "file").write_text("x")
    without_dev(bundle)
    bind(bundle, "/dev", own)
    device(bundle, "/dev/x", "c", 1, 3)
    assert output(bundle, "ls /dev") == "file\n"
    assert os.listdir(own) == ["file"]


def test_a_dev_that_is_a_tmpfs_of_the_host(bundle):
    without_dev(bundle)
    with Mounted(bundle.path / "dev", "-t", "tmpfs", "x") as own:
        os.mknod(own / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        bind(bundle, "/dev", own)
        assert output(bundle, "echo x > /dev/null; ls /dev") == "null\n"


def test_the_hosts_dev(bundle):
    without_dev(bundle)
    add_mount(bundle, "/dev", "/dev", "bind", ["rbind", "rslave"])
    own = {*DEFAULTS, *LINKS, "console", "core", "pts", "shm", "mqueue"}

    def there():
        """Other tests may make loop devices meanwhile."""
        return {name: os.lstat(f"/dev/{name}").st_ino for name in own & set(os.listdir("/dev"))}

    before, names = there(), set(os.listdir("/dev"))
    text = output(bundle, "ls -a /dev; echo x > /dev/null")
    assert names & set(os.listdir("/dev")) <= set(text.split())
    assert there() == before


@pytest.mark.parametrize("target", ["etc", "/etc", "../../../../etc/made", "/not/there"])
def test_a_dev_that_is_a_link_stays_inside(bundle, target):
    (bundle.rootfs / "dev").rmdir()
    (bundle.rootfs / "dev").symlink_to(target)
    before = set(os.listdir("/etc"))
    assert output(bundle, "stat -c %F /dev/null /dev/pts/ptmx") == "character special file\n" * 2
    assert not (set(os.listdir("/etc")) - before) & {*DEFAULTS, *LINKS, "pts", "made", "shm", "mqueue", "console"}


def test_a_read_only_dev(bundle):
    bundle.edit(lambda c: next(m for m in c["mounts"] if m["destination"] == "/dev")["options"].append("ro"))
    device(bundle, "/dev/mine", "c", 1, 5)
    text = output(bundle, "touch /dev/x 2>&1; head -c 2 /dev/mine | wc -c; echo x > /dev/null; touch /dev/shm/x && echo shm")
    assert "Read-only" in text and text.endswith("2\nshm\n")


def test_devices_that_the_cgroup_does_not_allow(bundle):
    """A node alone gives nothing: resources.devices decides."""
    device(bundle, "/dev/mem", "c", 1, 1)
    text = output(bundle, "head -c 1 /dev/mem 2>&1; true")
    assert "not permitted" in text
    os.mknod(bundle.rootfs / "kmsg", stat.S_IFCHR | 0o666, os.makedev(1, 11))
    assert "not permitted" in output(bundle, "head -c 1 /kmsg 2>&1; true")


def on_a_terminal(bundle, script):
    """What it shows there."""
    bundle.edit(lambda c: c["process"].update(terminal=True))
    bundle.sh(script)
    t = Terminal()
    t.run([HULL, "--root", bundle.root, "run", "c1"], bundle.path)
    shown, status = t.end()
    t.close()
    assert status == 0, shown
    return shown.replace("\r", "")


def test_the_console_is_the_terminal(bundle):
    text = on_a_terminal(bundle, "stat -c '%t %T' /dev/console; stat -c '%t %T' $(tty); tty; "
                                 "grep -c /dev/console /proc/self/mountinfo")
    console, terminal, name, count = text.splitlines()[:4]
    assert console == terminal and name == "/dev/pts/0" and count == "1"


def test_the_console_is_not_reached_through_a_link_that_leaves(bundle):
    """/dev of the image, with /dev/console as a link: it is followed inside of the root alone."""
    without_dev(bundle)
    add_mount(bundle, "/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620"])
    (bundle.rootfs / "dev/console").symlink_to("/../../../../../../../../etc/console-of-a-test")
    assert "character special file" in on_a_terminal(bundle, "stat -c %F /etc/console-of-a-test")
    assert not os.path.exists("/etc/console-of-a-test")


def test_a_tmpfs_on_dev_shm_keeps_its_options(bundle):
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if m["destination"] != "/dev/shm"]))
    tmpfs(bundle, "/dev/shm", "size=1m", "mode=1777", "noexec")
    text = output(bundle, "stat -c %a /dev/shm; head -c 2000000 /dev/zero > /dev/shm/x 2>/dev/null; stat -c %s /dev/shm/x")
    assert text == "1777\n1048576\n"
