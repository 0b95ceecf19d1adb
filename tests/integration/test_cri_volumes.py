# SPDX-License-Identifier: Apache-2.0
"""Mounts that a request asks for: id-mapped ones, propagation, read-only in depth, options, and what is refused."""
import os
import pathlib
import subprocess

import pytest

from crikit import FOREVER, refused, wait_for

FIRST = 3_000_000_000


@pytest.fixture
def volume(tmp_path):
    path = tmp_path / "volume"
    path.mkdir()
    (path / "file").write_text("content\n")
    return path


@pytest.fixture
def mounted():
    """mounted("tmpfs", path): mounts that are taken away after the test."""
    made = []

    def mount(*args):
        subprocess.run(["mount", *[str(a) for a in args]], check=True)
        made.append(str(args[-1]))

    yield mount
    for path in reversed(made):
        subprocess.run(["umount", "-l", path], check=False)


def line_of(c, path):
    """The mountinfo line of a mount point: its options and its super options."""
    for line in c.sh("cat /proc/self/mountinfo").splitlines():
        words = line.split()
        if words[4] == path:
            return words[5].split(","), words[6:]
    raise AssertionError(f"no mount at {path}")


def idmapped(cri, path, at="/v", **kw):
    return cri.api.Mount(container_path=at, host_path=str(path), uidMappings=cri.mappings(FIRST),
                         gidMappings=cri.mappings(FIRST), **kw)


def test_a_volume_shows_the_hosts_files(cri, volume):
    c = cri.run().container(FOREVER, mounts=[cri.api.Mount(container_path="/v", host_path=str(volume))])
    assert c.sh("cat /v/file") == "content"
    c.sh("echo new > /v/new")
    assert (volume / "new").read_text() == "new\n"
    assert c.status().mounts[0].host_path == str(volume)
    assert str(volume) not in pathlib.Path("/proc/self/mountinfo").read_text()


def test_id_mapped_volumes_keep_their_owners(cri, volume):
    os.chown(volume / "file", 1000, 1001)
    c = cri.run(network="pod", userns=FIRST).container(FOREVER, mounts=[idmapped(cri, volume)])
    assert c.sh("stat -c '%u %g' /v/file /v") == "1000 1001\n0 0"
    c.sh("echo x > /v/of-root; chown 5:6 /v/file")
    assert (volume / "of-root").stat().st_uid == 0
    assert ((volume / "file").stat().st_uid, (volume / "file").stat().st_gid) == (5, 6)


def test_single_files_are_id_mapped(cri, volume):
    hosts = volume / "hosts"
    hosts.write_text("127.0.0.1 of-the-kubelet\n")
    log = volume / "termination-log"
    log.write_text("")
    c = cri.run(network="pod", userns=FIRST).container(
        FOREVER, mounts=[idmapped(cri, hosts, "/etc/hosts"), idmapped(cri, log, "/dev/termination-log")])
    assert c.sh("cat /etc/hosts; stat -c %u /etc/hosts") == "127.0.0.1 of-the-kubelet\n0"
    c.sh("echo why > /dev/termination-log")
    assert log.read_text() == "why\n" and log.stat().st_uid == 0


@pytest.mark.parametrize("mode", [0o750, 0o700])
@pytest.mark.parametrize("mapped", [True, False])
def test_a_volume_under_a_directory_of_roots_own(cri, tmp_path, mode, mapped):
    outer = tmp_path / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("reached\n")
    os.chmod(outer, mode)
    mount = idmapped(cri, inner) if mapped else cri.api.Mount(container_path="/v", host_path=str(inner))
    c = cri.run(network="pod", userns=FIRST).container(FOREVER, mounts=[mount])
    assert c.sh("cat /v/file; stat -c %u /v/file") == ("reached\n0" if mapped else "reached\n65534")


def test_without_mappings_the_owner_is_nobody(cri, volume):
    c = cri.run(network="pod", userns=FIRST).container(
        FOREVER, mounts=[cri.api.Mount(container_path="/v", host_path=str(volume))])
    assert c.sh("stat -c %u /v/file") == "65534" and c.exec("touch /v/x")[0] != 0


def test_a_file_system_that_cannot_be_id_mapped_is_named(cri):
    with refused("UNIMPLEMENTED", "/v", "proc"):
        cri.run(network="pod", userns=FIRST).container(FOREVER, mounts=[idmapped(cri, "/proc/sys/kernel")])
    assert cri.containers() == []


def test_mappings_need_a_user_namespace(cri, volume):
    with refused("INVALID_ARGUMENT", "config.mounts[0]", "user namespace"):
        cri.run().container(FOREVER, mounts=[idmapped(cri, volume)])
    pod = cri.run(network="pod", userns=FIRST)
    half = cri.api.Mount(container_path="/v", host_path=str(volume), uidMappings=cri.mappings(FIRST))
    with refused("INVALID_ARGUMENT", "config.mounts[0]"):
        pod.container(FOREVER, mounts=[half])


def test_a_symlink_is_followed_on_the_host_and_not_in_the_image(cri, volume, tmp_path):
    (tmp_path / "link").symlink_to(volume)
    c = cri.run().container(FOREVER, mounts=[cri.api.Mount(container_path="/v", host_path=str(tmp_path / "link"))])
    assert c.sh("cat /v/file") == "content"


def test_a_host_path_that_is_not_there_is_an_error_and_never_made(cri, tmp_path):
    missing = tmp_path / "missing" / "deep"
    with refused("INVALID_ARGUMENT", str(missing)):
        cri.run().container(FOREVER, mounts=[cri.api.Mount(container_path="/v", host_path=str(missing))])
    assert not missing.parent.exists() and cri.containers() == []


def test_parents_are_mounted_before_their_children(cri, tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    (tmp_path / "a/sub/deeper").mkdir(parents=True)
    (tmp_path / "b/deeper").mkdir()
    m = cri.api.Mount
    c = cri.run().container(FOREVER, mounts=[
        m(container_path="/v/sub/deeper", host_path=str(tmp_path / "c")), m(container_path="/v/sub", host_path=str(tmp_path / "b")),
        m(container_path="/v", host_path=str(tmp_path / "a"))])
    assert c.sh("cat /v/a /v/sub/b /v/sub/deeper/c") == "abc"


def test_container_paths_that_are_relative_or_unclean(cri, volume):
    m = cri.api.Mount
    c = cri.run().container(FOREVER, mounts=[m(container_path="rel", host_path=str(volume)),
                                             m(container_path="/x//y/./z/", host_path=str(volume)),
                                             m(container_path="/q/../w", host_path=str(volume))])
    assert c.sh("cat /rel/file /x/y/z/file /w/file") == "content\n" * 2 + "content"


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/self", "/../proc/x", "//", "/x/.."])
def test_container_paths_over_the_root_and_proc_are_refused(cri, volume, path):
    with refused("INVALID_ARGUMENT", "config.mounts[0].container_path"):
        cri.run().container(FOREVER, mounts=[cri.api.Mount(container_path=path, host_path=str(volume))])


def test_a_symlink_in_the_image_does_not_lead_out(cri, volume, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    pod = cri.run()
    m = cri.api.Mount
    # The first volume holds a symlink to the host's path, the second is to be mounted through it.
    (volume / "way").symlink_to(outside)
    c = pod.container(FOREVER, mounts=[m(container_path="/v", host_path=str(volume)),
                                       m(container_path="/v/way/in", host_path=str(volume))])
    assert c.sh(f"cat {outside}/in/file") == "content"  # inside the container's own root
    assert list(outside.iterdir()) == []


def test_readonly(cri, volume):
    c = cri.run().container(FOREVER, mounts=[cri.api.Mount(container_path="/v", host_path=str(volume), readonly=True)])
    assert c.exec("echo x > /v/file")[0] != 0 and "ro" in line_of(c, "/v")[0]
    assert c.exec("mount -o remount,rw /v")[0] != 0


def test_recursive_read_only_reaches_submounts(cri, volume, mounted):
    (volume / "sub").mkdir()
    mounted("-t", "tmpfs", "tmpfs", volume / "sub")
    m = cri.api.Mount
    c = cri.run().container(FOREVER, mounts=[
        m(container_path="/plain", host_path=str(volume), readonly=True),
        m(container_path="/deep", host_path=str(volume), readonly=True, recursive_read_only=True)])
    assert c.exec("touch /plain/x")[0] != 0 and c.exec("touch /plain/sub/x")[0] == 0
    assert c.exec("touch /deep/x")[0] != 0 and c.exec("touch /deep/sub/y")[0] != 0


def test_recursive_read_only_and_what_it_excludes(cri, volume):
    m, pod, a = cri.api.Mount, cri.run(), cri.api
    for kw, word in (({}, "readonly"), ({"readonly": True, "propagation": a.PROPAGATION_HOST_TO_CONTAINER}, "PROPAGATION_PRIVATE")):
        with refused("INVALID_ARGUMENT", "recursive_read_only", word):
            pod.container(FOREVER, mounts=[m(container_path="/v", host_path=str(volume), recursive_read_only=True, **kw)])


def test_mount_options(cri, volume):
    m, pod = cri.api.Mount, cri.run()
    c = pod.container(FOREVER, mounts=[m(container_path="/v", host_path=str(volume),
                                         mount_options=["noexec", "nodev", "nosuid"])])
    assert {"noexec", "nodev", "nosuid"} <= set(line_of(c, "/v")[0])
    assert c.exec("cp /bin/busybox /v/busybox; /v/busybox true")[0] != 0
    with refused("INVALID_ARGUMENT", "mount_options", "suid,bind"):
        pod.container(FOREVER, mounts=[m(container_path="/v", host_path=str(volume), mount_options=["suid,bind"])])


def test_nosuid_nodev_noexec_of_the_host_stay_in_a_user_namespace(cri, volume, mounted):
    mounted("-t", "tmpfs", "-o", "nosuid,nodev,noexec", "tmpfs", volume)
    c = cri.run(network="pod", userns=FIRST).container(FOREVER, mounts=[
        idmapped(cri, volume), cri.api.Mount(container_path="/w", host_path=str(volume), readonly=True)])
    for path in ("/v", "/w"):
        assert {"nosuid", "nodev", "noexec"} <= set(line_of(c, path)[0])


def test_propagation(cri, tmp_path, mounted):
    a = cri.api
    shared = tmp_path / "shared"
    shared.mkdir()
    mounted("-t", "tmpfs", "tmpfs", shared)
    subprocess.run(["mount", "--make-shared", shared], check=True)
    for name in ("from-host", "from-container"):
        (shared / name).mkdir()
    kinds = {"/private": a.PROPAGATION_PRIVATE, "/slave": a.PROPAGATION_HOST_TO_CONTAINER,
             "/both": a.PROPAGATION_BIDIRECTIONAL}
    c = cri.run().container(FOREVER, security={"privileged": True}, mounts=[
        a.Mount(container_path=path, host_path=str(shared), propagation=kind) for path, kind in kinds.items()])
    assert [x for x in line_of(c, "/both")[1] if x.startswith("shared:")]
    assert [x for x in line_of(c, "/slave")[1] if x.startswith("master:")]
    mounted("-t", "tmpfs", "tmpfs", shared / "from-host")
    (shared / "from-host/seen").write_text("")
    assert c.sh("ls /both/from-host /slave/from-host").count("seen") == 2
    assert c.sh("ls /private/from-host") == ""
    c.sh("mount -t tmpfs tmpfs /both/from-container; touch /both/from-container/seen")
    assert (shared / "from-container/seen").exists() and c.sh("ls /slave/from-container") == "seen"
    c.sh("umount /both/from-container")


def test_propagation_from_a_mount_that_is_not_shared_is_refused(cri, volume, mounted):
    mounted("-t", "tmpfs", "tmpfs", volume)
    subprocess.run(["mount", "--make-private", volume], check=True)
    a = cri.api
    for kind in (a.PROPAGATION_BIDIRECTIONAL, a.PROPAGATION_HOST_TO_CONTAINER):
        with refused("INVALID_ARGUMENT", str(volume), "shared"):
            cri.run().container(FOREVER, mounts=[a.Mount(container_path="/v", host_path=str(volume), propagation=kind)])
    cri.remove_all()


def test_submounts_of_a_volume_are_seen_and_not_mapped(cri, volume, mounted):
    (volume / "sub").mkdir()
    mounted("-t", "tmpfs", "tmpfs", volume / "sub")
    (volume / "sub/deep").write_text("deep\n")
    c = cri.run(network="pod", userns=FIRST).container(FOREVER, mounts=[idmapped(cri, volume)])
    # OCI config.md: mappings hold for the mount itself unless "ridmap" is asked for.
    assert c.sh("cat /v/sub/deep; stat -c %u /v /v/sub/deep") == "deep\n0\n65534"


def test_sockets_and_devices_as_volumes(cri, tmp_path):
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(tmp_path / "s"))
    m = cri.api.Mount
    c = cri.run().container(FOREVER, mounts=[m(container_path="/run/s", host_path=str(tmp_path / "s")),
                                             m(container_path="/dev/copy-of-null", host_path="/dev/null")])
    assert c.sh("stat -c %F /run/s /dev/copy-of-null").splitlines() == ["socket", "character special file"]


def test_the_hosts_mounts_are_not_seen_and_not_held(cri, tmp_path, mounted):
    extra = tmp_path / "extra"
    extra.mkdir()
    mounted("-t", "tmpfs", "tmpfs", extra)
    c = cri.run().container(FOREVER)
    assert str(extra) not in c.sh("cat /proc/self/mountinfo")
    subprocess.run(["umount", extra], check=True)  # busy, if somebody held it
    wait_for(lambda: str(extra) not in pathlib.Path("/proc/self/mountinfo").read_text())
