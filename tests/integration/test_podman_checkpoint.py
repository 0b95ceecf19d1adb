# SPDX-License-Identifier: Apache-2.0
"""podman container checkpoint and restore, with hull as the runtime."""
import json
import pathlib
import re

from bundles import pytestmark  # noqa: F401
from checkpoints import needs_criu
import enginekit
from enginekit import cgroups_of, count_goes_on, nothing_left, podman  # noqa: F401

pytestmark = [*pytestmark, needs_criu]  # noqa: F811

COUNT = f"echo up; {enginekit.COUNT}"


def goes_on(podman, name):  # noqa: F811
    return count_goes_on(lambda: podman("exec", name, "cat", "/count", check=False))


def pid(podman, name):
    return podman.inspect(name, ".State.Pid")


def test_checkpoint_and_restore(podman):
    container = podman("run", "-d", "--name", "c", "--network", "none", "--memory", "100m", "busy", "sh", "-c", COUNT).strip()
    at = goes_on(podman, "c")
    podman("container", "checkpoint", "--file-locks", "--tcp-established", "c")
    assert podman.inspect("c", ".State.Status") == "exited" and podman.inspect("c", ".State.Checkpointed") == "true"
    podman("container", "restore", "--file-locks", "--tcp-established", "c")
    assert podman.inspect("c", ".State.Status") == "running"
    assert goes_on(podman, "c") >= at
    lines = podman("logs", "c").split("\n")
    assert lines[0] == "up" and lines.count("up") == 1
    numbers = [int(line.split()[1]) for line in lines[1:-1]]
    assert numbers == list(range(1, len(numbers) + 1)), "its output goes to podman's log again, and no line is lost"
    podman("kill", "c")
    assert podman("wait", "c").strip() == "137"
    podman("rm", "c")
    assert not cgroups_of(container)


def test_leave_running_and_a_copy_from_an_archive(podman):
    podman("run", "-d", "--name", "c", "--network", "none", "busy", "sh", "-c", COUNT)
    goes_on(podman, "c")
    archive = podman.dir / "archive.tar.gz"
    podman("container", "checkpoint", "--leave-running", "--export", archive, "c")
    at = goes_on(podman, "c")
    podman("container", "restore", "--import", archive, "--name", "copy")
    assert 0 < goes_on(podman, "copy") and goes_on(podman, "c") > at
    assert pid(podman, "c") != pid(podman, "copy")


def test_a_terminal(podman):
    podman("run", "-dt", "--name", "c", "--network", "none", "busy", "sh", "-c", COUNT)
    goes_on(podman, "c")
    podman("container", "checkpoint", "c")
    before = podman("logs", "c").count("line")
    podman("container", "restore", "c")
    goes_on(podman, "c")
    assert podman("exec", "c", "readlink", "/proc/1/fd/1").startswith("/dev/pts/")
    assert podman("logs", "c").count("line") > before


def test_options_of_the_container_hold_after_a_restore(podman):
    # criu reads the limits of other users' processes by CAP_SYS_RESOURCE (24), which not every machine has.
    bounding = int(re.search(r"CapBnd:\s+(\w+)", pathlib.Path("/proc/self/status").read_text())[1], 16)
    user = "12:34" if bounding & 1 << 24 else "0:0"
    podman("run", "-d", "--name", "c", "--network", "none", "--read-only", "--tmpfs", "/count.d", "--cap-drop", "all",
           "--pids-limit", "50", "-u", user, "--security-opt", "no-new-privileges", "busy", "sh", "-c",
           COUNT.replace("/count", "/count.d/n"))
    script = "id -u; id -g; touch /x 2>&1; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/1/status; cat /proc/1/cgroup"
    before = podman("exec", "c", "sh", "-c", script)
    assert "Read-only" in before
    podman("container", "checkpoint", "c")
    podman("container", "restore", "c")
    assert podman("exec", "c", "sh", "-c", script) == before


def test_a_pod_whose_namespaces_are_joined_again(podman):
    """The container is restored into another pod: into its ipc, net and uts namespaces."""
    pods = {}
    for name in ("one", "two"):
        pods[name] = podman("pod", "create", "--name", name, "--share", "ipc,net,uts", "--hostname", name, "--infra-image", "pause",
                            "--network", "none").strip()
    podman("pod", "start", "two")
    podman("run", "-d", "--pod", "one", "--name", "c", "busy", "sh", "-c", COUNT)
    goes_on(podman, "c")
    archive = podman.dir / "pod.tar.gz"
    podman("container", "checkpoint", "--export", archive, "c")
    podman("rm", "c")
    podman("container", "restore", "--import", archive, "--pod", pods["two"], "--name", "c")
    goes_on(podman, "c")
    infra = json.loads(podman("pod", "inspect", "two"))["InfraContainerID"]
    spaces = [podman.place.run("readlink", *(f"/proc/{pid(podman, c)}/ns/{n}" for n in ("ipc", "net", "uts"))).stdout
              for c in ("c", infra)]
    assert spaces[0] == spaces[1] and len(spaces[0].split()) == 3
    assert podman("exec", "c", "hostname") == "two\n"


