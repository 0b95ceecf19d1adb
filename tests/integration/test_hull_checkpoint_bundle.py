# SPDX-License-Identifier: Apache-2.0
"""Restored containers are what the bundle says: mounts, limits, hooks, namespaces."""
import os
import pathlib
import shutil
import subprocess

from bundles import bundle, pytestmark  # noqa: F401
from checkpoints import COUNTER, cgroup_dirs, count, counting, cr, eventually, needs_criu, refused  # noqa: F401


@needs_criu
def test_mounts_are_those_of_the_bundle(cr):
    """A restore elsewhere: another bundle, whose root never ran a container, and other sources at the same places."""
    outer, inner = cr.b.path / "outer", cr.b.path / "inner"
    for directory in (outer / "below", inner):
        directory.mkdir(parents=True)
    (outer / "name").write_text("first")
    (cr.b.path / "file").write_text("a file")
    (cr.b.rootfs / "link").symlink_to("target")
    subprocess.run(["mount", "-t", "tmpfs", "below", outer / "below"], check=True)
    try:
        (outer / "below/deep").write_text("below the first")
        cr.bind(outer, "/outer", "rbind", "ro", "nosuid")
        cr.bind(cr.b.path / "file", "/file", "bind", "ro")
        cr.bind(inner, "/link")
        cr.bind(inner, "/outer/below")
        cr.b.edit(lambda c: c["mounts"].append({"destination": "/own", "type": "tmpfs", "source": "own",
                                                "options": ["size=1m", "nosuid", "mode=750"]}))
        cr.bind(cr.b.path / "file", "/own/file")
        counting(cr)
        cr.hull("exec", "c1", "sh", "-c", "echo mine >/own/data; echo in inner >/link/x")

        def mounts(name):
            lines = cr.hull("exec", name, "cat", "/proc/self/mountinfo").stdout.splitlines()
            return {w[4]: (w[5].replace("rw,relatime", ""), w[w.index("-") + 1]) for w in map(str.split, lines)}

        before = mounts("c1")
        cr.checkpoint("c1")
        other = cr.b.path / "other"
        (other / "rootfs").mkdir(parents=True)
        for name in ("bin", "tmp"):
            shutil.copytree(cr.b.rootfs / name, other / "rootfs" / name, symlinks=True)
        (other / "rootfs/link").symlink_to("target")
        shutil.copy(cr.b.rootfs / "count", other / "rootfs/count")
        shutil.copy(cr.b.path / "config.json", other)
        (outer / "name").write_text("second")
        cr.restore("c2", "--bundle", other)
        assert cr.hull("exec", "c2", "cat", "/outer/name", "/own/data", "/link/x", "/outer/below/x", "/own/file").stdout \
            == "secondmine\nin inner\nin inner\na file"
        after = mounts("c2")
        assert after == before
        assert cr.hull("exec", "c2", "touch", "/outer/no", check=False).returncode != 0
        assert not cr.b.state("c2")["rootfs"].startswith(str(cr.b.rootfs))
        cr.hull("delete", "--force", "c2")
    finally:
        subprocess.run(["umount", "-l", outer / "below"], check=True)


@needs_criu
def test_mounts_are_refused_that_show_others_of_the_container(cr):
    """Nothing outside of the container has what they show."""
    extra = cr.b.path / "extra"
    extra.mkdir()
    cr.bind(extra, "/extra")
    cr.bind(cr.b.rootfs / "extra", "/again")
    counting(cr)
    done = cr.checkpoint("c1", check=False)
    assert done.returncode == 1 and 'mount on "/again"' in done.stderr and "another mount of the container" in done.stderr
    assert cr.b.status("c1") == "running"


@needs_criu
def test_a_source_that_is_missing_now_is_an_error_of_the_bundle(cr):
    extra = cr.b.path / "extra"
    extra.mkdir()
    cr.bind(extra, "/extra")
    counting(cr)
    cr.checkpoint("c1")
    extra.rmdir()
    refused(cr, '"/extra"')
    extra.mkdir()
    # The images name a mount that the bundle does not have: criu does not find it, and nothing else is tried.
    cr.b.edit(lambda c: c["mounts"].pop())
    refused(cr, "criu failed")


@needs_criu
def test_a_read_only_root_stays_one(cr):
    (cr.b.rootfs / "data").mkdir()
    cr.bind(cr.shared, "/data")
    cr.b.edit(lambda c: c["root"].update(readonly=True))
    cr.b.sh(COUNTER.replace("/count", "/data/count"))
    cr.run("c1")
    assert eventually((cr.shared / "count").exists)
    cr.checkpoint("c1")
    (cr.shared / "count").unlink()
    cr.restore("c1")
    assert eventually((cr.shared / "count").exists)
    assert cr.hull("exec", "c1", "touch", "/no", check=False).returncode != 0


@needs_criu
def test_limits_are_those_of_the_bundle(cr):
    cr.b.edit(lambda c: c["linux"].setdefault("resources", {}).update(pids={"limit": 111}))
    counting(cr)
    cr.checkpoint("c1")
    cr.b.edit(lambda c: c["linux"]["resources"].update(pids={"limit": 222}))
    cr.restore("c1")
    limits = {pathlib.Path(d, "pids.max").read_text().strip() for d in cgroup_dirs("c1")
              if pathlib.Path(d, "pids.max").exists()}
    assert limits == {"222"}


@needs_criu
def test_hooks(cr):
    log = cr.b.path / "hooks"
    script = cr.b.path / "hook"
    script.write_text(f'#!/bin/sh\necho $1 $(/bin/busybox cat | /bin/busybox grep -o \'"status": *"[a-z]*"\') >>{log}\n')
    script.chmod(0o755)
    kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    cr.b.edit(lambda c: c.update(hooks={k: [{"path": str(script), "args": ["hook", k]}] for k in kinds
                                        if k not in ("createContainer", "startContainer")}))
    counting(cr)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["prestart", "createRuntime", "poststart"]
    log.unlink()
    cr.checkpoint("c1")
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["poststop"]
    log.unlink()
    cr.restore("c1")
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["prestart", "createRuntime"]
    cr.hull("delete", "--force", "c1")
    script.write_text("#!/bin/sh\necho no network >&2\nexit 3\n")
    refused(cr, "no network")


@needs_criu
def test_a_joined_network_namespace(cr):
    name = f"hull-cr-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        def join(c):
            for ns in c["linux"]["namespaces"]:
                if ns["type"] == "network":
                    ns["path"] = f"/run/netns/{name}"
        cr.b.edit(join)
        counting(cr)
        inode = os.stat(f"/run/netns/{name}").st_ino
        cr.checkpoint("c1")
        cr.restore("c1")
        assert os.stat(f"/proc/{cr.b.state('c1')['pid']}/ns/net").st_ino == inode
        cr.hull("delete", "--force", "c1")
        subprocess.run(["ip", "netns", "delete", name], check=True)
        refused(cr, "open the network namespace")
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


@needs_criu
def test_a_user_namespace(cr):
    maps = [{"containerID": 0, "hostID": 400000, "size": 65536}]

    def with_user_namespace(c):
        c["linux"]["namespaces"].append({"type": "user"})
        c["linux"].update(uidMappings=maps, gidMappings=maps)
    subprocess.run(["chown", "-R", "400000:400000", cr.b.rootfs], check=True)
    cr.b.edit(with_user_namespace)
    counting(cr)
    cr.checkpoint("c1")
    at = count(cr)
    cr.restore("c1")
    assert eventually(lambda: count(cr) > at + 3)
    pid = cr.b.state("c1")["pid"]
    assert pathlib.Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", "400000", "65536"]
    assert os.stat(f"/proc/{pid}").st_uid == 400000
    assert cr.hull("exec", "c1", "id", "-u").stdout == "0\n"
