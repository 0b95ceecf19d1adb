# SPDX-License-Identifier: Apache-2.0
"""Mounts of a container as it sees them itself (OCI config.md, "Mounts"; config-linux.md)."""
import json
import os
import pathlib
import stat
import subprocess

import pytest

from bundles import bundle, pytestmark, wait_until  # noqa: F401 pylint: disable=unused-import


@pytest.fixture(autouse=True)
def own_cgroup(bundle):
    """Not the name of the container alone, which others on this machine may have as well."""
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=f"/hull-test-{os.getpid()}/c"))


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


# ---- words of the table --------------------------------------------------------------------------------------

ATTRIBUTES = [
    # words, what must be there, what must not be there
    (["ro"], {"ro"}, {"rw"}),
    (["ro", "rw"], {"rw"}, {"ro"}),
    (["nosuid"], {"nosuid"}, set()),
    (["nosuid", "suid"], set(), {"nosuid"}),
    (["nodev"], {"nodev"}, set()),
    (["nodev", "dev"], set(), {"nodev"}),
    (["noexec"], {"noexec"}, set()),
    (["noexec", "exec"], set(), {"noexec"}),
    (["noatime"], {"noatime"}, {"relatime"}),
    (["noatime", "atime"], {"relatime"}, {"noatime"}),
    (["strictatime"], set(), {"relatime", "noatime"}),
    (["strictatime", "nostrictatime"], {"relatime"}, set()),
    (["relatime"], {"relatime"}, set()),
    (["strictatime", "relatime"], {"relatime"}, set()),
    (["nodiratime"], {"nodiratime"}, set()),
    (["nodiratime", "diratime"], set(), {"nodiratime"}),
    (["nosymfollow"], {"nosymfollow"}, set()),
    (["nosymfollow", "symfollow"], set(), {"nosymfollow"}),
    (["defaults"], {"rw", "relatime"}, {"nosuid", "nodev", "noexec", "nodiratime", "nosymfollow"}),
    (["silent", "loud", "nomand", "noiversion", "nolazytime", "async", "norelatime"], {"rw"}, {"ro"}),
    (["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"],
     {"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"}, set()),
]


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_every_attribute_word_and_its_opposite(bundle, kind):
    for i, (words, _, _) in enumerate(ATTRIBUTES):
        if kind == "bind":
            bind(bundle, f"/m{i}", bundle.path, *words)
        else:
            tmpfs(bundle, f"/m{i}", *words)
    mounts = seen(bundle)
    for i, (words, present, absent) in enumerate(ATTRIBUTES):
        options = mounts[f"/m{i}"].options
        assert present <= options and not absent & options, (words, mounts[f"/m{i}"])


def test_words_that_take_away_what_the_source_has(bundle):
    """"mount --bind" would keep the flags of the source; who asks for exec wants exec."""
    with Mounted(bundle.path / "source", "-t", "tmpfs", "-o", "ro,nosuid,nodev,noexec,noatime,nodiratime", "x") as source:
        words = {"a": [], "b": ["rw"], "c": ["suid", "dev", "exec"], "d": ["atime"], "e": ["diratime"]}
        for name, options in words.items():
            bind(bundle, f"/{name}", source, *options)
        mounts = seen(bundle)
    kept = {"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"}
    assert mounts["/a"].options == kept
    assert mounts["/b"].options == kept - {"ro"} | {"rw"}
    assert mounts["/c"].options == kept - {"nosuid", "nodev", "noexec"}
    assert mounts["/d"].options == kept - {"noatime"} | {"relatime"}
    assert mounts["/e"].options == kept - {"nodiratime"}


def test_a_user_namespace_keeps_what_the_host_has_locked(bundle):
    user_namespace(bundle)
    with Mounted(bundle.path / "source", "-t", "tmpfs", "-o", "ro,nosuid,nodev,noexec", "x") as source:
        bind(bundle, "/a", source, "rw", "suid", "dev", "exec")
        bind(bundle, "/b", bundle.path, "ro", "noexec")
        mounts = seen(bundle)
    assert {"ro", "nosuid", "nodev", "noexec"} <= mounts["/a"].options
    assert {"ro", "noexec"} <= mounts["/b"].options


def test_words_of_the_superblock(bundle):
    tmpfs(bundle, "/sync", "sync")
    tmpfs(bundle, "/dirsync", "dirsync")
    tmpfs(bundle, "/lazytime", "lazytime")
    tmpfs(bundle, "/none", "sync", "async", "lazytime", "nolazytime", "mand", "nomand", "iversion")
    mounts = seen(bundle)
    for word in ("sync", "dirsync", "lazytime"):
        assert word in mounts["/" + word].super
        assert word not in mounts["/none"].super


RECURSIVE = [
    (["rro"], {"ro"}, set()),
    (["rro", "rrw"], {"rw"}, {"ro"}),
    (["rnosuid"], {"nosuid"}, set()),
    (["rsuid"], set(), {"nosuid"}),
    (["rnodev"], {"nodev"}, set()),
    (["rdev"], set(), {"nodev"}),
    (["rnoexec"], {"noexec"}, set()),
    (["rexec"], set(), {"noexec"}),
    (["rnodiratime"], {"nodiratime"}, set()),
    (["rdiratime"], set(), {"nodiratime"}),
    (["rnoatime"], {"noatime"}, {"relatime"}),
    (["ratime"], {"relatime"}, {"noatime"}),
    (["rrelatime"], {"relatime"}, {"noatime"}),
    (["rstrictatime"], set(), {"relatime", "noatime"}),
    (["rstrictatime", "rnostrictatime"], {"relatime"}, set()),
    (["rrelatime", "rnorelatime"], {"relatime"}, {"noatime"}),
    (["rnosymfollow"], {"nosymfollow"}, set()),
    (["rnosymfollow", "rsymfollow"], set(), {"nosymfollow"}),
]


def test_recursive_attributes_reach_the_mounts_below(bundle):
    with Mounted(bundle.path / "top", "-t", "tmpfs", "x") as top, \
            Mounted(top / "below", "-t", "tmpfs", "-o", "nosuid,nodev,noexec,noatime,nodiratime", "x"):
        for i, (words, _, _) in enumerate(RECURSIVE):
            add_mount(bundle, f"/m{i}", top, "bind", ["rbind", *words])
        add_mount(bundle, "/flat", top, "bind", ["rbind", "ro"])
        add_mount(bundle, "/alone", top, "bind", ["bind"])
        add_mount(bundle, "/mixed", top, "bind", ["rbind", "rro", "rw"])
        mounts = seen(bundle)
    for i, (words, present, absent) in enumerate(RECURSIVE):
        for at in (f"/m{i}", f"/m{i}/below"):
            options = mounts[at].options
            assert present <= options and not absent & options, (words, mounts[at])
    assert "ro" in mounts["/flat"].options and "rw" in mounts["/flat/below"].options
    assert "/alone/below" not in mounts
    assert "rw" in mounts["/mixed"].options and "ro" in mounts["/mixed/below"].options


def test_recursive_read_only_with_a_user_namespace(bundle):
    user_namespace(bundle)
    with Mounted(bundle.path / "top", "-t", "tmpfs", "x") as top, Mounted(top / "below", "-t", "tmpfs", "x") as below:
        below.chmod(0o777)
        add_mount(bundle, "/m", top, "bind", ["rbind", "rro"])
        text = output(bundle, "touch /m/below/x 2>&1; mount -o remount,bind,rw /m/below 2>&1; "
                              "touch /m/below/x 2>&1; cat /proc/self/mountinfo | grep below")
    assert text.count("Read-only file system") == 2
    assert "ro" in mountinfo(text.splitlines()[-1])["/m/below"].options


PROPAGATION = {
    "private": set(), "rprivate": set(), "slave": {"master"}, "rslave": {"master"},
    "shared": {"shared"}, "rshared": {"shared"}, "unbindable": {"unbindable"}, "runbindable": {"unbindable"},
}


@pytest.mark.parametrize("in_user_ns", [False, True])
def test_propagation_words(bundle, in_user_ns):
    if in_user_ns:
        user_namespace(bundle)
    with Mounted(bundle.path / "top", "-t", "tmpfs", "x", propagation="shared") as top, \
            Mounted(top / "below", "-t", "tmpfs", "x", propagation="shared"):
        for word in PROPAGATION:
            add_mount(bundle, f"/{word}", top, "bind", ["rbind", word])
        add_mount(bundle, "/no-word", top, "bind", ["rbind"])
        add_mount(bundle, "/both", top, "bind", ["rbind", "rslave", "shared"])
        mounts = seen(bundle)
    for word, tags in PROPAGATION.items():
        # Shared with the host is what a less privileged namespace may not be: it receives, and shares what is its own.
        if in_user_ns and "shared" in word:
            tags = {"master", "shared"}
        assert tags <= mounts[f"/{word}"].tags, mounts[f"/{word}"]
        if word.startswith("r"):
            assert tags <= mounts[f"/{word}/below"].tags, mounts[f"/{word}/below"]
    assert not mounts["/private"].tags and not mounts["/rprivate/below"].tags
    if not in_user_ns:
        assert {"shared", "master"} <= mounts["/both"].tags


def test_propagation_and_recursive_words_of_new_file_systems(bundle):
    tmpfs(bundle, "/shared", "shared")
    tmpfs(bundle, "/unbindable", "unbindable", "rnosuid", "rnoatime")
    tmpfs(bundle, "/ro", "rro")
    mounts = seen(bundle)
    assert mounts["/shared"].tags == {"shared"} and mounts["/unbindable"].tags == {"unbindable"}
    assert {"nosuid", "noatime"} <= mounts["/unbindable"].options
    assert "ro" in mounts["/ro"].options


def test_mounts_travel_as_the_propagation_says(bundle):
    """Both ways with rshared, in with rslave, not at all with rprivate."""
    with Mounted(bundle.path / "top", "-t", "tmpfs", "x", propagation="shared") as top:
        for name in ("in", "out", "out2", "out3"):
            (top / name).mkdir()
        for word in ("rshared", "rslave", "rprivate"):
            add_mount(bundle, "/" + word, top, "bind", ["rbind", word])
        bundle.edit(lambda c: c["process"]["capabilities"].update(
            {kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")}))
        bundle.sh("mount -t tmpfs a /rshared/out; mount -t tmpfs b /rslave/out2; mount -t tmpfs c /rprivate/out3; "
                  "echo > /tmp/ready; sleep 60")
        bundle.create("c1")
        bundle.hull("start", "c1")
        bundle.wait_for_file("tmp/ready")
        with Mounted(top / "in", "-t", "tmpfs", "host"):
            inside = mountinfo(bundle.hull("exec", "c1", "cat", "/proc/self/mountinfo").stdout)
        outside = mountinfo(pathlib.Path("/proc/self/mountinfo").read_text())
        bundle.hull("delete", "--force", "c1")
    assert inside["/rshared/in"].source == inside["/rslave/in"].source == "host"
    assert "/rprivate/in" not in inside
    assert outside[str(top / "out")].source == "a"
    assert str(top / "out2") not in outside and str(top / "out3") not in outside


# ---- remount -------------------------------------------------------------------------------------------------


def test_remount_changes_the_mount_that_is_there(bundle):
    tmpfs(bundle, "/m", "nosuid", "size=1m")
    add_mount(bundle, "/m", "tmpfs", "tmpfs", ["remount", "size=2m", "noexec"])
    tmpfs(bundle, "/ro", "nodev")
    add_mount(bundle, "/ro", "none", "none", ["remount", "bind", "ro"])
    bind(bundle, "/ro/below", bundle.path)
    tmpfs(bundle, "/rw", "ro")
    add_mount(bundle, "/rw", "none", "none", ["remount", "bind", "rw"])
    add_mount(bundle, "/sys", "sysfs", "sysfs", ["remount", "rw", "nodev"])
    mounts = seen(bundle)
    assert {"nosuid", "noexec", "rw"} <= mounts["/m"].options
    assert "size=2048k" in mounts["/m"].super
    assert {"ro", "nodev"} <= mounts["/ro"].options and "rw" in mounts["/ro"].super
    assert "/ro/below" in mounts
    assert "rw" in mounts["/rw"].options
    assert {"rw", "nodev", "nosuid"} <= mounts["/sys"].options


def test_remount_read_only_of_a_file_system(bundle):
    tmpfs(bundle, "/m")
    add_mount(bundle, "/m", "tmpfs", "tmpfs", ["remount", "ro"])
    mounts = seen(bundle)
    assert "ro" in mounts["/m"].options and "ro" in mounts["/m"].super


def test_remount_in_a_user_namespace(bundle):
    user_namespace(bundle)
    tmpfs(bundle, "/m")
    add_mount(bundle, "/m", "tmpfs", "tmpfs", ["remount", "ro", "size=1m"])
    bind(bundle, "/b", bundle.path)
    add_mount(bundle, "/b", "none", "none", ["bind", "remount", "ro"])
    mounts = seen(bundle)
    assert "ro" in mounts["/m"].options and "size=1024k" in mounts["/m"].super
    assert "ro" in mounts["/b"].options


def test_remount_of_what_is_no_mount_is_refused(bundle):
    (bundle.rootfs / "plain").mkdir()
    add_mount(bundle, "/plain", "none", "none", ["remount", "ro"])
    assert '"/plain"' in fails(bundle)
    assert "nothing is mounted there" in fails(bundle)


# ---- data and file systems -----------------------------------------------------------------------------------


def test_data_options_reach_the_file_system(bundle):
    tmpfs(bundle, "/m", "size=64k", "mode=0711", "uid=7", "gid=8", "nr_inodes=100")
    add_mount(bundle, "/dev/pts2", "devpts", "devpts", ["newinstance", "ptmxmode=0620", "mode=0600"])
    mounts = seen(bundle)
    assert {"size=64k", "mode=711", "uid=7", "gid=8", "nr_inodes=100"} <= mounts["/m"].super
    assert {"ptmxmode=620", "mode=600"} <= mounts["/dev/pts2"].super


def test_options_that_a_file_system_does_not_know_are_refused_by_name(bundle):
    tmpfs(bundle, "/m", "frobnicate=3")
    assert "frobnicate" in fails(bundle)


def test_options_of_a_file_system_are_ignored_on_a_bind_with_a_warning(bundle):
    """It shares the file system of its source. podman hands on "nocopy"."""
    bind(bundle, "/m", bundle.path, "nocopy", "noexec")
    bundle.sh("cat /proc/self/mountinfo")
    done = bundle.hull("run", "c1", options=("--log", bundle.path / "log"))
    assert "noexec" in mountinfo(done.stdout)["/m"].options
    assert "nocopy" in (bundle.path / "log").read_text()


def test_a_file_system_that_the_kernel_does_not_have(bundle):
    add_mount(bundle, "/m", "none", "nosuchfs", [])
    assert "nosuchfs" in fails(bundle)


def test_a_tmpfs_has_the_mode_of_the_directory_that_it_covers(bundle):
    (bundle.rootfs / "sticky").mkdir()
    (bundle.rootfs / "sticky").chmod(0o1770)
    (bundle.rootfs / "own").mkdir(mode=0o700)
    tmpfs(bundle, "/sticky")
    tmpfs(bundle, "/own", "mode=0750")
    tmpfs(bundle, "/new")
    text = output(bundle, "stat -c '%n %a' /sticky /own /new")
    assert text == "/sticky 1770\n/own 750\n/new 1777\n"


def test_the_default_mounts(bundle):
    mounts = seen(bundle)
    assert mounts["/proc"].type == "proc"
    assert mounts["/dev"].type == "tmpfs" and {"nosuid"} <= mounts["/dev"].options
    assert {m.source for m in mounts.values() if m.type == "tmpfs"} <= {"tmpfs", "shm"}
    assert {"mode=755", "size=65536k"} <= mounts["/dev"].super
    assert mounts["/dev/pts"].type == "devpts" and {"nosuid", "noexec"} <= mounts["/dev/pts"].options
    assert mounts["/dev/shm"].type == "tmpfs" and "size=65536k" in mounts["/dev/shm"].super
    assert mounts["/dev/mqueue"].type == "mqueue"
    assert mounts["/sys"].type == "sysfs" and "ro" in mounts["/sys"].options


def test_what_is_under_a_file_system_that_is_read_only(bundle):
    """Places to mount on are made before it becomes so."""
    tmpfs(bundle, "/a", "ro")
    tmpfs(bundle, "/a/b/c", "ro")
    bind(bundle, "/a/f", bundle.path / "config.json", "ro")
    text = output(bundle, "touch /a/x 2>&1; touch /a/b/c/x 2>&1; wc -c < /a/f")
    assert text.count("Read-only") == 2 and int(text.splitlines()[-1]) > 100


# ---- destinations --------------------------------------------------------------------------------------------


def test_missing_destinations_are_made(bundle):
    file = bundle.path / "file"
    file.write_text("of the host")
    bind(bundle, "/new/dir/ectory", bundle.path)
    bind(bundle, "/new/dir/file", file)
    bind(bundle, "relative/../relative/path", file)
    tmpfs(bundle, "relative/tmpfs")
    text = output(bundle, "cat /new/dir/file /relative/path; ls -d /new/dir/ectory/config.json; cat /proc/self/mountinfo")
    assert text.startswith("of the hostof the host/new/dir/ectory/config.json\n")
    assert mountinfo(text.split("json\n", 1)[1])["/relative/tmpfs"].type == "tmpfs"
    for made in ("new/dir/ectory", "new/dir", "relative"):
        assert stat.S_IMODE((bundle.rootfs / made).stat().st_mode) == 0o755


def test_links_lead_to_places_inside_of_the_root(bundle):
    (bundle.rootfs / "absolute").symlink_to("/etc/target")
    (bundle.rootfs / "climbing").symlink_to("../../../../../../etc/climbed")
    (bundle.rootfs / "etc/dangling").symlink_to("not/there/yet")
    (bundle.rootfs / "chain").symlink_to("chain2")
    (bundle.rootfs / "chain2").symlink_to("/chain3")
    for name in ("absolute", "climbing", "etc/dangling", "chain/below"):
        tmpfs(bundle, "/" + name)
    before = set(os.listdir("/etc"))
    mounts = seen(bundle)
    assert set(os.listdir("/etc")) == before
    assert {"/etc/target", "/etc/climbed", "/etc/not/there/yet", "/chain3/below"} <= set(mounts)


def test_destinations_that_cannot_be(bundle):
    bind(bundle, "/bin/busybox", bundle.path)
    assert "the source is a directory, but the destination is none" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    bind(bundle, "/bin", bundle.path / "config.json")
    assert "the source is no directory, but the destination is a directory" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    (bundle.rootfs / "loop").symlink_to("loop")
    tmpfs(bundle, "/loop/x")
    assert "Too many levels of symbolic links" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    (bundle.rootfs / "root").symlink_to("/")
    for over_root in ("/", "/root", "/etc/..", "."):
        tmpfs(bundle, over_root)
        assert "root" in fails(bundle)
        bundle.edit(lambda c: c["mounts"].pop())


def test_sources_that_cannot_be(bundle):
    bind(bundle, "/m", bundle.path / "nothing")
    assert "No such file" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    bind(bundle, "/m", "config.json/x")
    assert "Not a directory" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    add_mount(bundle, "/m", options=["bind"])
    assert "source" in fails(bundle)
    bundle.edit(lambda c: c["mounts"].pop())
    add_mount(bundle, "/m", "x", options=["ro"])
    assert '"/m"' in fails(bundle)


def test_sources_are_relative_to_the_bundle(bundle):
    (bundle.path / "data").mkdir()
    (bundle.path / "data/file").write_text("here")
    (bundle.path / "link").symlink_to("data")
    bind(bundle, "/m", "data")
    bind(bundle, "/l", "link")
    assert output(bundle, "cat /m/file /l/file") == "herehere"


def test_the_order_is_that_of_the_list(bundle):
    for name in ("a", "b"):
        (bundle.path / name).mkdir()
        (bundle.path / name / "who").write_text(name)
        (bundle.path / name / "below").mkdir()
    bind(bundle, "/m", bundle.path / "a")
    tmpfs(bundle, "/m/below")
    bind(bundle, "/m", bundle.path / "b")
    bind(bundle, "/m/below", bundle.path / "a")
    bind(bundle, "/m/who", bundle.path / "a/who")
    text = output(bundle, "cat /m/who /m/below/who; grep -c ' /m ' /proc/self/mountinfo")
    assert text == "aa2\n"


def test_files_sockets_and_devices_are_bound_on_files(bundle):
    os.mkfifo(bundle.path / "fifo")
    bind(bundle, "/fifo", bundle.path / "fifo")
    bind(bundle, "/etc/null", "/dev/null")
    text = output(bundle, "stat -c %F /fifo /etc/null")
    assert text == "fifo\ncharacter special file\n"


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
