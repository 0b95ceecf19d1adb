# SPDX-License-Identifier: Apache-2.0
"""Docker's engine with hull as its default runtime, by the daemon.json of the README."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from bundles import pytestmark as needs
from enginekit import CGROUPS, PATH, Place, image_root, readme
from terminals import TIMEOUT, Terminal

pytestmark = [*needs, pytest.mark.skipif(not shutil.which("dockerd"), reason="no docker.io")]


class Docker:
    def __init__(self):
        self.place = Place()
        self.dir = self.place.dir
        self.old_cgroups = set(CGROUPS.glob("*/docker"))
        self.socket = f"unix://{self.dir}/docker.sock"
        self.log = open(self.dir / "log", "wb")
        self.place.run("tee", "/etc/docker/daemon.json", stdin=None, input=readme("default-runtime"))
        # BuildKit takes "runc" from dockerd's PATH.
        runc = self.dir / "bin/runc"
        runc.parent.mkdir()
        runc.write_text(f'#!/bin/sh\necho "$*" >>{self.dir}/calls\nexec {self.place.hull} "$@"\n')
        runc.chmod(0o755)
        self.process = subprocess.Popen(self.place.command(
            "dockerd", "-H", self.socket, "--data-root", self.dir / "data", "--exec-root", "/run/docker", "--pidfile",
            "/run/docker.pid", "--storage-driver", "vfs", "--init-path", shutil.which("catatonit"),
            env={"PATH": f"{runc.parent}:{PATH}"}), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + TIMEOUT
        while self.done("version").returncode:
            assert self.process.poll() is None and time.monotonic() < deadline, (self.dir / "log").read_text()[-3000:]
            time.sleep(0.1)
        self("import", image_root(self.dir), "busy")

    def argv(self, *args, env=None):
        return self.place.command("/usr/bin/docker", "-H", self.socket, *args, env=env)

    def done(self, *args, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.argv(*args), text=True, capture_output=True, timeout=60, **kwargs)

    def __call__(self, *args, **kwargs):
        done = self.done(*args, **kwargs)
        if done.returncode != 0:
            raise AssertionError(f"docker {args}: exit {done.returncode}: {done.stdout}{done.stderr}\n"
                                 + (self.dir / "log").read_text()[-2000:])
        return done.stdout

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.place.close()
        for top in set(CGROUPS.glob("*/docker")) - self.old_cgroups:
            for d, _, _ in os.walk(top, topdown=False):
                os.rmdir(d)


@pytest.fixture(scope="module")
def docker():
    d = Docker()
    yield d
    d.close()


def wait_for(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def name(docker):
    name = f"hull-test-{time.monotonic_ns()}"
    yield name
    docker("rm", "-f", name)


def test_output_input_and_exit_status(docker, name):
    done = docker.done("run", "--rm", "-i", "--name", name, "--network", "none", "busy", "sh", "-c", "cat; echo err >&2; exit 7",
                       stdin=None, input="in\n")
    assert (done.stdout, done.stderr, done.returncode) == ("in\n", "err\n", 7)
    assert json.loads(docker("info", "--format", "{{json .DefaultRuntime}}")) == "hull"


def test_a_program_that_cannot_be_run(docker):
    for program, status in (("/none", 127), ("/etc/passwd", 126)):
        done = docker.done("run", "--rm", "--network", "none", "busy", program)
        assert done.returncode == status and program in done.stderr


def test_a_network_in_place_before_the_process(docker):
    """libnetwork's prestart hook, by dockerd itself."""
    assert re.search(r"inet 172\.\d+\.\d+\.\d+/16", docker("run", "--rm", "busy", "ip", "-4", "address", "show", "eth0"))


def test_the_life_of_a_container(docker, name):
    script = "trap 'echo usr1' USR1; trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"
    docker("run", "-d", "--name", name, "--network", "none", "--memory", "50m", "busy", "sh", "-c", script)
    wait_for(lambda: "up" in docker("logs", name))
    done = docker.done("exec", "-u", "3", name, "sh", "-c", "id -u; exit 4")
    assert (done.stdout, done.returncode) == ("3\n", 4)
    assert "sh -c" in docker("top", name)
    docker("pause", name)
    assert docker("inspect", "-f", "{{.State.Status}}", name).strip() == "paused"
    docker("unpause", name)
    docker("update", "--memory", "60m", "--memory-swap", "60m", name)
    assert "60MiB" in docker("stats", "--no-stream", "--format", "{{.MemUsage}}", name)
    docker("kill", "-s", "USR1", name)
    wait_for(lambda: "usr1" in docker("logs", name))
    docker("stop", "-t", "30", name)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", name).strip() == "3"
    docker("start", name)
    docker("kill", name)
    assert docker("wait", name).strip() == "137"


def test_an_init_reaps_and_forwards(docker, name):
    docker("run", "-d", "--init", "--name", name, "--network", "none", "busy", "sh", "-c",
           "sh -c 'sleep 0.2 &'; trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done")
    wait_for(lambda: "up" in docker("logs", name))
    assert "docker-init" in docker("exec", name, "ps", "-o", "pid,args").splitlines()[1]
    wait_for(lambda: "\nsleep 0.2" not in docker("exec", name, "ps", "-o", "args"))
    wait_for(lambda: "Z" not in docker("exec", name, "ps", "-o", "stat"))
    docker("stop", "-t", "30", name)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", name).strip() == "3"


def test_a_terminal(docker, name):
    t = Terminal(31, 77)
    t.run(docker.argv("run", "--rm", "-it", "--name", name, "--network", "none", "busy", "sh", "-c",
                      "until stty size | grep 31; do sleep 0.02; done; tty; echo !; head -n1; exit 4"), "/")
    assert "31 77\n/dev/pts/0" in t.until("!").replace("\r", "")
    t.type("typed\r")
    shown, status = t.end()
    assert status == 4 and shown.split() == ["typed", "typed"] and t.is_as_before()
    t.close()


def test_a_privileged_container(docker):
    assert "pts/ptmx" in docker("run", "--rm", "--privileged", "--network", "none", "busy", "ls", "-l", "/dev/ptmx")


def build(docker, *lines, **kwargs):
    """BuildKit inside of dockerd, reading the Dockerfile from its input."""
    argv = docker.argv("build", "--progress=plain", "--network=none", "--no-cache", "-t", "built", "-",
                       env={"DOCKER_BUILDKIT": "1"})
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            **kwargs), "\n".join(("FROM busy", *lines, ""))


def test_buildkit(docker):
    process, dockerfile = build(docker, "RUN echo made >/tmp/made && chmod 600 /tmp/made", "USER 77",
                                "RUN id -u; test ! -w /tmp/made; grep ^Seccomp: /proc/self/status")
    shown, _ = process.communicate(dockerfile, timeout=60)
    assert process.returncode == 0, shown
    assert re.search(r"^#\d+ [\d.]+ 77\n#\d+ [\d.]+ Seccomp:\t2$", shown, re.M), shown
    assert " run --bundle " in (docker.dir / "calls").read_text()
    assert docker("run", "--rm", "--network", "none", "-u", "0", "built", "cat", "/tmp/made") == "made\n"


def test_buildkit_of_a_step_that_fails(docker):
    process, dockerfile = build(docker, "RUN echo before; exit 5")
    shown, _ = process.communicate(dockerfile, timeout=60)
    assert process.returncode == 1 and " before\n" in shown and "exit code: 5" in shown


def test_buildkit_is_interrupted(docker):
    """What the step left running is killed."""
    process, dockerfile = build(docker, "RUN sleep 12345 & sleep 12346", start_new_session=True)
    process.stdin.write(dockerfile)
    process.stdin.close()

    def steps():
        return docker.place.run("pgrep", "-fx", "sleep 1234[56]", check=False).stdout.split()

    deadline = time.monotonic() + TIMEOUT
    while len(steps()) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    with process.stdout:
        process.stdout.read()
    assert process.wait(TIMEOUT) != 0
    while steps():
        assert time.monotonic() < deadline
        time.sleep(0.05)
