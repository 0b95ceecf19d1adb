# SPDX-License-Identifier: Apache-2.0
"""Attacks by way of what a container has in common with the host or with others, performed: the host's null device,
keyrings, the host's proc under a root without pivot_root, a state directory that others could write."""
import ctypes
import json
import os
import pathlib
import stat
import subprocess
import time

import pytest

from attackkit import capabilities
from bundles import HULL, bundle, pytestmark  # noqa: F401 pylint: disable=unused-import
from mountkit import own_cgroup, user_namespace  # noqa: F401

SYS_ADD_KEY, SYS_KEYCTL = 248, 250
KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SETPERM = 1, 5


def applets(bundle, *names):
    for name in names:
        (bundle.rootfs / "bin" / name).symlink_to("busybox")


# ---- the host's devices --------------------------------------------------------------------------------------


def test_the_hosts_null_device_keeps_its_mode_behind_a_mask(bundle):
    """A masked file shows the host's own node: root of a container without a user namespace would be its owner."""
    before = os.stat("/dev/null")
    (bundle.rootfs / "etc/secret").write_text("secret")
    applets(bundle, "chmod", "chown")
    capabilities(bundle, "CAP_FOWNER", "CAP_CHOWN", "CAP_DAC_OVERRIDE")
    bundle.edit(lambda c: c["linux"].update(maskedPaths=["/etc/secret", "/proc/timer_list"]))
    bundle.sh("for f in /etc/secret /proc/timer_list; do chmod 0600 $f; chown 7:7 $f; touch -d '2001-01-01 00:00' $f;"
              "echo ignored > $f; cat $f; echo read $?; done 2>&1")
    try:
        text = bundle.hull("run", "c1").stdout
        after = os.stat("/dev/null")
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid), text
        assert after.st_mtime == before.st_mtime
    finally:
        os.chmod("/dev/null", stat.S_IMODE(before.st_mode))
        os.chown("/dev/null", before.st_uid, before.st_gid)
        os.utime("/dev/null", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert text.count("Read-only file system") == 6 and text.count("read 0") == 2 and "secret\n" not in text, text


# ---- keyrings ------------------------------------------------------------------------------------------------


@pytest.fixture
def planted(bundle):  # noqa: F811
    """The attacker's keyring, named as a container that is yet to come, open to all, with a key in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        keyring = libc.syscall(SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, b"victim", 0, 0, 0)
        libc.syscall(SYS_ADD_KEY, b"user", b"planted", b"secret", 6, keyring)
        opened = libc.syscall(SYS_KEYCTL, KEYCTL_SETPERM, keyring, 0x3F3F3F3F, 0, 0)
        os.write(told, b"y" if keyring > 0 and opened == 0 else b"n")
        time.sleep(60)
        os._exit(0)
    os.close(told)
    said = os.read(ready, 1)
    yield said
    os.close(ready)
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_a_keyring_that_waits_under_a_containers_name_is_not_joined(bundle, planted):
    if planted != b"y":
        pytest.skip("this kernel has no keyrings")
    bundle.edit(lambda c: c["linux"].update(maskedPaths=[]))
    bundle.args("sleep", "60")
    bundle.create("victim")
    bundle.hull("start", "victim")

    def users():
        lines = pathlib.Path("/proc/keys").read_text().splitlines()
        return [int(line.split()[2]) for line in lines if " keyring " in line and " victim: " in line]

    assert users() == [1], "the attacker's process alone"
    assert "_ses" in bundle.hull("exec", "victim", "cat", "/proc/keys").stdout


# ---- without pivot_root --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--no-pivot"]])
@pytest.mark.parametrize("has_hooks", [False, True])
@pytest.mark.parametrize("in_user_ns", [False, True])
def test_a_proc_of_ones_own_does_not_show_what_is_masked(bundle, options, has_hooks, in_user_ns):
    """In a user namespace that an ordinary user of the container makes, the kernel gives out a new proc or sysfs only
    where one can be seen whole; the host's, in the tree that a root without pivot_root leaves below itself, are."""
    if in_user_ns:
        user_namespace(bundle)
    bundle.edit(lambda c: c["linux"].update(maskedPaths=["/proc/timer_list", "/proc/keys", "/sys/firmware"]))
    bundle.edit(lambda c: c["process"].update(user={"uid": 1000, "gid": 1000}))
    if has_hooks:
        bundle.edit(lambda c: c.update(hooks={"createContainer": [{"path": "/bin/true"}]}))
    applets(bundle, "unshare", "mkdir")
    (bundle.rootfs / "tmp").chmod(0o777)
    bundle.sh("unshare -U -m -n -p -f -r sh -c 'mkdir /tmp/p /tmp/s; echo unshared;"
              " mount -t proc proc /tmp/p; mount -t sysfs sysfs /tmp/s; ls /tmp/p /tmp/s; cat /tmp/p/keys'")
    done = bundle.hull("run", *options, "c1", check=False)
    if "unshared" not in done.stdout:
        pytest.skip(f"no user namespaces in there: {done.stderr}")
    assert "keyring" not in done.stdout and "timer_list" not in done.stdout and "kernel" not in done.stdout, done.stdout
    # What the container has was not taken with it.
    bundle.sh("cat /proc/self/comm; ls /sys")
    done = bundle.hull("run", *options, "c1")
    assert done.stdout.startswith("cat\n") and "kernel" in done.stdout


# ---- state that others could write ---------------------------------------------------------------------------


def run_all(bundle, name):
    for args in (["state", name], ["kill", name, "KILL"], ["start", name], ["exec", name, "true"], ["pause", name],
                 ["delete", name], ["delete", "--force", name], ["update", "--pids-limit", "9", name], ["ps", name]):
        yield args, bundle.hull(*args, check=False)


@pytest.mark.parametrize("how", ["owner", "group", "others"])
def test_state_that_others_could_have_written_is_not_believed(bundle, how):
    """It says which process to kill, which cgroup to remove and which hooks to run: as whoever calls hull."""
    pwned = bundle.path / "pwned"
    bundle.args("sleep", "60")
    bundle.create("c1")
    directory = bundle.root / "c1"
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            config = json.loads((directory / "config.json").read_text())
            config["hooks"] = {kind: [{"path": "/bin/touch", "args": ["touch", str(pwned)]}] for kind in ("poststart", "poststop")}
            (directory / "config.json").write_text(json.dumps(config))
            good = (directory / "state.json").read_text()
            started = int(pathlib.Path(f"/proc/{bystander.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
            (directory / "state.json").write_text(json.dumps({**json.loads(good), "lateHooks": True, "pid": bystander.pid,
                                                              "startTime": started}))
            if how == "owner":
                os.chown(directory, 12345, 12345)
            else:
                directory.chmod(0o770 if how == "group" else 0o702)
            for args, done in run_all(bundle, "c1"):
                assert done.returncode != 0 and "belongs to uid" in done.stderr and "c1" in done.stderr, (args, done)
            listed = bundle.hull("list", "-q", check=False)
            assert listed.stdout == "" and "belongs to uid" in listed.stderr
            assert bystander.poll() is None and not pwned.exists()
        finally:
            bystander.kill()
            os.chown(directory, 0, 0)
            directory.chmod(0o700)
            (directory / "state.json").write_text(good)
    bundle.hull("delete", "--force", "c1")


def test_a_state_directory_that_is_swapped_while_it_is_made(bundle):
    """Whose --root it is can put a directory of his own in place of ours: nothing is written there."""
    bundle.args("true")
    bundle.root.mkdir()
    os.chown(bundle.root, 12345, 12345)
    own = bundle.path / "own"
    own.mkdir()
    os.chown(own, 12345, 12345)
    code = ("import os,sys\n"
            "os.setgid(12345); os.setuid(12345)\n"
            "while True:\n"
            "    try:\n"
            "        os.rename(sys.argv[1] + '/c1', sys.argv[1] + '/away'); os.symlink(sys.argv[2], sys.argv[1] + '/c1')\n"
            "        os.unlink(sys.argv[1] + '/c1'); os.mkdir(sys.argv[1] + '/c1', 0o755)\n"
            "        os.rename(sys.argv[1] + '/c1', sys.argv[1] + '/theirs')\n"
            "    except OSError:\n"
            "        pass\n")
    with subprocess.Popen(["/usr/bin/python3", "-c", code, str(bundle.root), str(own)]) as attacker:
        try:
            for _ in range(20):
                done = subprocess.run([HULL, "--root", bundle.root, "run", "c1"], cwd=bundle.path, stdin=subprocess.DEVNULL,
                                      capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode in (0, 1)
                assert os.listdir(own) == []
                for name in ("theirs", "c1"):
                    path = bundle.root / name
                    if path.is_dir() and path.stat().st_uid == 12345:
                        assert not any((path / f).exists() for f in ("config.json", "state.json", "creating.json"))
                subprocess.run(["rm", "-rf", bundle.root / "away", bundle.root / "theirs", bundle.root / "c1"], check=True)
        finally:
            attacker.kill()
    subprocess.run(["rm", "-rf", bundle.root], check=True)


@pytest.mark.parametrize("annotations", [{"big": "\u0001" * 300000}, {f"a{i}": "x" * 90 for i in range(15000)}])
def test_a_container_with_large_annotations_can_be_managed(bundle, annotations):
    """A record that could be written and not be read again would be a container out of reach."""
    bundle.edit(lambda c: c.update(annotations=annotations))
    bundle.args("sleep", "60")
    bundle.create("c1")
    assert bundle.state("c1")["annotations"] == annotations
    bundle.hull("start", "c1")
    bundle.hull("kill", "c1", "KILL")
    bundle.wait_for("c1", "stopped")
    bundle.hull("delete", "c1")


# ---- cgroups -----------------------------------------------------------------------------------------------------


def test_what_a_container_froze_itself_is_killed_all_the_same(bundle):
    """A v1 freezer keeps even a killed process, and thawing a cgroup leaves frozen what was frozen below it."""
    if not os.path.exists("/sys/fs/cgroup/freezer/cgroup.procs"):
        pytest.skip("no v1 freezer")
    bundle.edit(lambda c: next(m for m in c["mounts"] if m["destination"] == "/sys/fs/cgroup").update(
        options=["nosuid", "noexec", "nodev", "rw"]))
    applets(bundle, "mkdir")
    bundle.sh("f=/sys/fs/cgroup/freezer; mkdir -p $f/a/b && sleep 1000 & p=$!; sleep 0.1; echo $p > /sys/fs/cgroup/freezer/a/b/cgroup.procs"
              " && echo FROZEN > /sys/fs/cgroup/freezer/a/b/freezer.state && echo > /tmp/frozen; sleep 1000")
    bundle.create("c1")
    bundle.hull("start", "c1")
    bundle.wait_for_file("tmp/frozen")
    start = time.monotonic()
    bundle.hull("delete", "--force", "c1")
    assert time.monotonic() - start < 8
    assert not bundle.root.joinpath("c1").exists()
