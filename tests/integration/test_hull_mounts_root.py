# SPDX-License-Identifier: Apache-2.0
"""Id mappings of mounts, the root, masks, and mounts with rules of their own: /proc, /sys, cgroups (OCI config-linux.md)."""
import json
import os
import pathlib
import subprocess

import pytest

from bundles import bundle, pytestmark, wait_until  # noqa: F401 pylint: disable=unused-import
from mountkit import (Mounted, add_mount, bind, fails, mountinfo, no_namespace, output, own_cgroup,  # noqa: F401
                      seen, tmpfs, user_namespace)


# ---- ids -----------------------------------------------------------------------------------------------------

MAPS = {"uidMappings": [{"containerID": 0, "hostID": 5000, "size": 1000}],
        "gidMappings": [{"containerID": 0, "hostID": 6000, "size": 1000}]}


def owned(path, uid, gid):
    path.mkdir()
    os.chown(path, uid, gid)
    return path


def test_mounts_with_id_mappings_of_their_own(bundle):
    source = owned(bundle.path / "data", 1, 2)
    bind(bundle, "/m", source, "idmap", **MAPS)
    bind(bundle, "/without-word", source, **MAPS)
    text = output(bundle, "stat -c '%u %g' /m /without-word")
    assert text == "5001 6002\n" * 2


def test_mounts_with_the_mappings_of_the_user_namespace(bundle):
    user_namespace(bundle)
    source = owned(bundle.path / "data", 1, 2)
    bind(bundle, "/m", source, "idmap")
    bind(bundle, "/own", source, "idmap", uidMappings=[{"containerID": 1, "hostID": 100007, "size": 1}],
         gidMappings=[{"containerID": 2, "hostID": 100008, "size": 1}])
    bind(bundle, "/plain", source)
    text = output(bundle, "stat -c '%u %g' /m /own /plain")
    assert text == "1 2\n7 8\n65534 65534\n"


def test_ids_are_mapped_below_only_when_that_is_asked_for(bundle):
    # Binds of directories: a tmpfs knows id-mapped mounts since Linux 6.3 only.
    data = owned(bundle.path / "data", 1, 2)
    owned(data / "below", 1, 2)
    with Mounted(bundle.path / "top", "--bind", data) as top, Mounted(top / "below", "--bind", data / "below"):
        add_mount(bundle, "/flat", top, "bind", ["rbind", "idmap"], **MAPS)
        add_mount(bundle, "/deep", top, "bind", ["rbind", "ridmap"], **MAPS)
        text = output(bundle, "stat -c '%u %g' /flat /flat/below /deep /deep/below")
    assert text == "5001 6002\n1 2\n5001 6002\n5001 6002\n"


def test_files_made_on_a_mapped_mount_have_the_ids_of_its_source(bundle):
    source = owned(bundle.path / "data", 0, 0)
    user_namespace(bundle)
    bind(bundle, "/m", source, "idmap")
    output(bundle, "touch /m/made")
    assert ((source / "made").stat().st_uid, (source / "made").stat().st_gid) == (0, 0)


def test_id_mappings_that_cannot_be(bundle):
    source = owned(bundle.path / "data", 1, 2)
    bind(bundle, "/m", source, "idmap")
    assert "user namespace" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    bind(bundle, "/m", source, "idmap", uidMappings=MAPS["uidMappings"])
    assert "gidMappings" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    add_mount(bundle, "/m", "tmpfs", "tmpfs", ["idmap"], **MAPS)
    assert "bind" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    bind(bundle, "/m", "/proc", "idmap", **MAPS)
    assert "may not know id-mapped mounts" in fails(bundle)


# ---- tmpcopyup -----------------------------------------------------------------------------------------------


def test_tmpcopyup_on_what_is_made_for_it_keeps_the_mode_of_a_tmpfs(bundle):
    tmpfs(bundle, "/made", "tmpcopyup", "size=1m")
    bundle.sh("stat -c %a /made")
    assert bundle.hull("run", "c1").stdout == "1777\n"


def test_tmpcopyup(bundle):
    source = bundle.rootfs / "data"
    source.mkdir(mode=0o750)
    (source / "file").write_text("content")
    os.chown(source / "file", 3, 4)
    (source / "file").chmod(0o4755)
    (source / "link").symlink_to("file")
    (source / "dir").mkdir()
    (source / "dir/deep").write_text("deep")
    tmpfs(bundle, "/data", "tmpcopyup", "size=1m", "ro")
    text = output(bundle, "cat /data/file /data/dir/deep; echo; stat -c '%u %g %a' /data/file; readlink /data/link; "
                          "stat -c %a /data; touch /data/x 2>&1; true; grep ' /data ' /proc/self/mountinfo")
    lines = text.splitlines()
    assert lines[0] == "contentdeep"
    assert lines[1:4] == ["3 4 4755", "file", "750"]
    assert "Read-only" in lines[4] and " tmpfs " in lines[5]


# ---- root ----------------------------------------------------------------------------------------------------


def test_a_read_only_root(bundle):
    bundle.edit(lambda c: c["root"].update(readonly=True))
    tmpfs(bundle, "/made/for/this")
    text = output(bundle, "touch /x 2>&1; touch /tmp/x 2>&1; touch /made/for/this/x; mount -o remount,rw / 2>&1; true")
    assert text.count("Read-only") == 2 and "permission denied" in text
    assert "ro" in seen(bundle)["/"].options


@pytest.mark.parametrize("way", ["relative", "absolute", "symlink", "dotted"])
def test_the_roots_path(bundle, way):
    (bundle.path / "link").symlink_to("rootfs")
    path = {"relative": "rootfs", "absolute": str(bundle.rootfs), "symlink": "link", "dotted": "./x/../rootfs/"}[way]
    (bundle.path / "x").mkdir()
    bundle.edit(lambda c: c["root"].update(path=path))
    assert output(bundle, "ls -d /bin") == "/bin\n"


def test_a_root_that_is_not_there(bundle):
    for path in ("nothing", "config.json"):
        bundle.edit(lambda c, path=path: c["root"].update(path=path))
        assert path in fails(bundle)


def test_mounts_below_the_root_come_along(bundle):
    with Mounted(bundle.rootfs / "below", "-t", "tmpfs", "x") as below:
        (below / "file").write_text("seen")
        assert output(bundle, "cat /below/file") == "seen"


@pytest.mark.parametrize("word,tags", [("private", set()), ("rprivate", set()), ("slave", {"master"}),
                                       ("rslave", {"master"}), ("shared", {"shared"}), ("rshared", {"shared"}),
                                       ("unbindable", {"unbindable"}), ("runbindable", {"unbindable"}), (None, set())])
def test_propagation_of_the_root(bundle, word, tags):
    with Mounted(bundle.path / "shared", "-t", "tmpfs", "x", propagation="shared") as place:
        root = place / "rootfs"
        subprocess.run(["cp", "-a", bundle.rootfs, root], check=True)
        for name in ("in", "out", "again"):
            (root / name).mkdir()
        bundle.edit(lambda c: c["root"].update(path=str(root)))
        if word:
            bundle.edit(lambda c: c["linux"].update(rootfsPropagation=word))
        bundle.edit(lambda c: c["process"]["capabilities"].update(
            {kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")}))
        bundle.sh("mount -t tmpfs inner /out; mount --bind / /again; echo $? > /tmp/bound; sleep 60")
        bundle.create("c1")
        bundle.hull("start", "c1")
        wait_until(lambda: (root / "tmp/bound").exists() and (root / "tmp/bound").read_text())
        with Mounted(root / "in", "-t", "tmpfs", "host"):
            inside = mountinfo(bundle.hull("exec", "c1", "cat", "/proc/self/mountinfo").stdout)
        outside = mountinfo(pathlib.Path("/proc/self/mountinfo").read_text())
        bound = (root / "tmp/bound").read_text().strip()
        bundle.hull("delete", "--force", "c1")
    root_mount = next(m for m in inside.values() if m.at == "/")
    assert root_mount.tags == tags, root_mount
    assert str(root / "out") not in outside
    assert ("/in" in inside) == (word in ("slave", "rslave"))
    assert (bound == "0") == (word not in ("unbindable", "runbindable"))


def test_no_pivot(bundle):
    text = output(bundle, "ls /; cat /proc/1/mountinfo", "c1", "--no-pivot")
    assert "busybox" not in text.split("\n")[0]
    assert {"bin", "dev", "etc", "proc", "sys", "tmp"} <= set(text.split())
    mounts = mountinfo("\n".join(line for line in text.splitlines() if " - " in line))
    assert mounts["/proc"].type == "proc" and "/dev/pts" in mounts


# ---- masks ---------------------------------------------------------------------------------------------------


def test_masked_and_read_only_paths(bundle):
    secret = bundle.rootfs / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    (bundle.rootfs / "etc/shadow").write_text("secret")
    (bundle.rootfs / "etc/link").symlink_to("shadow2")
    (bundle.rootfs / "etc/shadow2").write_text("secret")
    (bundle.rootfs / "keep").mkdir()
    (bundle.rootfs / "keep/file").write_text("kept")
    bundle.edit(lambda c: c["linux"].update(
        maskedPaths=["/secret", "/etc/shadow", "/etc/link", "/not/there", "/bin/busybox/x", "/proc/kcore", "/secret"],
        readonlyPaths=["/keep", "/keep/file", "/not/there", "/proc/sys", "/tmp/../keep"]))
    text = output(bundle, "cat /etc/shadow /etc/shadow2; ls -A /secret; touch /secret/x 2>&1; touch /keep/x 2>&1; "
                          "echo x 2>&1 > /keep/file; cat /keep/file; echo; echo 1 2>&1 > /proc/sys/kernel/shmmax; "
                          "echo more > /etc/shadow; grep -c secret /proc/self/mountinfo")
    lines = text.splitlines()
    assert "secret" not in "".join(lines[:-1]).replace("/secret", "")
    assert "Read-only" in lines[0] and "Read-only" in lines[1]
    assert "kept" in lines
    assert (bundle.rootfs / "etc/shadow").read_text() == "secret"


def test_many_masked_paths(bundle):
    for i in range(300):
        (bundle.rootfs / f"d{i}").mkdir()
        (bundle.rootfs / f"d{i}/f").write_text("x")
        (bundle.rootfs / f"f{i}").write_text("x")
    bundle.edit(lambda c: c["linux"].update(maskedPaths=[f"/d{i}" for i in range(300)] + [f"/f{i}" for i in range(300)]))
    text = output(bundle, "cat /f* | wc -c; ls /d[0-9]* | grep -c f; grep -c -E ' /[df][0-9]+ ' /proc/self/mountinfo")
    assert text == "0\n0\n600\n"


def test_a_label_without_selinux_is_left_out(bundle):
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("SELinux is on here")
    bundle.edit(lambda c: c["linux"].update(mountLabel="system_u:object_r:svirt_sandbox_file_t:s0:c1,c2"))
    tmpfs(bundle, "/m")
    mounts = seen(bundle)
    assert not any(o.startswith("context=") for m in mounts.values() for o in m.super)


# ---- /proc and /sys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cpuinfo", "meminfo", "stat", "uptime", "loadavg", "diskstats", "swaps"])
def test_files_of_lxcfs_may_cover_those_of_proc(bundle, name):
    (bundle.path / "mine").write_text("mine")
    bind(bundle, f"/proc/{name}", bundle.path / "mine", "ro")
    assert output(bundle, f"cat /proc/{name}") == "mine"


@pytest.mark.parametrize("at", ["/proc/self", "/proc/1/attr", "/proc/sys", "/proc/sys/kernel/core_pattern", "/proc/new",
                                "/proc/../proc/self/attr"])
def test_nothing_else_may_be_mounted_inside_of_proc(bundle, at):
    tmpfs(bundle, at)
    assert "/proc" in fails(bundle)


def test_proc_of_the_host_may_be_bound_and_nothing_that_is_none(bundle):
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if m["destination"] != "/proc"]))
    add_mount(bundle, "/proc", "/proc", "bind", ["rbind"])
    no_namespace(bundle, "pid")
    assert output(bundle, "cat /proc/1/comm") == pathlib.Path("/proc/1/comm").read_text()
    bundle.edit(lambda c: c["mounts"].pop())
    bind(bundle, "/proc", bundle.path)
    assert "no proc file system" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    tmpfs(bundle, "/proc")
    assert "only a proc file system" in fails(bundle)


@pytest.mark.parametrize("name,fstype", [("proc", "proc"), ("sys", "sysfs")])
def test_proc_and_sys_are_not_mounted_through_links(bundle, name, fstype):
    (bundle.rootfs / name).rmdir()
    (bundle.rootfs / name).symlink_to("etc")
    assert "symlink" in fails(bundle)


def test_without_a_network_namespace_a_user_namespace_gets_the_hosts_sys_read_only(bundle):
    user_namespace(bundle)
    no_namespace(bundle, "network")
    mounts = seen(bundle)
    assert mounts["/sys"].type == "sysfs" and "ro" in mounts["/sys"].options


# ---- cgroups -------------------------------------------------------------------------------------------------


def is_v2():
    return os.path.exists("/sys/fs/cgroup/cgroup.controllers")


@pytest.mark.parametrize("fstype", ["cgroup", "cgroup2"])
@pytest.mark.parametrize("own_namespace", [True, False])
@pytest.mark.parametrize("ro", [True, False])
@pytest.mark.parametrize("in_user_ns", [True, False])
def test_the_containers_cgroup(bundle, fstype, own_namespace, ro, in_user_ns):
    if in_user_ns:
        user_namespace(bundle)
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if m["destination"] != "/sys/fs/cgroup"]))
    if not own_namespace:
        no_namespace(bundle, "cgroup")
    elif not any(n["type"] == "cgroup" for n in json.loads((bundle.path / "config.json").read_text())["linux"]["namespaces"]):
        bundle.edit(lambda c: c["linux"]["namespaces"].append({"type": "cgroup"}))
    bundle.edit(lambda c: c["linux"].update(resources={"pids": {"limit": 77}}))
    words = ["nosuid", "noexec", "nodev", "relatime", *(["ro"] if ro else [])]
    add_mount(bundle, "/sys/fs/cgroup", "cgroup", fstype, words)
    add_mount(bundle, "/again", "cgroup", fstype, words)
    # On v2 what the cgroup namespace sees: /proc/self/cgroup says where in that the container is.
    text = output(bundle, "v2=$(busybox cut -d: -f3 /proc/self/cgroup | tail -n 1); cat /sys/fs/cgroup/$v2/pids.max "
                          "/again/$v2/pids.max /sys/fs/cgroup/pids/pids.max /again/pids/pids.max 2>/dev/null; "
                          "cat /proc/self/mountinfo")
    lines = text.splitlines()
    assert lines[:2] == ["77", "77"], lines[:3]
    mounts = mountinfo("\n".join(line for line in lines if " - " in line))
    if is_v2():
        assert mounts["/sys/fs/cgroup"].type == "cgroup2"
        assert ("ro" in mounts["/sys/fs/cgroup"].options) == ro
        assert ("ro" in mounts["/again"].options) == ro
        return
    assert mounts["/sys/fs/cgroup"].type == "tmpfs"
    assert ("ro" in mounts["/sys/fs/cgroup"].options) == ro
    assert mounts["/sys/fs/cgroup/pids"].type == "cgroup"
    assert ("ro" in mounts["/sys/fs/cgroup/pids"].options) == ro
    assert {"nosuid", "nodev", "noexec"} <= mounts["/sys/fs/cgroup/pids"].options


def test_controllers_that_are_mounted_together_have_links(bundle):
    if is_v2():
        pytest.skip("cgroup v2 has no such thing")
    host = [m for m in mountinfo(pathlib.Path("/proc/self/mountinfo").read_text()).values() if m.type == "cgroup"]
    if not any("," in os.path.basename(m.at) for m in host):
        pytest.skip("no controllers are mounted together here")
    names = output(bundle, "ls /sys/fs/cgroup").split()
    for m in host:
        for controller in os.path.basename(m.at).split(","):
            assert controller in names
