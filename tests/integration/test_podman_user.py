# SPDX-License-Identifier: Apache-2.0
"""podman with hull as its runtime, by an ordinary user: subordinate ids by newuidmap, a network by slirp4netns, no
cgroups where the machine's are of version 1."""
import json
import os
import shutil

import pytest

from bundles import CHECKOUT, pytestmark, wait_until  # noqa: F401
from enginekit import CGROUPS, FIRST, GID, GROUP, UID, Podman, nothing_left  # noqa: F401
from terminals import Terminal


@pytest.fixture(scope="module")
def podman():
    p = Podman(as_user=True)
    yield p
    p.close()


def test_podman_is_the_users(podman):
    about = json.loads(podman("info", "--format", "json"))["host"]
    assert about["security"]["rootless"] and about["ociRuntime"]["name"] == "hull"


def test_run(podman):
    done = podman.done("run", "--rm", "-i", "--network", "none", "busy", "sh", "-c",
                       "id -u; cat /proc/self/uid_map; cat; echo err >&2; exit 7", stdin=None, input="in\n")
    assert [line.split() for line in done.stdout.splitlines()] == [["0"], ["0", str(UID), "1"],
                                                                   ["1", str(FIRST), "65536"], ["in"]]
    assert (done.stderr, done.returncode) == ("err\n", 7)


@pytest.mark.parametrize("program, status", [("/none", 127), ("/etc/passwd", 126)])
def test_a_program_that_cannot_be_run(podman, program, status):
    assert podman.done("run", "--rm", "--network", "none", "busy", program).returncode == status
    assert podman("ps", "-aq") == ""


def test_keep_id(podman):
    (podman.place.home / "volume").mkdir(exist_ok=True)
    os.chown(podman.place.home / "volume", UID, GID)
    out = podman.box("--userns=keep-id", "-v", f"{podman.place.home}/volume:/v", "busy", "sh", "-c",
                     "id -u; id -g; touch /v/x; stat -c %u:%g /v/x")
    assert out.split() == [str(UID), str(GID), f"{UID}:{GID}"]
    made = (podman.place.home / "volume/x").stat()
    assert (made.st_uid, made.st_gid) == (UID, GID)


def test_userns_auto(podman):
    out = podman.box("--userns=auto:size=1000", "busy", "cat", "/proc/self/uid_map")
    assert out.split()[0] == "0" and out.split()[2] == "1000"


def test_options_of_a_process(podman):
    out = podman.box("-u", "12:34", "-w", "/tmp", "-e", "A=b", "-h", "name", "--tmpfs", "/t", "--read-only", "busy", "sh",
                     "-c", "id -u; id -g; pwd; echo $A; hostname; touch /t/x && ls /t; grep Seccomp: /proc/self/status")
    assert out.split() == ["12", "34", "/tmp", "b", "name", "x", "Seccomp:", "2"]


def test_the_users_own_groups_are_kept(podman, tmp_path):
    """No map has the group, so inside it is nobody's, and opens all the same what it opens outside."""
    tmp_path.chmod(0o755)
    for directory in list(tmp_path.parents)[:2]:
        directory.chmod(0o755)
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").write_text("opened")
    os.chown(shared, 0, GROUP)
    shared.chmod(0o750)
    assert podman.box("--group-add", "keep-groups", "-v", f"{shared}:/shared", "busy", "cat", "/shared/file") == "opened"
    assert podman.box("-v", f"{shared}:/shared", "busy", "sh", "-c", "cat /shared/file || echo closed") == "closed\n"


def test_the_network_of_slirp4netns(podman):
    out = podman("run", "--rm", "--network", "slirp4netns", "busy", "ip", "-4", "address", "show", "tap0")
    assert "inet 10.0.2.100/24" in out


def test_the_hosts_network_and_its_sysfs(podman):
    """The network namespace is not the user namespace's own, so sysfs is a bind of the host's."""
    assert "lo:" in podman.box("busy", "sh", "-c", "ip link; ls /sys/class/net >/dev/null", network="host")


def test_the_life_of_a_detached_container(podman):
    script = "trap 'echo got USR1' USR1; trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done"
    podman("run", "-d", "--name", "c", "--network", "none", "busy", "sh", "-c", script)
    wait_until(lambda: "up" in podman("logs", "c"))
    assert "sh -c" in podman("top", "c", "args")
    assert podman("exec", "-u", "3", "-w", "/tmp", "-e", "A=b", "c", "sh", "-c", "id -u; pwd; echo $A").split() == [
        "3", "/tmp", "b"]
    assert podman.done("exec", "c", "sh", "-c", "exit 9").returncode == 9
    if (CGROUPS / "cgroup.controllers").exists():
        podman("pause", "c")
        podman("unpause", "c")
    else:
        assert "cgroup" in podman.done("pause", "c").stderr  # podman itself says so
    podman("kill", "-s", "USR1", "c")
    wait_until(lambda: "got USR1" in podman("logs", "c"))
    podman("stop", "-t", "30", "c")
    assert podman.inspect("c", ".State.ExitCode") == "4"
    podman("start", "c")
    podman("rm", "-f", "-t", "0", "c")
    assert podman("ps", "-aq") == ""


def test_run_it_and_exec_it(podman):
    t = Terminal(22, 66)
    t.run(podman.argv("run", "-it", "--rm", "--name", "c", "--network", "none", "-u", "5", "busy", "sh", "-c",
                      "echo ready; tty; stat -c %u $(tty); head -n1; exit 5"), "/")
    t.until("ready")
    second = Terminal(33, 99)
    second.run(podman.argv("exec", "-it", "c", "sh", "-c", "until stty size | grep 33; do sleep 0.02; done; exit 6"), "/")
    shown, status = second.end()
    assert status == 6 and "33 99" in shown
    second.close()
    t.type("typed\r")
    shown, status = t.end()
    assert status == 5 and shown.replace("\r", "").split("\n")[1:] == ["/dev/pts/0", "5", "typed", "typed", ""]
    t.close()


def test_pods(podman):
    podman("pod", "create", "--name", "p", "--infra-image", "localhost/pause", "--network", "none", "--share",
           "pid,ipc,net,uts")
    podman("run", "-d", "--pod", "p", "--name", "c", "busy", "sleep", "1000")
    assert podman("exec", "c", "hostname").strip() == "p"
    assert "/bin/sleep 100000" in podman("exec", "c", "ps", "-o", "args")
    podman("pod", "stop", "-t", "0", "p")
    podman("pod", "start", "p")
    podman("pod", "rm", "-f", "-t", "0", "p")
    assert podman("ps", "-aq") == ""


@pytest.mark.parametrize("as_user", [False, True])
def test_by_hand(podman, as_user):
    """The README's commands, in a directory with image.tar."""
    text = (CHECKOUT / "README.md").read_text().split("By hand:\n\n", 1)[1].split("\n\n", 1)[0]
    commands = [line.split("#")[0].strip() for line in text.splitlines()]
    assert [c.split()[:2] for c in commands] == [["mkdir", "-p"], ["hull", "spec"], ["hull", "run"], ["hull", "features"]]
    if as_user:
        commands[1] += " --rootless"
    directory = podman.place.home / f"by-hand-{as_user}"
    directory.mkdir()
    os.chown(directory, *((UID, GID) if as_user else (0, 0)))
    shutil.copy(podman.dir / "image.tar", directory)
    for command in commands[:2]:
        podman.place.run("sh", "-ec", f"cd {directory}; {command}", as_user=as_user)
    t = Terminal()
    t.run(podman.place.command("sh", "-ec", f"cd {directory}; exec {commands[2]}", as_user=as_user), "/")
    t.until("# ")
    t.type("id -u; exit 3\r")
    shown, status = t.end()
    assert status == 3 and "\n0\r" in shown and t.is_as_before()
    t.close()
    features = json.loads(podman.place.run(*commands[3].split(), as_user=as_user).stdout)
    assert features["ociVersionMax"].startswith("1.")


@pytest.mark.parametrize("isolation", ["oci", "rootless"])
def test_builds(podman, isolation):
    context = podman.place.home / f"context-{isolation}"
    context.mkdir(exist_ok=True)
    (context / "Containerfile").write_text("FROM localhost/busy\nRUN echo made >/made && id -u\nUSER 7\nRUN id -u\n")
    done = podman.done("build", "--no-cache", "--isolation", isolation, "--network", "none", "-t", "built", context)
    assert done.returncode == 0, done.stderr
    assert "\n7\n" in done.stdout and podman.box("built", "cat", "/made") == "made\n"
    done = podman.done("bud", "--no-cache", "--isolation", isolation, "--runtime", podman.place.hull, "--network", "host",
                       context, program="buildah")
    assert done.returncode == 0 and "\n7\n" in done.stdout, done.stderr
