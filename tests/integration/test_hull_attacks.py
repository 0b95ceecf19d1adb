# SPDX-License-Identifier: Apache-2.0
"""Attacks on the `hull` command, performed: by what an image contains, by what runs in a container, and by who changes
the image's files meanwhile. docs/security.md has the table. tests/helper/adversary.c is the attacker's fast half."""
import contextlib
import glob
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest

from bundles import BUILD, HULL, bundle, host_mounts, pytestmark, wait_until  # noqa: F401 pylint: disable=unused-import
from test_hull_mounts import (Mounted, add_mount, bind, fails, mountinfo, output, own_cgroup, tmpfs,  # noqa: F401
                              user_namespace)

ADVERSARY = BUILD / "tests/helper/adversary"
ATTEMPTS = 25
CAPS = ["bounding", "effective", "permitted"]


def capabilities(bundle, *names):
    bundle.edit(lambda c: c["process"]["capabilities"].update({kind: list(names) for kind in CAPS}))


def with_adversary(bundle):
    shutil.copy(ADVERSARY, bundle.rootfs / "bin/adversary")


@contextlib.contextmanager
def swapping(a, b):
    with subprocess.Popen([ADVERSARY, "swap", str(a), str(b)]) as p:
        try:
            yield
        finally:
            p.kill()


@pytest.fixture
def victim(tmp_path):
    """A directory of the host that no container has anything to do with; nothing comes into it or goes."""
    path = tmp_path / "victim"
    path.mkdir()
    (path / "file").write_text("of the host")
    (path / "dir").mkdir()
    before, mounts = sorted(os.walk(path)), host_mounts(path)
    yield path
    assert sorted(os.walk(path)) == before
    assert (path / "file").read_text() == "of the host"
    assert [m for m in host_mounts(path) if str(path) in m] == [m for m in mounts if str(path) in m]


def quietly(bundle, *args):
    """What stays keeps its output, which must be no pipe of ours."""
    return subprocess.run([HULL, "--root", bundle.root, *args], cwd=bundle.path, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=60)


def containers(bundle):
    """What is left in the state directory, but for its cache."""
    return [n for n in os.listdir(bundle.root) if not n.startswith(":")] if bundle.root.exists() else []


def another_cgroup(bundle):
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=c["linux"]["cgroupsPath"] + "2"))


def climb(path):
    return "../" * 30 + str(path).lstrip("/")


def attempts(bundle, count=ATTEMPTS):
    """Run it over and over; those that are refused are refused in one line and leave nothing."""
    good, bad = [], []
    for _ in range(count):
        done = bundle.hull("run", "c1", check=False)
        if done.returncode == 0:
            good.append(done.stdout)
        else:
            assert "Sanitizer" not in done.stderr
            bad.append(done.stderr)
    assert containers(bundle) == []
    return good, bad


# ---- the runtime's own program (CVE-2019-5736) ---------------------------------------------------------------


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns


needs_static = pytest.mark.skipif(HULL.exists() and b"libasan.so" in HULL.read_bytes(),
                                  reason="with a sanitizer hull is not static and finds no libraries in there")


@needs_static
def test_the_program_held_open_cannot_be_written_once_it_has_ended(bundle):
    """All of the attack: hull is made to run in the container, its file is held open until no process executes it,
    and then written to."""
    with_adversary(bundle)
    os.mkfifo(bundle.rootfs / "fifo")
    before = digest(HULL)
    bundle.args("sleep", "60")
    bundle.create("c1")
    bundle.hull("start", "c1")
    # /proc/self/exe of what enters is hull; it waits for somebody to read its log.
    quietly(bundle, "exec", "-d", "--pid-file", bundle.path / "pid", "c1", "/proc/self/exe", "--log", "/fifo", "list")
    outside = (bundle.path / "pid").read_text()
    status = pathlib.Path(f"/proc/{outside}/status").read_text()
    inside = next(line for line in status.splitlines() if line.startswith("NSpid")).split()[-1]
    assert "busybox" not in os.readlink(f"/proc/{outside}/exe")
    # Detached: while any hull runs, the kernel says "Text file busy".
    log = bundle.path / "overwrite"
    with open(log, "wb") as f:
        subprocess.run([HULL, "--root", bundle.root, "exec", "-d", "c1", "/bin/adversary", "overwrite", inside, "/fifo"],
                       check=True, stdin=subprocess.DEVNULL, stdout=f, timeout=60)
    wait_until(lambda: "WRITE" in log.read_text() and log.read_text().endswith("\n"))
    assert log.read_text() == "HELD\nWRITE Read-only file system\n"
    assert digest(HULL) == before


@needs_static
@pytest.mark.parametrize("interpreter", ["/proc/self/exe", "/link"])
def test_a_script_whose_interpreter_is_the_runtime(bundle, interpreter):
    before = digest(HULL)
    (bundle.rootfs / "link").symlink_to("/proc/self/exe")
    script = bundle.rootfs / "bin/script"
    script.write_text(f"#!{interpreter} --version\n")
    script.chmod(0o755)
    bundle.args("script")
    done = bundle.hull("run", "c1", check=False)
    assert "hull" in done.stdout + done.stderr
    bundle.args("sleep", "60")
    bundle.create("c2")
    bundle.hull("start", "c2")
    bundle.hull("exec", "c2", "script", check=False)
    assert digest(HULL) == before


def test_a_library_of_the_image_is_not_loaded_by_the_runtime(bundle):
    """LD_PRELOAD and the like of config.json are the container's, not those of what starts it."""
    bundle.edit(lambda c: c["process"]["env"].extend(["LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/", "LD_AUDIT=/evil.so"]))
    (bundle.rootfs / "evil.so").write_bytes(b"\x7fELF not at all")
    assert output(bundle, "echo $LD_PRELOAD") == "/evil.so\n"


@pytest.mark.parametrize("in_user_ns", [False, True])
@pytest.mark.parametrize("stops", [False, True])
def test_a_container_that_lies_in_wait_for_what_enters(bundle, in_user_ns, stops):
    """CVE-2016-9962, CVE-2019-5736: /proc/PID/exe, fd, cwd, root, mem of an exec that has not happened yet; its
    directory in /proc is held open from before; it is stopped and continued, and traced where the kernel lets one."""
    with_adversary(bundle)
    if in_user_ns:
        user_namespace(bundle)
        capabilities(bundle, "CAP_SYS_PTRACE", "CAP_KILL", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE")
    before = digest(HULL)
    bundle.args("/bin/adversary", "watch", *(["stop"] if stops else []))
    bundle.create("c1")
    bundle.hull("start", "c1")
    bundle.wait_for_log("c1", "WATCHING")
    for _ in range(25):
        # It may be stopped again and again, and then be slow; it comes to its end.
        done = bundle.hull("exec", "c1", "true", check=False)
        assert done.returncode == 0, done.stderr
    bundle.hull("delete", "--force", "c1")
    text = bundle.log("c1")
    assert "REACHED" not in text, text
    assert "MET" in text
    assert digest(HULL) == before


# ---- leaked fds and working directories (CVE-2024-21626) -----------------------------------------------------


def test_no_number_of_an_fd_is_a_working_directory(bundle):
    kept = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(8)]
    for fd in kept:
        os.set_inheritable(fd, True)
    (bundle.rootfs / "way-out").symlink_to("/proc/self/fd/7")
    bundle.args("sleep", "60")
    bundle.create("c0")
    bundle.hull("start", "c0")
    bundle.args("pwd")
    another_cgroup(bundle)
    try:
        for cwd in [f"/proc/self/fd/{n}" for n in range(3, 31)] + ["/proc/self/fd/8/../../etc", "/way-out", "/proc/self/cwd",
                                                                  "/proc/1/root", "/proc/self/root/"]:
            bundle.edit(lambda c, cwd=cwd: c["process"].update(cwd=cwd))
            done = bundle.hull("run", "c1", check=False, close_fds=False)
            assert done.returncode == 1 and "working directory" in done.stderr, (cwd, done)
            done = bundle.hull("exec", "--cwd", cwd, "c0", "/bin/ls", check=False, close_fds=False)
            assert done.returncode not in (0, None) and "working directory" in done.stderr, (cwd, done)
    finally:
        for fd in kept:
            os.close(fd)


def test_fds_that_the_caller_leaks_do_not_get_inside(bundle):
    kept = [os.open(path, os.O_RDONLY) for path in ("/", "/etc", "/etc/passwd", "/proc/self/ns/mnt")]
    for fd in kept:
        os.set_inheritable(fd, True)
    try:
        bundle.sh("ls -l /proc/self/fd; ls -l /proc/1/fd")
        lines = bundle.hull("run", "c1", close_fds=False).stdout.splitlines()
        bundle.args("sleep", "60")
        bundle.create("c2")
        bundle.hull("start", "c2")
        lines += bundle.hull("exec", "c2", "sh", "-c", "ls -l /proc/self/fd; ls -l /proc/1/fd", close_fds=False).stdout.splitlines()
    finally:
        for fd in kept:
            os.close(fd)
    for line in lines:
        if " -> " in line:
            number, target = line.split()[-3], line.split(" -> ")[1]
            assert int(number) <= 2 or target.startswith("/proc/"), line


@pytest.mark.parametrize("name", ["cwd", "way/out"])
def test_a_working_directory_that_is_swapped_for_a_way_out(bundle, victim, name):
    (bundle.rootfs / "way").mkdir()
    (bundle.rootfs / name).mkdir()
    (bundle.rootfs / "other").symlink_to(climb(victim))
    bundle.edit(lambda c: c["process"].update(cwd=f"/{name}/sub"))
    bundle.sh("ls /proc/self/cwd/; readlink /proc/self/cwd")
    with swapping(bundle.rootfs / name, bundle.rootfs / "other"):
        good, _ = attempts(bundle)
    assert good and not any("file" in text for text in good)


@pytest.mark.parametrize("options", [[], ["--no-pivot"]])
@pytest.mark.parametrize("has_hooks", [False, True])
def test_who_climbs_out_of_a_chroot_is_still_inside(bundle, victim, options, has_hooks):
    """Hooks find the root where the bundle has it; that must not be where a root without pivot_root stays."""
    with_adversary(bundle)
    capabilities(bundle, "CAP_SYS_CHROOT")
    if has_hooks:
        bundle.edit(lambda c: c.update(hooks={"createContainer": [{"path": "/bin/true"}]}))
    bundle.args("/bin/adversary", "climb", str(victim / "file"))
    assert bundle.hull("run", *options, "c1").stdout == "INSIDE\n"
    bundle.args("/bin/adversary", "climb", "/bin/busybox")
    assert bundle.hull("run", *options, "c1").stdout == "OUTSIDE\n"


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
            if done.returncode:
                continue
            connection = server.accept()[0]  # as long as it is open, the terminal is
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


# ---- identities and capabilities (CVE-2022-29162, CVE-2026-30892, CVE-2024-40635) ----------------------------


def test_nothing_is_inheritable(bundle):
    """CVE-2022-29162: with inheritable capabilities, a program with file capabilities gains what was taken away."""
    bundle.sh("grep -E '^Cap(Inh|Amb)' /proc/self/status")
    expected = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n"
    assert bundle.hull("run", "c1").stdout == expected
    bundle.args("sleep", "60")
    bundle.create("c2")
    bundle.hull("start", "c2")
    for options in ([], ["--cap", "CAP_SYS_ADMIN"], ["-u", "1000", "--cap", "CAP_NET_RAW"]):
        done = bundle.hull("exec", *options, "c2", "grep", "-E", "^Cap(Inh|Amb)", "/proc/self/status")
        assert "CapInh:\t0000000000000000" in done.stdout


@pytest.mark.parametrize("user", ["-1", "4294967295", "4294967296", "18446744073709551616", "0x0", "root", "1000:",
                                  ":0", "1000:4294967295", "1000:4294967296", "1000:-1", "1e3", "1000 ", " 1000", "",
                                  "1000:0:0", "+5", "1000.0", "0\t"])
def test_an_exec_for_who_is_no_user_is_refused(bundle, user):
    bundle.args("sleep", "60")
    bundle.create("c1")
    bundle.hull("start", "c1")
    done = bundle.hull("exec", "--user", user, "c1", "id", check=False)
    assert done.returncode != 0 and "uid=" not in done.stdout
    assert len(done.stderr.splitlines()) == 1


def test_an_exec_is_who_was_asked_for(bundle):
    """CVE-2026-30892: the user of an exec that is given as a number alone was root's."""
    bundle.edit(lambda c: c["process"].update(user={"uid": 7, "gid": 8, "additionalGids": [9]}))
    bundle.args("sleep", "60")
    bundle.create("c1")
    bundle.hull("start", "c1")
    ids = "grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status"
    for options, uid, gid in (([], 7, 8), (["-u", "1000"], 1000, 8), (["-u", "1000:2000"], 1000, 2000), (["-u", "1"], 1, 8),
                              (["-u", "4294967294"], 4294967294, 8)):
        text = bundle.hull("exec", *options, "c1", "sh", "-c", ids).stdout
        found = {line.split(":")[0]: line.split(":")[1].split() for line in text.splitlines()}
        assert found["Uid"] == [str(uid)] * 4, (options, text)
        if options and ":" not in options[-1]:
            assert "0" not in found["Gid"], (options, text)
        else:
            assert found["Gid"] == [str(gid)] * 4, (options, text)
        assert found["CapEff"] == ["0" * 16], (options, text)


@pytest.mark.parametrize("key,value", [("uid", 4294967295), ("uid", 4294967296), ("uid", -1), ("uid", "0"), ("uid", 1.5),
                                       ("gid", 2 ** 64), ("additionalGids", [4294967296]), ("additionalGids", [-1])])
def test_ids_of_config_that_overflow_are_refused(bundle, key, value):
    """CVE-2024-40635: an id past 32 bits is not the one that is left of it."""
    bundle.edit(lambda c: c["process"]["user"].update({key: value}))
    message = fails(bundle)
    assert key in message or "does not fit in 64 bits" in message


# ---- hostile root file systems -------------------------------------------------------------------------------


def hostile_files():
    def fifo(p):
        os.mkfifo(p)

    def directory(p):
        p.mkdir()

    def device(p):
        os.mknod(p, stat.S_IFCHR | 0o666, os.makedev(5, 1))

    def sock(p):
        os.mknod(p, stat.S_IFSOCK | 0o666)

    def loop(p):
        p.symlink_to(p.name)

    def kmsg(p):
        p.symlink_to("/proc/kmsg")

    def huge(p):
        with open(p, "wb") as f:
            f.truncate(1 << 40)

    def binary(p):
        p.write_bytes(bytes(range(256)) * 4000)

    def long_line(p):
        p.write_text("root:x:0:0:" + "a" * 300000 + ":/x:/bin/sh\n" * 5)

    def many_lines(p):
        p.write_text("".join(f"u{i}:x:{i}:{i}::/h{i}:/bin/sh\n" for i in range(1, 15000)))

    def outside(p):
        p.symlink_to(climb("/etc/shadow"))

    return [fifo, directory, device, sock, loop, kmsg, huge, binary, long_line, many_lines, outside]


@pytest.mark.parametrize("make", hostile_files(), ids=lambda f: f.__name__)
def test_files_of_the_image_that_are_not_what_they_should_be(bundle, make):
    """/etc/passwd and /etc/group are read for HOME: never does that block, take all memory or follow a way out."""
    for name in ("passwd", "group"):
        make(bundle.rootfs / "etc" / name)
    bundle.edit(lambda c: c["process"].update(user={"uid": 14000, "gid": 14000}, env=["PATH=/bin"]))
    bundle.sh("echo HOME=$HOME")
    start = time.monotonic()
    done = bundle.hull("run", "c1", check=False)
    assert time.monotonic() - start < 30
    assert done.stdout.startswith("HOME=/"), done.stderr
    bundle.args("sleep", "60")
    bundle.create("c2")
    bundle.hull("start", "c2")
    done = bundle.hull("exec", "c2", "sh", "-c", "echo HOME=$HOME", check=False)
    assert done.stdout.startswith("HOME=/"), done.stderr
    assert time.monotonic() - start < 30


def test_a_false_proc_of_the_image_does_not_make_the_init_wait(bundle):
    """Without a mount on /proc, /proc/self/fd/N of the image may be FIFOs."""
    bundle.edit(lambda c: c.update(mounts=[m for m in c["mounts"] if m["destination"] != "/proc"]))
    fds = bundle.rootfs / "proc/self/fd"
    fds.mkdir(parents=True)
    for n in range(64):
        os.mkfifo(fds / str(n), 0o666)
    (bundle.rootfs / "etc/passwd").write_text("me:x:0:0::/of/passwd:/bin/sh\n")
    bundle.edit(lambda c: c["process"].update(env=["PATH=/bin"]))
    start = time.monotonic()
    assert output(bundle, "echo $HOME") == "/of/passwd\n"
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "directory", "loop", "deep", "dangling"])
def test_what_is_hostile_where_things_are_mounted_or_run(bundle, kind):
    """In place of mount points, protected paths, device directories, the program and the working directory."""
    def make(path):
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            os.mknod(path, stat.S_IFSOCK | 0o777)
        elif kind == "device":
            os.mknod(path, stat.S_IFCHR | 0o777, os.makedev(5, 1))
        elif kind == "directory":
            path.mkdir()
        elif kind == "loop":
            path.symlink_to(path.name)
        elif kind == "deep":
            path.symlink_to("/chain0")
        else:
            path.symlink_to("/dangling/../../../dangling")
    for i in range(3000):
        (bundle.rootfs / f"chain{i}").symlink_to(f"/chain{i + 1}")
    make(bundle.rootfs / "hostile")
    edits = [lambda c: c["mounts"].append({"destination": "/hostile", "type": "tmpfs"}),
             lambda c: c["mounts"].append({"destination": "/hostile/x/y", "type": "tmpfs"}),
             lambda c: c["mounts"].append({"destination": "/hostile", "source": "config.json", "options": ["bind"]}),
             lambda c: c["mounts"].append({"destination": "/hostile", "options": ["remount", "ro"]}),
             lambda c: c["linux"].update(maskedPaths=["/hostile", "/hostile/x"]),
             lambda c: c["linux"].update(readonlyPaths=["/hostile", "/hostile/x"]),
             lambda c: c["linux"].update(devices=[{"path": "/hostile/n", "type": "c", "major": 1, "minor": 3}]),
             lambda c: c["linux"].update(devices=[{"path": "/hostile", "type": "c", "major": 1, "minor": 3}]),
             lambda c: c["process"].update(args=["/hostile"]),
             lambda c: c["process"].update(cwd="/hostile/x")]
    original = (bundle.path / "config.json").read_text()
    start = time.monotonic()
    for edit in edits:
        (bundle.path / "config.json").write_text(original)
        bundle.args("true")
        bundle.edit(edit)
        done = bundle.hull("run", "c1", check=False)
        assert done.returncode in (0, 1, 126, 127), done
        assert "Sanitizer" not in done.stderr
        assert done.returncode == 0 or len(done.stderr.splitlines()) == 1, done.stderr
    assert time.monotonic() - start < 30
    assert containers(bundle) == []


def test_thousands_of_links_are_walked_in_bounded_time(bundle):
    """Each part of a path multiplies by the links in it: the kernel stops at 40, and so do we."""
    for i in range(60):
        (bundle.rootfs / f"l{i}").symlink_to("/".join([f"l{i + 1}"] * 2) if i < 59 else ".")
    (bundle.rootfs / "up").symlink_to("/".join([".."] * 1000))
    for i in range(5000):
        (bundle.rootfs / "tmp" / f"s{i}").symlink_to(f"s{(i + 1) % 5000}")
    start = time.monotonic()
    for path in ("/l0/x", "/up/up/up/up/made", "/tmp/s0/x", "/" + "a/" * 300 + "x", "/" + "up/" * 900 + "x"):
        bundle.edit(lambda c, path=path: c["mounts"].append({"destination": path, "type": "tmpfs"}))
        bundle.args("true")
        done = bundle.hull("run", "c1", check=False)
        assert done.returncode in (0, 1) and len(done.stderr.splitlines()) <= 1
        bundle.edit(lambda c: c["mounts"].pop())
    assert time.monotonic() - start < 30


def test_a_root_with_mounts_over_its_proc(bundle):
    """A bind of the host's on the image's /proc is there before ours, and ours is what the container sees."""
    fake_proc(bundle.path / "fake")
    with Mounted(bundle.rootfs / "proc", "--bind", bundle.path / "fake"):
        bundle.sh("cat /proc/self/comm; grep -c ' /proc proc' /proc/self/mountinfo; ls /proc/self/attr/exec")
        assert bundle.hull("run", "c1").stdout.startswith("cat\n")


# ---- a config.json of nonsense -------------------------------------------------------------------------------

NONSENSE = [None, True, False, 0, -1, 1, 2 ** 31, 2 ** 32, 2 ** 63, 2 ** 64, -2 ** 63, 1e308, 0.5, "", " ", "\u0000", "a\u0000b", "/",
            "..", "../../..", "/proc/self/exe", "/dev/null", "a" * 300, "a" * 70000, "%s%s%n", "\n", "\x1b[2J", "💥", "-1", "0",
            "4294967296", "rw", "ro", [], [[]], [None], [0], [""], ["a"] * 50, {}, {"": ""}, {"a": {"b": []}}, {"type": "mount"},
            "private", "SCMP_ACT_KILL", "RLIMIT_NOFILE", "user", "c", "tmpfs", "proc", "rbind"]


def mutate(rng, value, depth=0):
    """One place of the tree, chosen at random, becomes something else."""
    if isinstance(value, (dict, list)) and value and depth < 12 and rng.random() < 0.9:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        what = rng.random()
        if what < 0.06:
            del value[key]
        elif what < 0.12 and isinstance(value, list):
            value.extend(json.loads(json.dumps(value[key])) for _ in range(rng.choice([1, 2, 40])))
        elif what < 0.18 and isinstance(value, dict):
            value[rng.choice([key.upper(), key + "x", ""])] = value.pop(key)
        else:
            value[key] = mutate(rng, value[key], depth + 1)
        return value
    return json.loads(json.dumps(rng.choice(NONSENSE)))


def rich_config(bundle):
    config = json.loads((bundle.path / "config.json").read_text())
    config["mounts"] += [
        {"destination": "/a", "type": "tmpfs", "source": "x", "options": ["nosuid", "size=1m", "mode=755", "noatime"]},
        {"destination": "/b", "source": "rootfs/etc", "options": ["rbind", "rro", "rslave", "idmap"],
         "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
         "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]},
        {"destination": "/a", "options": ["remount", "bind", "ro"]}]
    config["linux"].update(
        devices=[{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}],
        rootfsPropagation="rprivate", sysctl={"net.ipv4.ip_forward": "1"}, timeOffsets={"monotonic": {"secs": 5}},
        personality={"domain": "LINUX"},
        seccomp={"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                 "syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                               "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]})
    config["linux"]["namespaces"] += [{"type": "time"}]
    config["linux"].setdefault("resources", {}).update(
        memory={"limit": 1 << 28}, cpu={"shares": 512, "quota": 50000, "period": 100000}, pids={"limit": 100})
    config["process"].update(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 1000}], oomScoreAdj=100,
                             ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 4},
                             scheduler={"policy": "SCHED_OTHER", "nice": 1}, args=["sleep", "30"])
    config["annotations"] = {"a": "b"}
    return config


def cgroups_named(word):
    # Not pathlib's, which does not bear that other tests' cgroups go meanwhile.
    return [p for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*") for p in glob.glob(f"{top}/*{word}*")]


@pytest.mark.parametrize("seed", range(6))
def test_a_config_of_nonsense_works_or_is_refused(bundle, seed):
    """Each creation works, or ends in one line that says why; it never crashes, hangs or leaves something."""
    rng = random.Random(seed)
    base = rich_config(bundle)
    path = base["linux"]["cgroupsPath"]
    word = path.split("/")[1]
    mounts, name, worked, kinds = host_mounts(bundle.path), socket.gethostname(), 0, set()
    for i in range(100):
        config = json.loads(json.dumps(base))
        for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
            config = mutate(rng, config)
        # Others share this machine's cgroups: its place is not for the dice.
        if isinstance(config, dict) and isinstance(config.get("linux"), dict):
            config["linux"]["cgroupsPath"] = path
        text = json.dumps(config)
        if rng.random() < 0.05:
            cut = rng.randrange(len(text))
            text = text[:cut] + rng.choice(["", "\x00", "}", "[" * 3000, '"', "\\"]) + text[cut + rng.randrange(5):]
        (bundle.path / "config.json").write_text(text)
        done = subprocess.run([HULL, "--root", bundle.root, "create", "c1"], cwd=bundle.path, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=open(bundle.path / "stderr", "wb"), check=False, timeout=60)
        said = (bundle.path / "stderr").read_text(errors="replace")
        assert "Sanitizer" not in said and "runtime error" not in said, (seed, i, said)
        assert done.returncode in (0, 1), (seed, i, done, said)
        if done.returncode == 0:
            worked += 1
            bundle.hull("delete", "--force", "c1")
        else:
            assert said.splitlines() and len(said) < 4000, (seed, i, said)
            assert sum("level=error" in line for line in said.splitlines()) == 1, (seed, i, said)
            kinds.add(said.split("config.json")[-1][:40])
        assert containers(bundle) == [], (seed, i, said)
    assert 0 < worked < 100 and len(kinds) > 10
    assert host_mounts(bundle.path) == mounts and socket.gethostname() == name
    assert cgroups_named(word) == []
