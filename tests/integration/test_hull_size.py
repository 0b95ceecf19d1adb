# SPDX-License-Identifier: Apache-2.0
"""What the `hull` command needs: memory of commands and of a waiting init, a container with next to no memory, and
what it keeps so as not to compute it twice. Times are not looked at here (tests/bench)."""
import os
import pathlib
import re
import subprocess

import pytest

from bundles import BUILD, HULL, bundle, pytestmark  # noqa: F401  pylint: disable=unused-import

TOOLS = BUILD / "tests/bench"
SANITIZED = b"__asan_init" in HULL.read_bytes() if HULL.exists() else False
plain_build = pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory does not count")
PEAK_KIB, WAITING_KIB, LIMIT_BYTES = 2048, 300, 512 * 1024


@pytest.fixture(autouse=True)
def own_cgroup(request):
    """Ids are the cgroups' names, and there may be other tests on the machine."""
    if "bundle" in request.fixturenames:
        b = request.getfixturevalue("bundle")
        b.edit(lambda c: c["linux"].update(cgroupsPath=f"/hull-size-{os.getpid()}"))


def private_kib(pid):
    """Anonymous memory. The pages of the program are the page cache's, which of them are counted as private depends on
    who else looks at them just now."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Anonymous:\s+(\d+)", text, re.M).group(1))


def peak_kib(*argv):
    """By a small program: the peak of a process begins with that of whoever forked it."""
    read, write = os.pipe()
    pid = os.posix_spawn(TOOLS / "launch", ["launch", *map(str, argv)], os.environ, file_actions=[
        (os.POSIX_SPAWN_DUP2, write, 3), (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    os.close(write)
    with os.fdopen(read) as answer:
        fields = answer.read().split()
    os.waitpid(pid, 0)
    assert fields[4] == "0", f"{argv}: answered {fields}"
    return int(fields[3])


def static_program(b, name):
    program = b.rootfs / "bin" / f"static-{name}"
    program.write_bytes((TOOLS / name).read_bytes())
    program.chmod(0o755)
    return f"/bin/static-{name}"


@plain_build
def test_it_needs_no_dynamic_loader():
    """PT_INTERP (type 3) would name one."""
    data = HULL.read_bytes()
    offset, size, count = (int.from_bytes(data[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    types = [int.from_bytes(data[offset + i * size:offset + i * size + 4], "little") for i in range(count)]
    assert 1 in types and 3 not in types


@plain_build
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the entry point is of x86-64")
def test_it_is_sealed_before_the_c_library_starts(bundle):  # noqa: F811
    """Executed twice for a command that enters containers, and the C library's first call (brk) comes once."""
    trace = bundle.path / "trace"
    for command, starts in (("exec", 2), ("state", 1)):
        subprocess.run(["strace", "-qq", "-o", trace, "-e", "trace=execve,execveat,brk,arch_prctl", HULL, "--root",
                        bundle.root, command, "nobody", *(["true"] if command == "exec" else [])],
                       capture_output=True, check=False)
        calls = trace.read_text().splitlines()
        assert sum(c.startswith("exec") for c in calls) == starts, calls
        assert sum(c.startswith("arch_prctl(ARCH_SET_FS") for c in calls) == 1, calls


@plain_build
@pytest.mark.skipif(os.uname().machine != "x86_64" or os.confstr("CS_GNU_LIBC_VERSION") != "glibc 2.36",
                    reason="glibc's own start is used")
@pytest.mark.parametrize("program", ["hull/hull", "pod/hull-pod"])
def test_the_c_library_starts_without_asking_the_processor(program):
    """Seventy cpuid instructions are most of the time of a command in a virtual machine (sys/glibc_start.c)."""
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", BUILD / "src" / program], capture_output=True,
                          text=True, check=True).stdout
    assert "main>:" in code and not re.search(r"\tcpuid", code)


@plain_build
def test_no_command_needs_two_megabytes(bundle):  # noqa: F811
    bundle.args(static_program(bundle, "pause"))
    hull = [HULL, "--root", bundle.root]
    bundle.ids.append("c")
    peaks = {"create": peak_kib(*hull, "create", "--bundle", bundle.path, "c")}
    for command in ("state", "start", "list"):
        peaks[command] = peak_kib(*hull, command, *(["c"] if command != "list" else []))
    peaks["exec"] = peak_kib(*hull, "exec", "c", static_program(bundle, "true"))
    peaks["kill"] = peak_kib(*hull, "kill", "c", "KILL")
    bundle.wait_for("c", "stopped")
    peaks["delete"] = peak_kib(*hull, "delete", "c")
    bundle.args(static_program(bundle, "true"))
    peaks["run"] = peak_kib(*hull, "run", "--bundle", bundle.path, "r")
    assert all(p <= PEAK_KIB for p in peaks.values()), peaks


@plain_build
def test_a_waiting_init_is_small(bundle):  # noqa: F811
    bundle.args(static_program(bundle, "true"))
    for name in ("a", "b"):
        bundle.edit(lambda c, n=name: c["linux"].update(cgroupsPath=f"/hull-size-{os.getpid()}-{n}"))
        bundle.create(name)
    sizes = [private_kib(bundle.state(name)["pid"]) for name in ("a", "b")]
    assert max(sizes) <= WAITING_KIB, sizes


@plain_build
def test_a_container_of_512_kib(bundle):  # noqa: F811
    """The init's own pages are charged to the container before its program is there."""
    def limit(config):
        config["linux"]["resources"]["memory"] = {"limit": LIMIT_BYTES}
        config["process"]["args"] = [static_program(bundle, "true")]
    bundle.edit(limit)
    for _ in range(3):
        bundle.hull("run", "small")
    # Not by chance: this program takes more, and it or its child is killed.
    bundle.sh("x=$(head -c 2000000 /dev/zero | tr '\\0' x); echo ${#x}")
    assert bundle.hull("run", "big", check=False).stdout != "2000000\n"


def refuse_kexec(config):
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["kexec_load", "umount2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}


def test_a_seccomp_profile_is_compiled_once(bundle):  # noqa: F811
    bundle.edit(refuse_kexec)
    bundle.sh("grep Seccomp: /proc/self/status")
    cache = bundle.root / ":seccomp"
    seen = []
    for _ in range(2):
        assert bundle.hull("run", "c").stdout.split() == ["Seccomp:", "2"]
        (filter_file,) = cache.iterdir()
        seen.append((filter_file.name, filter_file.stat().st_ino, filter_file.stat().st_mtime_ns))
    assert seen[0] == seen[1]
    assert cache.stat().st_mode & 0o777 == 0o700 and filter_file.stat().st_mode & 0o777 == 0o600
    assert bundle.hull("list", "-q").stdout == ""


def test_a_filter_that_others_could_write_is_not_used(bundle):  # noqa: F811
    """Neither from a directory nor from a file; nor one that is damaged."""
    bundle.edit(refuse_kexec)
    bundle.sh("grep Seccomp: /proc/self/status")
    bundle.hull("run", "c")
    cache = bundle.root / ":seccomp"
    (filter_file,) = cache.iterdir()
    good = filter_file.read_bytes()
    bad = good[:-8] + b"\x06\x00\x00\x00\x00\x00\xff\x7f"  # allow everything
    filter_file.write_bytes(bad)
    bundle.hull("run", "c")
    assert filter_file.read_bytes() == good
    filter_file.chmod(0o666)
    inode = filter_file.stat().st_ino
    bundle.hull("run", "c")
    assert filter_file.stat().st_ino != inode and filter_file.stat().st_mode & 0o777 == 0o600
    cache.chmod(0o777)
    filter_file.unlink()
    assert bundle.hull("run", "c").stdout.split() == ["Seccomp:", "2"]
    assert not list(cache.iterdir())
