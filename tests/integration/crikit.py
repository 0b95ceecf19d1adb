# SPDX-License-Identifier: Apache-2.0
"""Pods and containers through CRI, in few words. The fixture `cri` (conftest.py) has one private hulld; when
the test ends all pods are removed and what is left behind is a failure.

    def test_x(cri, images):
        pod = cri.run()                              on the host's network: quick
        pod = cri.run(network="pod", userns=200000)  own user namespace, own network
        c = pod.container("echo hello; sleep 100")   sh -c of busybox, created and started
        assert c.sh("id -u") == "0"
        assert c.output() == "hello\\n"
"""
import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import re
import signal
import time

import grpc
import pytest

NS_GET_USERNS = 0xB701
CREATED, RUNNING, EXITED = 0, 1, 2
READY, NOTREADY = 0, 1
RANGE = 65536
FOREVER = 'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done'

_numbers = itertools.count()


def wait_for(what, timeout=60, step=0.01):
    """The first true value of what()."""
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout} s in vain"
        time.sleep(step)


@contextlib.contextmanager
def refused(code, *words):
    """The call inside fails with this status code, and its message has all the words."""
    with pytest.raises(grpc.RpcError) as caught:
        yield caught
    e = caught.value
    assert e.code() == getattr(grpc.StatusCode, code), f"{e.code()}: {e.details()}"
    for word in words:
        assert word in e.details(), f"{word!r} is not in: {e.details()}"


def namespace_id(path):
    return os.stat(path).st_ino


def owner_of(path):
    """The inode number of the user namespace that owns the namespace at path."""
    fd = os.open(path, os.O_RDONLY)
    try:
        owner = fcntl.ioctl(fd, NS_GET_USERNS)
        try:
            return os.fstat(owner).st_ino
        finally:
            os.close(owner)
    finally:
        os.close(fd)


def id_map(pid, which="uid"):
    return [tuple(int(n) for n in line.split())
            for line in pathlib.Path(f"/proc/{pid}/{which}_map").read_text().splitlines()]


def proc_status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


IS_CGROUP_V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def cgroup_file(pid, controller, name):
    """A file of the cgroup that process pid is in: of the controller's v1 hierarchy, or, on a host of nothing but
    cgroup v2, of the one cgroup that it has."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if IS_CGROUP_V2 and not controllers:
            return pathlib.Path(f"/sys/fs/cgroup{path}/{name}")
        if controller in controllers.split(","):
            return pathlib.Path(f"/sys/fs/cgroup/{controller}{path}/{name}")
    raise FileNotFoundError(f"{controller} of {pid}")


class Container:
    def __init__(self, pod, config, id_):
        self.pod, self.cri, self.config, self.id = pod, pod.cri, config, id_
        self.runtime, self.api = pod.runtime, pod.api

    def start(self):
        self.runtime.StartContainer(self.api.StartContainerRequest(container_id=self.id))
        return self

    def stop(self, timeout=0):
        self.runtime.StopContainer(self.api.StopContainerRequest(container_id=self.id, timeout=timeout))

    def remove(self):
        self.runtime.RemoveContainer(self.api.RemoveContainerRequest(container_id=self.id))

    def status(self):
        return self.runtime.ContainerStatus(self.api.ContainerStatusRequest(container_id=self.id)).status

    @property
    def info(self):
        answer = self.runtime.ContainerStatus(self.api.ContainerStatusRequest(container_id=self.id, verbose=True))
        return json.loads(answer.info["info"])

    @property
    def spec(self):
        return self.info["runtimeSpec"]

    @property
    def pid(self):
        pid = self.info["pid"]
        assert pid > 0
        return pid

    def wait(self, timeout=60):
        """Until it has ended. Its status."""
        wait_for(lambda: self.status().state == EXITED, timeout)
        return self.status()

    def heeds(self, sig=signal.SIGTERM):
        """Itself, when it has set its trap: before that a signal is lost on a process 1, and ends any other."""
        def has_trap():
            status = proc_status(self.pid)
            return (int(status["SigCgt"], 16) | int(status["SigIgn"], 16)) >> (sig - 1) & 1
        wait_for(has_trap)
        return self

    def exec(self, command, timeout=0):
        if isinstance(command, str):
            command = ["/bin/sh", "-c", command]
        r = self.runtime.ExecSync(self.api.ExecSyncRequest(container_id=self.id, cmd=command, timeout=timeout))
        return r.exit_code, r.stdout, r.stderr

    def sh(self, command):
        """What a shell command prints, without the last newline."""
        code, out, err = self.exec(command)
        assert code == 0, (code, out, err)
        return out.decode().rstrip("\n")

    @property
    def log_path(self):
        return pathlib.Path(self.status().log_path)

    def records(self):
        """(time, stream, tag, text) of each line of the log."""
        found = []
        for line in self.log_path.read_bytes().split(b"\n")[:-1]:
            m = re.fullmatch(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP]) (.*)",
                             line, re.S)
            assert m, line
            found.append((m[1].decode(), m[2].decode(), m[3].decode(), m[4]))
        return found

    def output(self, stream="stdout", timeout=60):
        """All that it wrote until its end."""
        self.wait(timeout)
        return b"".join(text + (b"\n" if tag == "F" else b"")
                        for _, s, tag, text in self.records() if s == stream).decode()

    def lines(self, count, timeout=60):
        """The first lines of its log, when there are so many."""
        wait_for(lambda: self.log_path.exists() and len(self.records()) >= count, timeout)
        return [text.decode() for _, _, _, text in self.records()[:count]]

    def cgroup(self, controller, name):
        return cgroup_file(self.pid, controller, name).read_text().strip()


class Pod:
    def __init__(self, cri, config, id_):
        self.cri, self.config, self.id = cri, config, id_
        self.runtime, self.api = cri.runtime, cri.api

    def answer(self, verbose=False):
        return self.runtime.PodSandboxStatus(
            self.api.PodSandboxStatusRequest(pod_sandbox_id=self.id, verbose=verbose))

    def status(self):
        return self.answer().status

    @property
    def info(self):
        return json.loads(self.answer(True).info["info"])

    @property
    def ip(self):
        return self.status().network.ip

    @property
    def netns(self):
        return self.info["networkNamespace"]

    def stop(self):
        self.runtime.StopPodSandbox(self.api.StopPodSandboxRequest(pod_sandbox_id=self.id))

    def remove(self):
        self.runtime.RemovePodSandbox(self.api.RemovePodSandboxRequest(pod_sandbox_id=self.id))

    def container_config(self, command=FOREVER, name=None, image=None, security=None, resources=None, attempt=0,
                         **fields):
        """security and resources: dicts of fields."""
        a = self.api
        name = name or f"c{next(_numbers)}"
        if isinstance(command, str):
            command = ["/bin/sh", "-c", command]
        image = image or self.cri.images.busybox
        security = dict(security or {})
        if "namespace_options" not in security:
            o = self.config.linux.security_context.namespace_options
            security["namespace_options"] = a.NamespaceOption(network=o.network, pid=o.pid, ipc=o.ipc)
        if "linux" not in fields:
            fields["linux"] = a.LinuxContainerConfig(
                security_context=a.LinuxContainerSecurityContext(**security),
                resources=a.LinuxContainerResources(**resources) if resources else None)
        return a.ContainerConfig(
            metadata=a.ContainerMetadata(name=name, attempt=attempt), image=a.ImageSpec(image=image),
            command=command, log_path=fields.pop("log_path", f"{name}/{attempt}.log"), **fields)

    def create(self, *args, **kw):
        """Create a container and do not start it."""
        config = args[0] if args and not isinstance(args[0], (str, list)) else self.container_config(*args, **kw)
        self.cri.pull(config.image.image)
        r = self.runtime.CreateContainer(self.api.CreateContainerRequest(
            pod_sandbox_id=self.id, config=config, sandbox_config=self.config))
        return Container(self, config, r.container_id)

    def container(self, *args, **kw):
        return self.create(*args, **kw).start()

    def shell(self, command, **kw):
        """Run a command in a container of its own, and return what it printed."""
        return self.container(command, **kw).output().rstrip("\n")


class Cri:
    def __init__(self, hulld, images):
        self.hulld, self.images, self.api = hulld, images, hulld.api
        self.pulled = set()
        self.connect()

    def connect(self):
        self.client = self.hulld.client()
        self.runtime, self.image = self.client.runtime, self.client.image

    def restart(self, how="kill"):
        getattr(self.hulld, how)()
        self.hulld.start()
        self.connect()

    def pull(self, ref):
        if ref in self.pulled or not ref.startswith(self.images.host):
            return
        self.image.PullImage(self.api.PullImageRequest(image=self.api.ImageSpec(image=ref)))
        self.pulled.add(ref)

    def mappings(self, first, length=RANGE):
        return [self.api.IDMapping(host_id=first, container_id=0, length=length)]

    def userns(self, first, length=RANGE):
        return self.api.UserNamespace(mode=self.api.POD, uids=self.mappings(first, length),
                                      gids=self.mappings(first, length))

    def config(self, name=None, network="node", pid="container", ipc="pod", userns=None, security=None, sysctls=None,
               attempt=0, cgroup_parent=None, linux=None, **fields):
        """A PodSandboxConfig. userns: the first host id of a range, or a UserNamespace."""
        a = self.api
        name = name or f"pod{next(_numbers)}"
        modes = {"pod": a.POD, "container": a.CONTAINER, "node": a.NODE, "target": a.TARGET}
        options = a.NamespaceOption(network=modes[network], pid=modes[pid], ipc=modes[ipc])
        if userns is not None:
            options.userns_options.CopyFrom(self.userns(userns) if isinstance(userns, int) else userns)
        linux = a.LinuxPodSandboxConfig(
            cgroup_parent=self.hulld.cgroup_parent if cgroup_parent is None else cgroup_parent, sysctls=sysctls or {},
            security_context=a.LinuxSandboxSecurityContext(namespace_options=options, **(security or {})), **(linux or {}))
        fields.setdefault("log_directory", str(self.hulld.base / "logs" / name))
        fields.setdefault("hostname", "" if network == "node" else name)
        return a.PodSandboxConfig(
            metadata=a.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="test", attempt=attempt),
            linux=linux, **fields)

    def run(self, config=None, handler="", **kw):
        config = config or self.config(**kw)
        r = self.runtime.RunPodSandbox(self.api.RunPodSandboxRequest(config=config, runtime_handler=handler))
        return Pod(self, config, r.pod_sandbox_id)

    def pods(self, **filter_):
        f = self.api.PodSandboxFilter(**filter_) if filter_ else None
        return list(self.runtime.ListPodSandbox(self.api.ListPodSandboxRequest(filter=f)).items)

    def containers(self, **filter_):
        f = self.api.ContainerFilter(**filter_) if filter_ else None
        return list(self.runtime.ListContainers(self.api.ListContainersRequest(filter=f)).containers)

    def remove_all(self):
        for pod in self.pods():
            self.runtime.RemovePodSandbox(self.api.RemovePodSandboxRequest(pod_sandbox_id=pod.id))

    def leaks(self):
        """After the removal of all pods. The parents of cgroups are a kubelet's, and the kubelet is us: they
        must be empty to go away."""
        for cgroup in self.hulld.cgroups():
            if cgroup.name == self.hulld.tag or cgroup.name.startswith("parent"):
                with contextlib.suppress(OSError):
                    cgroup.rmdir()
        return self.hulld.leaks()

    def check_clean(self):
        self.remove_all()
        assert self.pods() == [] and self.containers() == []
        assert self.leaks() == {}
