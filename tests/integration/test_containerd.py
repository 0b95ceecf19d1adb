# SPDX-License-Identifier: Apache-2.0
"""containerd with hull as the runtime of io.containerd.runc.v2: by ctr, and by CRI as a kubelet does."""
import functools
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile
import time

import pytest

import harness
from bundles import pytestmark  # noqa: F401
from enginekit import CGROUPS, Place, cgroups_of, image_root, readme
from terminals import TIMEOUT, Terminal

IMAGE = "localhost/busy:latest"


def docker_archive(layer, path):
    """An image as `docker save` writes it."""
    data = layer.read_bytes()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sleep", "100000"], "Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for name, text in (("config.json", config), ("layer.tar", data), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))


class Containerd:
    def __init__(self, api):
        self.place = Place()
        self.dir = self.place.dir
        self.socket = self.dir / "sock"
        config = self.dir / "config.toml"
        text = f"""root = "{self.dir}/root"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.dir}/opt"
"""
        if int(re.search(r" v?(\d+)\.", self.place.run("containerd", "--version").stdout).group(1)) < 2:
            text = f"""version = 2
{text}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
""" + readme("BinaryName")
        else:
            text = f"""version = 3
{text}
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
""" + readme("io.containerd.cri.v1.runtime", "docs/callers.md")
        config.write_text(text)
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen(self.place.command("containerd", "--config", config), stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.api = api
        deadline = time.monotonic() + TIMEOUT
        while self.place.run("ctr", "-a", self.socket, "version", check=False).returncode:
            assert self.process.poll() is None and time.monotonic() < deadline, (self.dir / "log").read_text()
        archive = self.dir / "archive.tar"
        docker_archive(image_root(self.dir), archive)
        self.ctr("images", "import", archive)
        self.ctr("-n", "k8s.io", "images", "import", archive)

    @functools.cached_property
    def client(self):
        """Late: gRPC's threads and the fork of a terminal do not get on."""
        return harness.Client(self.api, self.socket)

    def argv(self, *args):
        return self.place.command("ctr", "-a", self.socket, *args)

    def done(self, *args, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.argv(*args), text=True, capture_output=True, timeout=60, **kwargs)

    def ctr(self, *args, **kwargs):
        done = self.done(*args, **kwargs)
        if done.returncode != 0:
            raise AssertionError(f"ctr {args}: exit {done.returncode}: {done.stdout}{done.stderr}\n"
                                 + (self.dir / "log").read_text()[-2000:])
        return done.stdout

    def run(self, name, *args, options=("--rm",)):
        return ["run", "--runc-binary", self.place.hull, *options, IMAGE, name, *args]

    def close(self):
        if "client" in self.__dict__:
            self.client.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.place.close()


@pytest.fixture(scope="module")
def containerd(api):
    c = Containerd(api)
    yield c
    c.close()


@pytest.fixture
def name(containerd):
    """Of a container that is gone, with its task, when the test ends."""
    name = f"hull-{os.urandom(4).hex()}"
    yield name
    containerd.done("tasks", "kill", "-s", "KILL", name)
    containerd.done("tasks", "rm", "-f", name)
    containerd.done("containers", "rm", name)
    assert not cgroups_of(name)


def task(containerd, name):
    """(pid in the place, status) of it."""
    for line in containerd.ctr("tasks", "ls").splitlines():
        if line.split()[0] == name:
            return int(line.split()[1]), line.split()[2]
    return None, None


def wait_for(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- ctr -----------------------------------------------------------------------------------------------------------


def test_output_input_and_exit_status(containerd, name):
    done = containerd.done(*containerd.run(name, "sh", "-c", "head -n1; echo err >&2; exit 7"), stdin=None, input="in\n")
    assert (done.stdout, done.stderr, done.returncode) == ("in\n", "err\n", 7)


def test_a_program_that_is_not_there(containerd, name):
    done = containerd.done(*containerd.run(name, "/none"))
    assert done.returncode == 1 and "OCI runtime create failed" in done.stderr and '"/none"' in done.stderr


def test_much_output(containerd, name):
    out = containerd.ctr(*containerd.run(name, "seq", "1", "30000"))
    assert out.split() == [str(n) for n in range(1, 30001)]


def test_a_terminal(containerd, name):
    t = Terminal(31, 77)
    t.run(containerd.argv(*containerd.run(name, "sh", "-c", "until stty size | grep 31; do sleep 0.02; done; tty; echo !; "
                                          "head -n1; exit 4", options=("--rm", "--tty"))), "/")
    assert "31 77\n/dev/pts/0" in t.until("!").replace("\r", "")  # both ctr's terminal and the container's add some
    t.type("typed\r")
    shown, status = t.end()
    assert shown.split() == ["typed", "typed"] and status == 4 and t.is_as_before()
    t.close()


def test_the_life_of_a_task(containerd, name):
    script = "trap 'echo usr1 >/tmp/got' USR1; trap 'exit 3' TERM; echo >/tmp/up; while :; do sleep 0.05; done"
    containerd.ctr(*containerd.run(name, "sh", "-c", script, options=("-d", "--memory-limit", str(50 << 20))))
    pid, status = task(containerd, name)
    assert status == "RUNNING"
    assert str(pid) in containerd.ctr("tasks", "ps", name)
    done = containerd.done("tasks", "exec", "--exec-id", "e1", name, "sh", "-c", "echo in; exit 4")
    assert (done.stdout, done.returncode) == ("in\n", 4)
    t = Terminal(20, 70)
    t.run(containerd.argv("tasks", "exec", "-t", "--exec-id", "e2", name, "sh", "-c",
                          "until stty size | grep 20; do sleep 0.02; done; tty"), "/")
    shown, status = t.end()
    assert status == 0 and "20 70\n/dev/pts/0\n" in shown.replace("\r", "")
    t.close()
    metrics = dict(line.split() for line in containerd.ctr("tasks", "metrics", name).splitlines()[4:]
                   if len(line.split()) == 2)
    if (CGROUPS / "memory").is_dir():
        assert metrics["memory.limit_in_bytes"] == str(50 << 20) and int(metrics["memory.usage_in_bytes"]) > 0
        assert int(metrics["cpuacct.usage"]) > 0
    assert int(metrics["pids.current"]) >= 1
    containerd.ctr("tasks", "pause", name)
    assert task(containerd, name)[1] == "PAUSED"
    containerd.ctr("tasks", "resume", name)
    assert task(containerd, name)[1] == "RUNNING"
    wait_for(lambda: containerd.done("tasks", "exec", "--exec-id", "e3", name, "ls", "/tmp/up").returncode == 0)
    containerd.ctr("tasks", "kill", "-s", "USR1", name)
    wait_for(lambda: containerd.done("tasks", "exec", "--exec-id", "e4", name, "ls", "/tmp/got").returncode == 0)
    containerd.ctr("tasks", "kill", "-s", "TERM", name)
    wait_for(lambda: task(containerd, name)[1] == "STOPPED")
    assert "exit code 3" in containerd.done("tasks", "rm", name).stderr


def test_a_privileged_container_and_one_on_the_hosts_network(containerd, name):
    out = containerd.ctr(*containerd.run(name, "sh", "-c", "ls -l /dev/ptmx; ip link | grep -c lo:",
                                         options=("--rm", "--privileged", "--net-host")))
    assert "pts/ptmx" in out and out.splitlines()[1] == "1"


# ---- CRI -----------------------------------------------------------------------------------------------------------


def test_a_pod_of_a_kubelet(containerd, api):
    runtime = containerd.client.runtime
    parent = f"/hull-ctrd-{os.urandom(4).hex()}"
    config = containerd.client.pod_config()
    config.linux.cgroup_parent = parent
    pod = runtime.RunPodSandbox(api.RunPodSandboxRequest(config=config)).pod_sandbox_id
    try:
        wanted = api.ContainerConfig(metadata=api.ContainerMetadata(name="c"), image=api.ImageSpec(image=IMAGE),
                                     command=["sh", "-c", "trap 'exit 5' TERM; echo >/tmp/up; while :; do sleep 0.05; done"],
                                     linux=api.LinuxContainerConfig(resources=api.LinuxContainerResources(
                                         memory_limit_in_bytes=50 << 20)))
        container = runtime.CreateContainer(api.CreateContainerRequest(
            pod_sandbox_id=pod, config=wanted, sandbox_config=config)).container_id
        runtime.StartContainer(api.StartContainerRequest(container_id=container))
        done = runtime.ExecSync(api.ExecSyncRequest(container_id=container, cmd=["sh", "-c", "echo out; echo err >&2; exit 6"]))
        assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 6)
        runtime.UpdateContainerResources(api.UpdateContainerResourcesRequest(
            container_id=container, linux=api.LinuxContainerResources(memory_limit_in_bytes=60 << 20)))
        if (CGROUPS / "memory").is_dir():
            path = CGROUPS / "memory" / parent.lstrip("/") / container / "memory.limit_in_bytes"
            assert path.read_text() == f"{60 << 20}\n"
        stats = runtime.ContainerStats(api.ContainerStatsRequest(container_id=container)).stats
        assert stats.memory.working_set_bytes.value > 0
        wait_for(lambda: runtime.ExecSync(api.ExecSyncRequest(container_id=container, cmd=["ls", "/tmp/up"])).exit_code == 0)
        runtime.StopContainer(api.StopContainerRequest(container_id=container, timeout=30))
        status = runtime.ContainerStatus(api.ContainerStatusRequest(container_id=container)).status
        assert status.exit_code == 5
    finally:
        runtime.StopPodSandbox(api.StopPodSandboxRequest(pod_sandbox_id=pod))
        runtime.RemovePodSandbox(api.RemovePodSandboxRequest(pod_sandbox_id=pod))
        for d in pathlib.Path(CGROUPS).glob(f"*{parent}"):  # the kubelet's to remove
            d.rmdir()
