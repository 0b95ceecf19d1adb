# SPDX-License-Identifier: Apache-2.0
"""Attacks on hull's own program and on what it has open, performed from a container. docs/security.md has the table."""
import os
import pathlib
import socket
import subprocess
import shutil

import pytest

from attackkit import another_cgroup, attempts, capabilities, climb, digest, quietly, swapping, victim, with_adversary  # noqa: F401
from bundles import HULL, bundle, pytestmark, wait_until  # noqa: F401 pylint: disable=unused-import
from mountkit import output, own_cgroup, user_namespace  # noqa: F401


# ---- the runtime's own program (CVE-2019-5736) ---------------------------------------------------------------


needs_static = pytest.mark.skipif(HULL.exists() and b"libasan.so" in HULL.read_bytes(),
                                  reason="with a sanitizer hull is not static and finds no libraries in there")


def held_and_overwritten(bundle, *program):
    """All of the attack on what `program`, run in the container, executes: it is held open until no process executes
    it, which hull delays by waiting for somebody to read its log, and then written to. Returns what the attacker saw."""
    quietly(bundle, "exec", "-d", "--pid-file", bundle.path / "pid", "c1", *program)
    outside = (bundle.path / "pid").read_text()
    status = pathlib.Path(f"/proc/{outside}/status").read_text()
    inside = next(line for line in status.splitlines() if line.startswith("NSpid")).split()[-1]
    assert "busybox" not in os.readlink(f"/proc/{outside}/exe")
    log = bundle.path / "overwrite"
    # Detached: while any hull runs, the kernel says "Text file busy".
    with open(log, "wb") as f:
        subprocess.run([HULL, "--root", bundle.root, "exec", "-d", "c1", "/bin/adversary", "overwrite", inside, "/fifo"],
                       check=True, stdin=subprocess.DEVNULL, stdout=f, timeout=60)
    wait_until(lambda: "WRITE" in log.read_text() and log.read_text().endswith("\n"))
    return log.read_text()


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
    # /proc/self/exe of what enters is hull.
    said = held_and_overwritten(bundle, "/proc/self/exe", "--log", "/fifo", "list")
    assert said == "HELD\nWRITE Read-only file system\n"
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


@needs_static
@pytest.mark.parametrize("in_user_ns", [False, True])
@pytest.mark.parametrize("interpreter", ["/proc/self/exe", "/link"])
def test_an_interpreter_held_open_cannot_be_written_once_it_has_ended(bundle, interpreter, in_user_ns):
    """CVE-2019-5736 by a script of the image, whose interpreter is whatever executes it: nobody has to ask for
    /proc/self/exe by name."""
    if in_user_ns:
        user_namespace(bundle)
    with_adversary(bundle)
    os.mkfifo(bundle.rootfs / "fifo")
    (bundle.rootfs / "fifo").chmod(0o666)
    (bundle.rootfs / "link").symlink_to("/proc/self/exe")
    script = bundle.rootfs / "bin/script"
    script.write_text(f"#!{interpreter} --log=/fifo\n")
    script.chmod(0o755)
    before = digest(HULL)
    bundle.args("sleep", "60")
    bundle.create("c1")
    bundle.hull("start", "c1")
    said = held_and_overwritten(bundle, "/bin/script")
    assert said == f"HELD\nWRITE {'Permission denied' if in_user_ns else 'Read-only file system'}\n"
    assert digest(HULL) == before


def with_interpreter(path, interpreter):
    """A dynamic program of the host with another PT_INTERP."""
    usual = b"/lib64/ld-linux-x86-64.so.2\0"
    program = pathlib.Path("/bin/true").read_bytes()
    if usual not in program:
        pytest.skip("/bin/true has another loader")
    path.write_bytes(program.replace(usual, interpreter.encode().ljust(len(usual), b"\0")))
    path.chmod(0o755)


@needs_static
@pytest.mark.parametrize("interpreter", ["/proc/self/exe", "/link", "/proc/1/exe"])
def test_a_program_whose_loader_is_the_runtime(bundle, interpreter):
    """The kernel maps what executes the program as its loader (PT_INTERP), which runs first and with the program's words.
    It does nothing for it, loads nothing for it, and its file stays as it is."""
    before = digest(HULL)
    (bundle.rootfs / "link").symlink_to("/proc/self/exe")
    with_interpreter(bundle.rootfs / "bin/program", interpreter)
    bundle.edit(lambda c: c["process"]["env"].extend(["LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/"]))
    for args in (["/bin/program"], ["/bin/program", "create", "x"], ["/bin/program", "--root", "/tmp/r", "run", "x"]):
        bundle.args(*args)
        done = bundle.hull("run", "c1", check=False)
        assert done.returncode != 0, done
    bundle.args("sleep", "60")
    bundle.create("c2")
    bundle.hull("start", "c2")
    assert bundle.hull("exec", "c2", "/bin/program", check=False).returncode != 0
    assert digest(HULL) == before
    assert bundle.status("c2") == "running"


@needs_static
@pytest.mark.parametrize("how", ["LD_PRELOAD", "LD_AUDIT", "ld.so.preload", "libseccomp.so.2"])
def test_code_of_the_image_does_not_run_within_the_runtime(bundle, how):
    """The other half of CVE-2019-5736: /proc/self/exe is run in the container, and a library of the image, loaded into
    it, has hull's program for its own /proc/self/exe."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    source = bundle.path / "evil.c"
    source.write_text("#include <fcntl.h>\n__attribute__((constructor)) static void run(void)\n"
                      "{ open(\"/tmp/loaded\", O_CREAT | O_WRONLY, 0666); }\n"
                      "unsigned la_version(unsigned v) { run(); return v; }\n")
    for directory in ("lib", "lib64", "usr/lib", "lib/x86_64-linux-gnu"):
        (bundle.rootfs / directory).mkdir(parents=True, exist_ok=True)
    name = how if how.startswith("lib") else "evil.so"
    library = bundle.rootfs / "lib/x86_64-linux-gnu" / name
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    for lib in ("ld-linux-x86-64.so.2", "libc.so.6"):
        for path in (pathlib.Path("/lib64") / lib, pathlib.Path("/lib/x86_64-linux-gnu") / lib):
            if path.exists():
                shutil.copy(path, bundle.rootfs / "lib64" / lib)
                shutil.copy(path, bundle.rootfs / "lib/x86_64-linux-gnu" / lib)
    inside = f"/lib/x86_64-linux-gnu/{name}"
    if how == "ld.so.preload":
        (bundle.rootfs / "etc/ld.so.preload").write_text(inside + "\n")
    elif how.startswith("LD_"):
        bundle.edit(lambda c: c["process"]["env"].append(f"{how}={inside}"))
    (bundle.rootfs / "tmp").chmod(0o777)
    # The library is good: a program that loads libraries runs it.
    shutil.copy("/bin/true", bundle.rootfs / "bin/dynamic")
    if not how.startswith("lib"):
        bundle.args("/bin/dynamic")
        bundle.hull("run", "c1", check=False)
        assert (bundle.rootfs / "tmp/loaded").exists()
        (bundle.rootfs / "tmp/loaded").unlink()
    for args in (["/proc/self/exe", "--version"], ["/proc/self/exe", "--root", "/tmp/r", "create", "x"]):
        bundle.args(*args)
        bundle.hull("run", "c1", check=False)
    assert not (bundle.rootfs / "tmp/loaded").exists()


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


@pytest.mark.skipif(socket.gethostname() != "hull-vm", reason="it is the whole machine's setting: in the guest")
def test_a_kernel_that_makes_changed_ids_dumpable_gives_nothing_away(bundle):
    """fs.suid_dumpable of 1 lets others of the new user look into a process that has changed its ids: an exec that has
    become the container's user, and holds what is not the container's until its execve(2)."""
    with_adversary(bundle)
    setting = pathlib.Path("/proc/sys/fs/suid_dumpable")
    bundle.edit(lambda c: c["process"].update(user={"uid": 1000, "gid": 1000}))
    bundle.edit(lambda c: c["process"]["capabilities"].update({kind: [] for kind in c["process"]["capabilities"]}))
    bundle.args("/bin/adversary", "watch")
    bundle.create("c1")
    bundle.hull("start", "c1")
    bundle.wait_for_log("c1", "WATCHING")
    before = setting.read_text()
    setting.write_text("1")
    try:
        for _ in range(25):
            bundle.hull("exec", "c1", "true")
    finally:
        setting.write_text(before)
    bundle.hull("delete", "--force", "c1")
    text = bundle.log("c1")
    assert "MET" in text and "REACHED" not in text, text


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
