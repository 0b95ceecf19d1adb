# SPDX-License-Identifier: Apache-2.0
"""What no client should send: it is refused with the field's name before anything is made, nothing is left, and
hulld goes on serving."""
import os
import random
import socket
import subprocess
import time

import grpc
import pytest

from crikit import FOREVER, READY, refused, wait_for

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def still_serves(cri):
    """After each test: a pod can be made, and nothing of the test is left."""
    yield
    cri.remove_all()
    assert cri.leaks() == {}
    assert cri.run(name="after").status().state == READY


def pod_cases(a):
    m = a.PodSandboxMetadata
    port = a.PortMapping
    linux = a.LinuxPodSandboxConfig
    sec = a.LinuxSandboxSecurityContext
    i64 = a.Int64Value
    long = "x" * 600

    def with_security(**kw):
        return lambda c: c.linux.security_context.MergeFrom(sec(**kw))

    return {
        "no metadata": (lambda c: c.ClearField("metadata"), "metadata"),
        "empty name": (lambda c: c.metadata.CopyFrom(m(uid="u", namespace="n")), "metadata.name"),
        "empty namespace": (lambda c: c.metadata.CopyFrom(m(uid="u", name="n")), "metadata.namespace"),
        "empty uid": (lambda c: c.metadata.CopyFrom(m(name="u", namespace="n")), "metadata.uid"),
        "name with a slash": (lambda c: setattr(c.metadata, "name", "../../etc"), "metadata.name"),
        "name with NUL": (lambda c: setattr(c.metadata, "name", "a\0b"), ""),
        "name with a newline": (lambda c: setattr(c.metadata, "name", "a\nb"), "metadata.name"),
        "name for CNI_ARGS": (lambda c: setattr(c.metadata, "namespace", "a;K8S_POD_NAME=evil"), "metadata.namespace"),
        "long name": (lambda c: setattr(c.metadata, "name", long), "metadata.name"),
        "hostname": (lambda c: setattr(c, "hostname", "a/b"), "hostname"),
        "log directory": (lambda c: setattr(c, "log_directory", "/var/../../etc"), "log_directory"),
        "port 0": (lambda c: c.port_mappings.append(port(container_port=0, host_port=1)), "container_port"),
        "port 65536": (lambda c: c.port_mappings.append(port(container_port=65536)), "container_port"),
        "host port -1": (lambda c: c.port_mappings.append(port(container_port=1, host_port=-1)), "host_port"),
        "protocol": (lambda c: c.port_mappings.append(port(container_port=1, protocol=17)), "protocol"),
        "host ip": (lambda c: c.port_mappings.append(port(container_port=1, host_port=2, host_ip="1.1.1.1;x")), "host_ip"),
        "cgroup parent": (lambda c: setattr(c.linux, "cgroup_parent", "/../../x"), "cgroup_parent"),
        "sysctl": (lambda c: c.linux.sysctls.update({"kernel.core_pattern": "|/evil"}), "kernel.core_pattern"),
        "user": (with_security(run_as_user=i64(value=-7)), "run_as_user"),
        "group without user": (with_security(run_as_group=i64(value=7)), "run_as_group"),
        "groups": (with_security(supplemental_groups=[2**33]), "supplemental_groups"),
        "groups policy": (with_security(supplemental_groups_policy=9), "supplemental_groups_policy"),
        "seccomp": (with_security(seccomp=a.SecurityProfile(profile_type=8)), "seccomp"),
        "resources": (lambda c: c.linux.MergeFrom(linux(resources=a.LinuxContainerResources(cpu_period=1))), "cpu_period"),
        "overhead": (lambda c: c.linux.MergeFrom(linux(overhead=a.LinuxContainerResources(cpu_shares=-1))), "cpu_shares"),
        "empty label": (lambda c: c.labels.update({"": "x"}), "labels"),
        "labels of 2 MiB": (lambda c: c.labels.update({"a": "x" * 2 * MIB}), "labels"),
        "10000 annotations": (lambda c: c.annotations.update({str(i): "" for i in range(10000)}), "annotations"),
        "windows": (lambda c: c.windows.SetInParent(), "windows"),
    }


def test_sandboxes_that_cannot_be(cri):
    for name, (spoil, word) in pod_cases(cri.api).items():
        config = cri.config(network="pod")
        spoil(config)
        with pytest.raises(grpc.RpcError) as caught:
            cri.run(config)
        e = caught.value
        assert e.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED,
                            grpc.StatusCode.PERMISSION_DENIED), (name, e.code(), e.details())
        assert word in e.details(), (name, e.details())
    with refused("INVALID_ARGUMENT", "config"):
        cri.runtime.RunPodSandbox(cri.api.RunPodSandboxRequest())
    with refused("INVALID_ARGUMENT", "runtime_handler", "none-such"):
        cri.run(handler="none-such")
    assert cri.pods() == [] and cri.leaks() == {}
    assert not os.path.exists("/evil")


def container_cases(a, tmp_path):
    m, d = a.Mount, a.Device
    host = str(tmp_path)
    return {
        "no metadata": (lambda c: c.ClearField("metadata"), "metadata"),
        "empty name": (lambda c: setattr(c.metadata, "name", ""), "metadata.name"),
        "name": (lambda c: setattr(c.metadata, "name", "a/../b"), "metadata.name"),
        "no image": (lambda c: c.ClearField("image"), "image"),
        "absent image": (lambda c: setattr(c.image, "image", "registry.example/absent:1"), "absent"),
        "image that is none": (lambda c: setattr(c.image, "image", "A B"), "A B"),
        "working dir": (lambda c: setattr(c, "working_dir", "../x"), "working_dir"),
        "log path": (lambda c: setattr(c, "log_path", "../../x"), "log_path"),
        "absolute log path": (lambda c: setattr(c, "log_path", "/etc/x"), "log_path"),
        "env without name": (lambda c: c.envs.append(a.KeyValue(key="", value=b"x")), "envs[0]"),
        "env with =": (lambda c: c.envs.append(a.KeyValue(key="a=b", value=b"x")), "envs[0]"),
        "env with NUL": (lambda c: c.envs.append(a.KeyValue(key="a", value=b"x\0y")), "envs[0]"),
        "3 MiB of args": (lambda c: c.args.extend(["x" * MIB] * 3), "args"),
        "5000 args": (lambda c: c.args.extend(["x"] * 5000), "args"),
        "absent host path": (lambda c: c.mounts.append(m(container_path="/v", host_path=host + "/none")), host + "/none"),
        "relative host path": (lambda c: c.mounts.append(m(container_path="/v", host_path="etc")), "host_path"),
        "no host path": (lambda c: c.mounts.append(m(container_path="/v")), "host_path"),
        "no container path": (lambda c: c.mounts.append(m(host_path=host)), "container_path"),
        "propagation": (lambda c: c.mounts.append(m(container_path="/v", host_path=host, propagation=9)), "propagation"),
        "over proc": (lambda c: c.mounts.append(m(container_path="/proc/self/attr", host_path=host)), "/proc"),
        "device": (lambda c: c.devices.append(d(host_path="/dev/../etc/passwd", container_path="/dev/x")), "devices[0]"),
        "CDI": (lambda c: c.CDI_devices.append(a.CDIDevice(name="vendor.com/gpu=0")), "CDI"),
        "capability": (lambda c: c.linux.security_context.capabilities.add_capabilities.append("EVERYTHING"), "EVERYTHING"),
        "user and name": (lambda c: (setattr(c.linux.security_context, "run_as_username", "app"),
                                     c.linux.security_context.run_as_user.SetInParent()), "run_as_user"),
        "masked path": (lambda c: c.linux.security_context.masked_paths.append("relative"), "relative"),
        "readonly path": (lambda c: c.linux.security_context.readonly_paths.append("../up"), "../up"),
        "memory": (lambda c: setattr(c.linux.resources, "memory_limit_in_bytes", -9), "memory_limit"),
        "tiny memory": (lambda c: setattr(c.linux.resources, "memory_limit_in_bytes", 1), ""),
        "unified": (lambda c: c.linux.resources.unified.update({"a/b": "1"}), "unified"),
        "signal": (lambda c: setattr(c, "stop_signal", 4000), "stop_signal"),
        "hugepages": (lambda c: c.linux.resources.hugepage_limits.append(a.HugepageLimit(page_size="7XB", limit=1)), "7XB"),
    }


@pytest.mark.parametrize("userns", [None, 100000])
def test_containers_that_cannot_be(cri, tmp_path, userns):
    pod = cri.run(network="pod" if userns else "node", userns=userns)
    cri.pull(cri.images.busybox)
    before = set(os.listdir(cri.hulld.root / "containers"))
    for name, (spoil, word) in container_cases(cri.api, tmp_path).items():
        config = pod.container_config(FOREVER)
        spoil(config)
        with pytest.raises(grpc.RpcError) as caught:
            cri.runtime.CreateContainer(cri.api.CreateContainerRequest(pod_sandbox_id=pod.id, config=config))
            pytest.fail(f"not refused: {name}")
        e = caught.value
        assert e.code() not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE), (name, e.code(), e.details())
        assert word in e.details(), (name, e.details())
        assert cri.containers() == [], name
    with refused("INVALID_ARGUMENT", "config"):
        cri.runtime.CreateContainer(cri.api.CreateContainerRequest(pod_sandbox_id=pod.id))
    assert set(os.listdir(cri.hulld.root / "containers")) == before
    assert list(tmp_path.iterdir()) == []
    assert pod.shell("echo fine") == "fine"


def test_a_volume_on_a_file_system_that_hangs_does_not_stop_others(cri, tmp_path):
    """A FUSE file system whose server does not answer is what a dead NFS server looks like."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no FUSE")
    mountpoint = tmp_path / "hung"
    mountpoint.mkdir()
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
    subprocess.run(["python3", "-c", f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mount(b"hung", {str(mountpoint)!r}.encode(), b"fuse", 0, {options!r}.encode()) == 0, ctypes.get_errno()
"""], check=True, pass_fds=[fuse])
    try:
        pod = cri.run()
        cri.pull(cri.images.busybox)
        config = pod.container_config(FOREVER, mounts=[cri.api.Mount(container_path="/v", host_path=str(mountpoint / "x"))])
        call = cri.runtime.CreateContainer.future(
            cri.api.CreateContainerRequest(pod_sandbox_id=pod.id, config=config), timeout=2)
        time.sleep(0.2)
        assert cri.run().shell("echo meanwhile") == "meanwhile"
        with pytest.raises(grpc.RpcError) as caught:
            call.result()
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        # Its other containers are not held up either.
        assert pod.shell("echo here too") == "here too"
    finally:
        os.close(fuse)  # the kernel aborts the connection: all that waits gets ENOTCONN
        subprocess.run(["umount", "-l", mountpoint], check=False)
    wait_for(lambda: len(os.listdir(cri.hulld.root / "containers")) == 2)
    assert len(cri.containers()) == 2


def raw(cri, data=b"", close=True):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(cri.hulld.socket))
    try:
        s.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    if close:
        s.close()
    return s


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def test_connections_that_are_half_open_or_nonsense(cri):
    dice = random.Random(7)
    noise = dice.randbytes(MIB)
    open_ones = [raw(cri, d, close=False) for d in
                 (b"", PREFACE[:10], PREFACE, PREFACE + b"\0\0\0\4\0\0\0\0\0", PREFACE + b"\xff\xff\xff\0\0\0\0\0\1") for _ in range(5)]
    raw(cri, noise * 16)
    raw(cri, PREFACE + noise * 16)
    raw(cri, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(50):
        raw(cri, dice.randbytes(dice.randrange(200)))
    assert cri.run().status().state == READY
    for s in open_ones:
        s.close()
    assert cri.hulld.process.poll() is None


def test_16_mib_of_nonsense_in_a_request(cri):
    run = cri.client.channel.unary_unary("/runtime.v1.RuntimeService/RunPodSandbox")
    dice = random.Random(9)
    for data in (dice.randbytes(15 * MIB), b"\x0a\xff\xff\xff\x7f", b"\x0a" * MIB, b"\x0a\x80" * MIB, b"\0" * 15 * MIB):
        with pytest.raises(grpc.RpcError) as caught:
            run(data, timeout=30)
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED), caught.value
    with pytest.raises(grpc.RpcError) as caught:
        run(b"\x0a\0" + bytes(17 * MIB), timeout=30)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert cri.pods() == []
    wait_for(lambda: cri.hulld.pss_kib() < 100 * 1024 or cri.hulld.is_sanitized())


def test_requests_with_random_fields_changed(cri):
    """Bytes of real requests are changed: whatever is answered, nothing breaks and nothing is left."""
    dice = random.Random(11)
    pod = cri.run()
    cri.pull(cri.images.busybox)
    good = {
        "RunPodSandbox": cri.api.RunPodSandboxRequest(config=cri.config(userns=300000, labels={"a": "b"}, cgroup_parent="", log_directory="")),
        "CreateContainer": cri.api.CreateContainerRequest(pod_sandbox_id=pod.id, config=pod.container_config("exit 0", log_path="")),
        "ListContainers": cri.api.ListContainersRequest(filter=cri.api.ContainerFilter(label_selector={"a": "b"})),
    }
    for method, message in good.items():
        call = cri.client.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")
        data = message.SerializeToString()
        for _ in range(60):
            changed = bytearray(data)
            for _ in range(dice.choice((1, 2, 5))):
                changed[dice.randrange(len(changed))] = dice.randrange(256)
            try:
                call(bytes(changed[:dice.choice((len(data), dice.randrange(len(data))))]), timeout=30)
            except grpc.RpcError as e:
                assert e.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN), e
    assert cri.hulld.process.poll() is None


def test_other_users_may_not_connect(cri):
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(cri.hulld.socket)!r})"
    os.chmod(cri.hulld.base, 0o755)
    p = subprocess.run(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "/usr/bin/python3", "-c", code],
                       capture_output=True, text=True, check=False)
    assert p.returncode == 1 and "PermissionError" in p.stderr
