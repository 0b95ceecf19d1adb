# SPDX-License-Identifier: Apache-2.0
"""podman with hull as its runtime, by root: what its users do, and what it and its monitor conmon rely on."""
import json
import re
import subprocess

import pytest

from bundles import pytestmark, wait_until  # noqa: F401
from enginekit import CGROUPS, cgroups_of, nothing_left, podman  # noqa: F401
from terminals import Terminal


# ---- run ---------------------------------------------------------------------------------------------------------


def test_the_two_lines_of_the_configuration_are_enough(podman):
    about = json.loads(podman("info", "--format", "json"))["host"]["ociRuntime"]
    assert about["name"] == "hull" and about["path"] == str(podman.place.hull) and "hull version" in about["version"]


def test_output_input_and_exit_status(podman):
    done = podman.done("run", "--rm", "-i", "--network", "none", "busy", "sh", "-c", "cat; echo err >&2; exit 7",
                       stdin=None, input="in\n")
    assert (done.stdout, done.stderr, done.returncode) == ("in\n", "err\n", 7)


@pytest.mark.parametrize("program, status", [("/none", 127), ("none", 127), ("/etc/passwd", 126)])
def test_a_program_that_cannot_be_run(podman, program, status):
    done = podman.done("run", "--rm", "--network", "none", "busy", program)
    assert done.returncode == status and program in done.stderr
    assert podman("ps", "-aq") == ""


def test_options_of_a_process(podman):
    script = "id -u; id -g; pwd; echo $A; hostname; ulimit -n; cat /proc/self/oom_score_adj; stat -c %t:%T /dev/fuse"
    out = podman.box("-u", "12:34", "-w", "/tmp", "-e", "A=b", "-h", "name", "--ulimit", "nofile=100:100",
                     "--oom-score-adj", "500", "--device", "/dev/fuse", "busy", "sh", "-c", script)
    assert out.split() == ["12", "34", "/tmp", "b", "name", "100", "500", "a:e5"]


def test_confinement(podman):
    fields = "Cap(Eff|Bnd)|NoNewPrivs|Seccomp:"
    status = podman.box("--cap-drop", "all", "--cap-add", "chown", "--security-opt", "no-new-privileges", "busy", "grep",
                        "-E", fields, "/proc/self/status")
    assert re.sub(r"\s+", " ", status) == ("CapEff: 0000000000000001 CapBnd: 0000000000000001 NoNewPrivs: 1 "
                                           "Seccomp: 2 ")
    done = podman.done("run", "--rm", "--network", "none", "--read-only", "busy", "touch", "/x")
    assert done.returncode == 1 and "Read-only" in done.stderr
    assert podman.done("run", "--rm", "--network", "none", "busy", "ls", "/proc/acpi").stdout == ""


def test_a_privileged_container_has_the_hosts_devices_and_its_own_terminals(podman):
    out = podman.box("--privileged", "busy", "sh", "-c", "ls -l /dev/ptmx; ls /dev | wc -l; echo 1 >/proc/sys/net/ipv4/ip_forward")
    link, count = out.splitlines()
    assert link.endswith("/dev/ptmx -> pts/ptmx") and int(count) > 30


def test_mounts(podman):
    (podman.dir / "volume").mkdir(exist_ok=True)
    out = podman.box("-v", f"{podman.dir}/volume:/v", "--tmpfs", "/t:size=1m", "--shm-size", "2m", "busy", "sh", "-c",
                     "echo x >/v/x; grep -E ' (/t|/dev/shm) ' /proc/mounts")
    assert (podman.dir / "volume/x").read_text() == "x\n" and "size=1024k" in out and "size=2048k" in out


def test_limits(podman):
    podman("run", "-d", "--name", "c", "--network", "none", "--memory", "50m", "--pids-limit", "20", "--cpus", "0.5", "busy",
           "sleep", "1000")
    path = podman.inspect("c", ".State.CgroupPath").lstrip("/")
    if not (CGROUPS / "memory").is_dir():
        pytest.skip("cgroup v2: the guest's tests look at limits")
    assert (CGROUPS / "memory" / path / "memory.limit_in_bytes").read_text() == f"{50 << 20}\n"
    assert (CGROUPS / "pids" / path / "pids.max").read_text() == "20\n"
    quota, period = ((CGROUPS / "cpu" / path / f"cpu.cfs_{x}_us").read_text() for x in ("quota", "period"))
    assert int(quota) * 2 == int(period)
    stats = json.loads(podman("stats", "--no-stream", "--format", "json", "c"))[0]
    assert stats["mem_usage"].endswith("/ 52.43MB") and stats["pids"] == "1"


# ---- life --------------------------------------------------------------------------------------------------------


def test_the_life_of_a_detached_container(podman):
    script = "trap 'echo got USR1' USR1; trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done"
    container = podman("run", "-d", "--name", "c", "--network", "none", "busy", "sh", "-c", script).strip()
    wait_until(lambda: "up" in podman("logs", "c"))
    assert "c" in podman("ps", "--format", "{{.Names}}").split()
    assert "sh -c" in podman("top", "c", "args")
    assert podman("exec", "-u", "3", "-w", "/tmp", "-e", "A=b", "c", "sh", "-c", "id -u; pwd; echo $A").split() == [
        "3", "/tmp", "b"]
    assert podman.done("exec", "c", "sh", "-c", "exit 9").returncode == 9
    assert podman.done("exec", "c", "/none").returncode == 127
    assert podman("exec", "-i", "c", "cat", stdin=None, input="x" * 100000) == "x" * 100000
    assert podman.done("exec", "-d", "c", "touch", "/tmp/by-exec").returncode == 0
    wait_until(lambda: podman.done("exec", "c", "ls", "/tmp/by-exec").returncode == 0)
    podman("pause", "c")
    assert podman.inspect("c", ".State.Status") == "paused"
    assert podman.done("exec", "c", "true").returncode != 0
    podman("unpause", "c")
    podman("kill", "-s", "USR1", "c")
    wait_until(lambda: "got USR1" in podman("logs", "c"))
    podman("stop", "-t", "30", "c")
    assert podman.inspect("c", ".State.ExitCode") == "4"
    assert podman("logs", "c").splitlines() == ["up", "got USR1", "bye"]
    podman("start", "c")
    assert podman.inspect("c", ".State.Running") == "true"
    podman("kill", "c")
    assert podman("wait", "c").strip() == "137"
    podman("rm", "c")
    assert not cgroups_of(container)


def test_rm_f_ends_what_runs_and_what_is_paused(podman):
    for name in ("a", "b"):
        podman("run", "-d", "--name", name, "--network", "none", "busy", "sleep", "1000")
    podman("pause", "b")
    podman("rm", "-f", "-t", "0", "a", "b")
    assert podman("ps", "-aq") == ""


def test_logs_are_complete_and_hold_nothing_else(podman):
    podman("run", "--name", "c", "--network", "none", "busy", "sh", "-c", "seq 1 5000; echo err >&2")
    done = podman.done("logs", "c")
    assert done.stdout.split() == [str(n) for n in range(1, 5001)] and done.stderr == "err\n"


def test_an_init_forwards_signals_and_reaps(podman):
    podman("run", "-d", "--init", "--name", "c", "--network", "none", "busy", "sh", "-c",
           "sh -c 'sleep 0.2 &'; trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done")
    wait_until(lambda: "up" in podman("logs", "c"))
    assert "podman-init" in podman("exec", "c", "ps", "-o", "pid,args").splitlines()[1]
    wait_until(lambda: "Z" not in podman("exec", "c", "ps", "-o", "stat"))
    podman("stop", "-t", "30", "c")
    assert podman.inspect("c", ".State.ExitCode") == "3"


def test_a_signal_that_ends_the_container_is_128_and_its_number(podman):
    podman("run", "-d", "--name", "c", "--network", "none", "--init", "busy", "sleep", "1000")
    wait_until(lambda: "\nsleep 1000" in podman("top", "c", "args"))  # the init heeds signals before it starts this
    podman("kill", "-s", "TERM", "c")
    assert podman("wait", "c").strip() == "143"


# ---- terminals -----------------------------------------------------------------------------------------------------


def test_run_it_and_exec_it(podman):
    t = Terminal(22, 66)
    t.run(podman.argv("run", "-it", "--rm", "--name", "c", "--network", "none", "busy", "sh", "-c",
                      "echo ready; tty; head -n1; exit 5"), "/")
    t.until("ready")
    second = Terminal(33, 99)
    second.run(podman.argv("exec", "-it", "c", "sh", "-c", "tty; until stty size | grep 33; do sleep 0.02; done; exit 6"),
               "/")
    shown, status = second.end()
    assert status == 6 and shown.replace("\r", "").split("\n")[0] == "/dev/pts/1" and "33 99" in shown
    second.close()
    t.type("typed\r")
    shown, status = t.end()
    assert status == 5 and shown.replace("\r", "").split("\n")[1:] == ["/dev/pts/0", "typed", "typed", ""]
    assert t.is_as_before()
    t.close()


def test_a_terminals_log_has_carriage_returns(podman):
    podman("run", "-t", "--name", "c", "--network", "none", "busy", "echo", "a")
    assert subprocess.run(podman.argv("logs", "c"), capture_output=True, check=True).stdout == b"a\r\n"


# ---- user namespaces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, uid_map", [
    (["--userns=auto"], r"0 8\d{5} \d+"),
    (["--userns=auto:size=2000"], r"0 8\d{5} 2000"),
    (["--uidmap", "0:700000:1000", "--gidmap", "0:700000:1000"], "0 700000 1000"),
])
def test_user_namespaces(podman, options, uid_map):
    out = podman.box(*options, "busy", "sh", "-c", "cat /proc/self/uid_map; touch /tmp/x && stat -c %u /tmp/x; echo >/dev/null")
    first, owner = out.splitlines()
    assert re.fullmatch(uid_map, " ".join(first.split())) and owner == "0"


def test_life_in_a_user_namespace(podman):
    podman("run", "-d", "--userns=auto", "--name", "c", "--network", "none", "busy", "sleep", "1000")
    assert podman("exec", "c", "sh", "-c", "id -u; cat /proc/1/uid_map").split()[:2] == ["0", "0"]
    assert podman("exec", "-t", "c", "stat", "-c", "%u", "/dev/pts/0").strip() == "0"
    podman("pause", "c")
    podman("unpause", "c")
    podman("stop", "-t", "0", "c")


# ---- pods, networks ----------------------------------------------------------------------------------------------------


def test_pods(podman):
    podman("pod", "create", "--name", "p", "--infra-image", "localhost/pause", "--network", "none", "--share",
           "pid,ipc,net,uts")
    podman("run", "-d", "--pod", "p", "--name", "c", "busy", "sleep", "1000")
    assert podman("exec", "c", "hostname").strip() == "p"
    assert "/bin/sleep 100000" in podman("exec", "c", "ps", "-o", "args")
    assert podman("pod", "inspect", "p", "--format", "{{.State}}").strip() == "Running"
    assert len(json.loads(podman("pod", "stats", "--no-stream", "--format", "json", "p"))) == 2
    podman("pod", "pause", "p")
    assert podman.inspect("c", ".State.Status") == "paused"
    podman("pod", "unpause", "p")
    podman("pod", "stop", "-t", "0", "p")
    podman("pod", "start", "p")
    assert podman.inspect("c", ".State.Running") == "true"
    podman("pod", "rm", "-f", "-t", "0", "p")
    assert podman("ps", "-aq") == ""


def test_cgroups_of_a_pod_go_with_its_last_container(podman):
    """In hierarchies that podman does not know (v2 beside v1, systemd's own) the parents are hull's."""
    before = set(CGROUPS.glob("*/libpod_parent"))
    pod = podman("pod", "create", "--name", "p", "--infra-image", "localhost/pause", "--network", "none").strip()
    podman("run", "-d", "--pod", "p", "--name", "a", "busy", "sleep", "1000")
    made = [d for d in cgroups_of(pod) if d.name == pod]
    first = podman("pod", "inspect", "p", "--format", "{{.InfraContainerID}}").strip()
    podman("kill", first)
    wait_until(lambda: not [d for pod in made for d in pod.glob(f"*{first}")])
    assert made and all(d.exists() for d in made)
    podman("pod", "rm", "-f", "-t", "0", "p")
    assert not cgroups_of(pod)
    hulls = {CGROUPS / name / "libpod_parent" for name in ("unified", "systemd")} - before
    assert not [str(d) for d in hulls if d.exists()]


def test_two_containers_on_a_bridge(podman):
    podman("run", "-d", "--name", "c", "busy", "sleep", "1000")
    address = podman.inspect("c", ".NetworkSettings.IPAddress")
    assert "0% packet loss" in podman.box("--cap-add", "net_raw", "busy", "ping", "-c", "1", "-w", "30", address, network="podman")
    assert podman.box("busy", "ip", "link", network="host").count("lo:") == 1


# ---- builds ------------------------------------------------------------------------------------------------------------


CONTAINERFILE = """FROM localhost/busy
RUN echo made >/made && id -u && grep CapEff /proc/self/status
USER 1000
WORKDIR /w
RUN id -u; pwd
COPY Containerfile /c
CMD ["cat", "/made"]
"""


@pytest.fixture
def context(podman):
    d = podman.dir / "context"
    d.mkdir(exist_ok=True)
    (d / "Containerfile").write_text(CONTAINERFILE)
    return d


def test_podman_build(podman, context):
    done = podman.done("build", "--no-cache", "--isolation", "oci", "--network", "none", "-t", "built", context)
    assert done.returncode == 0, done.stderr
    assert "level=warn" not in done.stderr and "1000\n/w\n" in done.stdout
    assert podman.box("built") == "made\n"


def test_buildah(podman, context):
    def buildah(*args, **kwargs):
        return podman(*args, program="buildah", **kwargs)

    runtime = ["--isolation", "oci", "--runtime", podman.place.hull]
    assert "1000\n/w\n" in buildah("bud", "--no-cache", *runtime, "--network", "host", "-t", "built", context)
    name = buildah("from", "localhost/built").strip()
    run = ["run", *runtime, "--network", "host", name]
    assert buildah(*run, "cat", "/made") == "made\n"
    done = podman.done(*run, "sh", "-c", "exit 3", program="buildah")
    assert done.returncode == 3 or "exit status 3" in done.stderr
    t = Terminal()
    t.run(podman.argv("run", "-t", *runtime, "--network", "host", name, "tty", program="buildah"), "/")
    shown, status = t.end()
    assert status == 0 and "/dev/pts/0" in shown
    t.close()
    buildah("rm", name)


def test_a_build_that_fails_leaves_nothing_running(podman, context):
    (context / "Containerfile").write_text("FROM localhost/busy\nRUN sleep 76543 & exit 2\n")
    done = podman.done("build", "--isolation", "oci", "--network", "none", context)
    assert done.returncode != 0 and "exit status 2" in done.stderr
    assert subprocess.run(["pgrep", "-f", "^sleep 76543"], capture_output=True, check=False).stdout == b""


def test_no_cgroups(podman):
    before = set(CGROUPS.glob("*/libpod_parent/libpod-*"))
    here = podman.box("--cgroups=disabled", "--cgroupns=host", "busy", "cat", "/proc/self/cgroup")
    assert here and "libpod" not in here
    name = podman("run", "-d", "--cgroups=disabled", "busy", "sleep", "1000").strip()
    assert set(CGROUPS.glob("*/libpod_parent/libpod-*")) == before
    assert podman("exec", name, "echo", "inside") == "inside\n"
    podman("stop", "-t", "0", name)
    podman("rm", name)
