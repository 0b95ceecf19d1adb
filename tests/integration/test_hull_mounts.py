# SPDX-License-Identifier: Apache-2.0
"""Mounts of a container as it sees them itself: options, file systems, destinations, sources (OCI config.md, "Mounts")."""
import os
import pathlib
import stat

import pytest

from bundles import bundle, pytestmark  # noqa: F401 pylint: disable=unused-import
from mountkit import (Mounted, add_mount, bind, fails, mountinfo, output, own_cgroup, seen, tmpfs,  # noqa: F401
                      user_namespace)


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
