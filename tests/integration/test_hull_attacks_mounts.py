# SPDX-License-Identifier: Apache-2.0
"""Attacks on mounts, devices, masks and procfs of a container, performed: by an image, and by who changes its files
meanwhile. docs/security.md has the table."""
import json
import os
import pathlib
import socket
import stat
import subprocess

import pytest

from attackkit import ATTEMPTS, another_cgroup, attempts, capabilities, climb, quietly, swapping, victim, with_adversary  # noqa: F401
from bundles import HULL, bundle, pytestmark  # noqa: F401 pylint: disable=unused-import
from mountkit import Mounted, bind, fails, mountinfo, own_cgroup, tmpfs, user_namespace  # noqa: F401


# ---- symlink races on what is mounted (CVE-2021-30465, CVE-2025-31133, CVE-2025-52565, CVE-2026-41579) --------


@pytest.mark.parametrize("kind", ["bind", "tmpfs", "file", "tmpcopyup"])
def test_destinations_that_are_swapped_for_a_way_out(bundle, victim, kind):
    volume = bundle.rootfs / "volume"
    volume.mkdir()
    (volume / "dir").mkdir()
    (volume / "link").symlink_to(climb(victim))
    source = bundle.path / "source"
    source.mkdir()
    (source / "x").write_text("x")
    if kind == "bind":
        bind(bundle, "/volume/dir/dir", source)
    elif kind == "file":
        bind(bundle, "/volume/dir/file", source / "x")
    else:
        tmpfs(bundle, "/volume/dir/dir", *(["tmpcopyup"] if kind == "tmpcopyup" else []))
    bundle.args("true")
    with swapping(volume / "dir", volume / "link"):
        good, bad = attempts(bundle)
    assert len(good) + len(bad) == ATTEMPTS


def test_a_volume_of_two_containers_is_swapped_under_the_second(bundle, victim):
    """CVE-2021-30465 as it was reported: the attacker is in one container, and the other one mounts on a directory in
    the volume of both."""
    with_adversary(bundle)
    volume = bundle.path / "volume"
    (volume / "dir").mkdir(parents=True)
    (volume / "link").symlink_to(climb(victim))
    bind(bundle, "/volume", volume)
    bundle.args("/bin/adversary", "swap", "/volume/dir", "/volume/link")
    bundle.create("attacker")
    bundle.hull("start", "attacker")
    bind(bundle, "/volume/dir/dir", bundle.rootfs / "etc", "rw")
    bundle.args("true")
    another_cgroup(bundle)
    for _ in range(ATTEMPTS):
        bundle.hull("run", "second", check=False)
    assert bundle.status("attacker") == "running"


@pytest.mark.parametrize("has_mount", [True, False])
def test_a_dev_that_is_swapped_for_a_way_out(bundle, victim, has_mount):
    """CVE-2026-41579, CVE-2026-47766: nodes and links would be made on the host."""
    if not has_mount:
        bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if not m["destination"].startswith("/dev")]))
    (bundle.rootfs / "link").symlink_to(climb(victim))
    bundle.edit(lambda c: c["linux"].update(devices=[{"path": "/dev/deep/mine", "type": "c", "major": 1, "minor": 3}]))
    bundle.args("true")
    with swapping(bundle.rootfs / "dev", bundle.rootfs / "link"):
        good, bad = attempts(bundle)
    assert len(good) + len(bad) == ATTEMPTS


@pytest.mark.parametrize("to", ["victim", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern"])
def test_a_console_that_is_swapped_for_a_way_out(bundle, victim, to):
    """CVE-2025-52565: the terminal would be mounted over a file of the host, or of proc before that is protected."""
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if m["destination"] not in
                                           ("/dev", "/dev/shm", "/dev/mqueue")]))
    (bundle.rootfs / "dev/pts").mkdir()
    (bundle.rootfs / "dev/console").write_text("")
    (bundle.rootfs / "dev/other").symlink_to(climb(victim / "file") if to == "victim" else to)
    bundle.edit(lambda c: c["process"].update(terminal=True))
    bundle.sh("cat /proc/self/mountinfo")
    path = str(bundle.path / "console")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    with server, swapping(bundle.rootfs / "dev/console", bundle.rootfs / "dev/other"):
        for _ in range(ATTEMPTS):
            done = bundle.hull("create", "--console-socket", path, "c1", check=False)
            connection = server.accept()[0]  # as long as it is open, the terminal is
            if done.returncode:
                connection.close()
                continue
            text = pathlib.Path(f"/proc/{bundle.state('c1')['pid']}/mountinfo").read_text()
            connection.close()
            assert not any(m.at.startswith("/proc/sysrq") and m.type == "devpts" for m in mountinfo(text).values())
            assert not any("core_pattern" in m.at and m.type == "devpts" for m in mountinfo(text).values())
            bundle.hull("delete", "--force", "c1")


@pytest.mark.parametrize("to", ["/proc/sysrq-trigger", "/etc/other", "victim"])
def test_the_images_null_device_is_no_mask(bundle, victim, to):
    """CVE-2025-31133: what is bound over a masked file must be the null device, whatever the image has in its /dev."""
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if not m["destination"].startswith("/dev")]))
    os.mknod(bundle.rootfs / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (bundle.rootfs / "etc/other").write_text("other")
    (bundle.rootfs / "etc/secret").write_text("secret")
    (bundle.rootfs / "dev/other").symlink_to(climb(victim / "file") if to == "victim" else to)
    bundle.edit(lambda c: c["linux"].update(maskedPaths=["/etc/secret", "/proc/kcore", "/proc/timer_list"]))
    bundle.sh("stat -c '%F %t %T' /etc/secret /proc/timer_list; cat /etc/secret")
    with swapping(bundle.rootfs / "dev/null", bundle.rootfs / "dev/other"):
        good, _ = attempts(bundle)
    assert good
    assert all(text == "character special file 1 3\n" * 2 for text in good), set(good)


@pytest.mark.parametrize("has", ["nothing", "link", "file"])
def test_an_image_without_a_null_device_is_masked_all_the_same(bundle, has):
    """CVE-2025-31133: where /dev/null was missing, the error was taken for that of the path that was to be masked."""
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if not m["destination"].startswith("/dev")]))
    if has == "link":
        (bundle.rootfs / "dev/null").symlink_to("/nowhere/at/all")
    (bundle.rootfs / "etc/secret").write_text("secret")
    bundle.edit(lambda c: c["linux"].update(maskedPaths=["/etc/secret", "/proc/timer_list"]))
    bundle.sh("stat -c '%F %t %T' /etc/secret /proc/timer_list; cat /etc/secret")
    if has == "file":  # then there is no device to be had there, and that is said
        (bundle.rootfs / "dev/null").write_text("not a device")
        assert "/dev/null" in fails(bundle)
        return
    done = bundle.hull("run", "c1", check=False)
    assert done.returncode == 1 if has == "link" else done.stdout == "character special file 1 3\n" * 2, done
    assert "secret\n" not in done.stdout


@pytest.mark.parametrize("options", [["ro"], ["ro", "nosuid", "noexec", "nodev"]])
def test_a_sys_that_is_the_hosts_is_read_only_with_all_below(bundle, options):
    """CVE-2023-25809: a container of a user namespace that has not its own network gets the host's /sys as a bind, below
    which cgroups were left writable."""
    user_namespace(bundle)
    capabilities(bundle, "CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER")
    bundle.edit(lambda c: c["linux"].update(namespaces=[n for n in c["linux"]["namespaces"]
                                                        if n["type"] not in ("network", "cgroup")]))
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if m["destination"] != "/sys/fs/cgroup"]))
    bundle.edit(lambda c: next(m for m in c["mounts"] if m["destination"] == "/sys").update(options=options))
    (bundle.rootfs / "bin/mkdir").symlink_to("busybox")
    bundle.sh("cat /proc/self/mountinfo; for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/evil && echo MADE - $d;"
              " echo 0 > $d/cgroup.procs && echo MOVED - $d; done; true")
    text = bundle.hull("run", "c1").stdout
    assert "MADE" not in text and "MOVED" not in text, text
    below = [m for m in mountinfo(text).values() if m.at.startswith("/sys")]
    assert len(below) > 1 and all("ro" in m.options for m in below), text


@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
def test_protected_paths_that_are_swapped_for_a_way_out(bundle, victim, key):
    (bundle.rootfs / "protected").mkdir()
    (bundle.rootfs / "link").symlink_to(climb(victim))
    bundle.edit(lambda c: c["linux"].update({key: ["/protected/file", "/protected/dir", "/protected"]}))
    bundle.args("true")
    with swapping(bundle.rootfs / "protected", bundle.rootfs / "link"):
        good, _ = attempts(bundle)
    assert good
    (victim / "file").write_text("of the host")


@pytest.mark.parametrize("name,fstype", [("proc", "proc"), ("sys", "sysfs")])
def test_a_proc_that_is_swapped_for_a_link(bundle, name, fstype):
    """CVE-2019-19921, CVE-2023-27561: proc would be mounted elsewhere, and what the image has at /proc be believed."""
    (bundle.rootfs / "elsewhere").mkdir()
    (bundle.rootfs / "other").symlink_to("elsewhere")
    bundle.args("cat", "/proc/self/mountinfo")
    with swapping(bundle.rootfs / name, bundle.rootfs / "other"):
        for _ in range(ATTEMPTS):
            if quietly(bundle, "create", "c1").returncode:
                continue
            mounts = mountinfo(pathlib.Path(f"/proc/{bundle.state('c1')['pid']}/mountinfo").read_text())
            assert not any(m.type == fstype and m.at == "/elsewhere" for m in mounts.values())
            bundle.hull("delete", "--force", "c1")


def test_programs_that_are_swapped_for_a_way_out(bundle, victim):
    """A name in PATH is looked for by the init, in the container's root, with the host's mounts gone."""
    script = victim / "script"
    (bundle.rootfs / "prog").mkdir()
    (bundle.rootfs / "prog/script").write_text("#!/bin/sh\necho inside\n")
    (bundle.rootfs / "prog/script").chmod(0o755)
    (bundle.rootfs / "other").symlink_to(climb(victim))
    script.write_text("#!/bin/sh\necho outside\n")
    script.chmod(0o755)
    bundle.edit(lambda c: c["process"].update(env=["PATH=/prog:/bin"]))
    bundle.args("script")
    try:
        with swapping(bundle.rootfs / "prog", bundle.rootfs / "other"):
            good, _ = attempts(bundle)
    finally:
        script.unlink()
    assert good and set(good) == {"inside\n"}


# ---- writes to procfs that land elsewhere (CVE-2025-52881, CVE-2019-16884) -----------------------------------


def fake_proc(path):
    (path / "self/attr/apparmor").mkdir(parents=True)
    (path / "sys/net/ipv4").mkdir(parents=True)
    (path / "sys/kernel").mkdir(parents=True)
    files = ["self/attr/exec", "self/attr/apparmor/exec", "self/oom_score_adj", "self/timens_offsets", "sys/net/ipv4/ip_forward",
             "sys/kernel/domainname", "sys/kernel/shmmax"]
    for number in range(1, 40):
        (path / str(number)).mkdir()
        files.append(f"{number}/oom_score_adj")
    for name in files:
        (path / name).write_text("")
        (path / name).chmod(0o666)
    (path / "thread-self").symlink_to("self")
    return [path / name for name in files]


def test_writes_at_the_creation_do_not_go_into_a_proc_of_the_image(bundle):
    """Without a mount at /proc, all that is there is the attacker's."""
    files = fake_proc(bundle.rootfs / "proc")
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if m["destination"] != "/proc"]))
    bundle.edit(lambda c: c["linux"].update(sysctl={"net.ipv4.ip_forward": "1", "kernel.shmmax": "12345678"},
                                            maskedPaths=[], readonlyPaths=[]))
    bundle.edit(lambda c: c["process"].update(oomScoreAdj=555))
    bundle.args("sleep", "60")
    bundle.create("c1")
    bundle.hull("start", "c1")
    pid = bundle.state("c1")["pid"]
    assert pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text() == "555\n"
    shown = subprocess.run(["nsenter", "-t", str(pid), "-n", "-i", "cat", "/proc/sys/net/ipv4/ip_forward",
                            "/proc/sys/kernel/shmmax"], capture_output=True, text=True, check=True).stdout
    assert shown == "1\n12345678\n"
    assert all(f.read_text() == "" for f in files)


@pytest.mark.parametrize("in_user_ns", [False, True])
def test_writes_of_an_exec_do_not_go_into_a_proc_of_the_container(bundle, in_user_ns):
    """Root of the container has mounted its own files over its /proc, or laid links there."""
    if in_user_ns:
        user_namespace(bundle)
    capabilities(bundle, "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE")
    files = fake_proc(bundle.rootfs / "fake")
    (bundle.rootfs / "fake/self/attr/exec").chmod(0o666)
    bundle.sh("mount --bind /fake /proc && echo covered > /dev/null && echo > /tmp/done; sleep 60")
    (bundle.rootfs / "tmp").chmod(0o777)
    bundle.create("c1")
    bundle.hull("start", "c1")
    bundle.wait_for_file("tmp/done")
    config = json.loads((bundle.path / "config.json").read_text())
    process = {**config["process"], "args": ["sleep", "50"], "oomScoreAdj": 444}
    (bundle.path / "process.json").write_text(json.dumps(process))
    with open(os.devnull, "r+b") as null:
        subprocess.run([HULL, "--root", bundle.root, "exec", "-d", "--pid-file", bundle.path / "pid", "-p",
                        bundle.path / "process.json", "c1"], check=True, stdin=null, stdout=null, timeout=60)
    pid = (bundle.path / "pid").read_text()
    assert pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text() == "444\n"
    assert all(f.read_text() == "" for f in files)


@pytest.mark.parametrize("where", ["/proc", "/proc/self/attr", "/proc/./self/../self", "proc/sys"])
def test_a_volume_that_looks_like_proc_is_refused(bundle, where):
    """CVE-2019-16884."""
    fake_proc(bundle.path / "fake")
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if m["destination"] != "/proc"]))
    bind(bundle, where, bundle.path / "fake")
    assert "proc" in fails(bundle)


@pytest.mark.parametrize("kind,change", [
    ("network", {"sysctl": {"net.ipv4.ip_default_ttl": "63"}}), ("ipc", {"sysctl": {"kernel.shmmax": "1"}}),
    ("uts", {"sysctl": {"kernel.domainname": "evil"}})])
def test_the_hosts_own_namespace_by_its_path_is_not_one_to_write_to(bundle, kind, change):
    """The path of a namespace may lead to the host's own: what is set would be set on the host."""
    bundle.edit(lambda c: c["linux"].update(change))
    bundle.edit(lambda c: c.pop("hostname", None))
    name = {"network": "net"}.get(kind, kind)
    bundle.edit(lambda c: next(n for n in c["linux"]["namespaces"] if n["type"] == kind).update(path=f"/proc/self/ns/{name}"))
    before = [pathlib.Path(f).read_text() for f in ("/proc/sys/net/ipv4/ip_default_ttl", "/proc/sys/kernel/shmmax",
                                                    "/proc/sys/kernel/domainname")]
    message = fails(bundle)
    assert "sysctl" in message or "namespace" in message
    assert before == [pathlib.Path(f).read_text() for f in ("/proc/sys/net/ipv4/ip_default_ttl",
                                                            "/proc/sys/kernel/shmmax", "/proc/sys/kernel/domainname")]


def test_the_hosts_name_cannot_be_set_through_the_path_of_its_namespace(bundle):
    bundle.edit(lambda c: next(n for n in c["linux"]["namespaces"] if n["type"] == "uts").update(path="/proc/self/ns/uts"))
    bundle.edit(lambda c: c.update(hostname=socket.gethostname() + "-evil"))
    before = socket.gethostname()
    assert "hostname" in fails(bundle)
    assert socket.gethostname() == before


def test_a_root_with_mounts_over_its_proc(bundle):
    """A bind of the host's on the image's /proc is there before ours, and ours is what the container sees."""
    fake_proc(bundle.path / "fake")
    with Mounted(bundle.rootfs / "proc", "--bind", bundle.path / "fake"):
        bundle.sh("cat /proc/self/comm; grep -c ' /proc proc' /proc/self/mountinfo; ls /proc/self/attr/exec")
        assert bundle.hull("run", "c1").stdout.startswith("cat\n")
