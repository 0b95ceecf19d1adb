# SPDX-License-Identifier: Apache-2.0
"""Attacks on the `hull` command by what an image contains and what a config.json says: identities, hostile root file
systems, nonsense. Those on mounts, on hull's program and on what is shared with the host have files of their own.
docs/security.md has the table."""
import glob
import json
import os
import random
import socket
import stat
import subprocess
import time

import pytest

from attackkit import climb, containers
from bundles import HULL, bundle, host_mounts, pytestmark  # noqa: F401 pylint: disable=unused-import
from mountkit import fails, output, own_cgroup  # noqa: F401


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
