# SPDX-License-Identifier: Apache-2.0
"""The attacks that container engines fell to, made against a real hulld: each test does what the CVE named
beside it did, and looks at what it must not have reached. docs/security.md is the table of all of them."""
import base64
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import re
import socket
import stat
import struct
import subprocess
import threading
import time

import grpc
import pytest

import harness
import http2
import imagekit as kit
from crikit import FOREVER, proc_status, refused, wait_for
from images import busybox_layer

MIB = 1024 * 1024
VERSION = "/runtime.v1.RuntimeService/Version"

_ranges = itertools.count(300000, 65536)


@pytest.fixture
def victim(cri):
    """A directory of the host that no container was given, with one file. Nothing may reach it."""
    d = cri.hulld.base / "victim"
    d.mkdir(mode=0o755)
    (d / "file").write_text("of the host\n")
    yield d
    assert [p.name for p in d.iterdir()] == ["file"], "something was made in the victim's directory"
    assert (d / "file").read_text() == "of the host\n"
    assert not any(str(d) in line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())


@pytest.fixture
def push():
    """push(layers..., config=...) serves an image of a registry that is ours, and returns its reference."""
    numbers, base = itertools.count(), busybox_layer()
    with kit.Registry() as registry:
        yield lambda *layers, config=None: registry.push(
            f"attack{next(numbers)}", kit.Image(base, *layers, config=config, compress=""))


def pull(cri, ref, **auth):
    cri.image.PullImage(cri.api.PullImageRequest(
        image=cri.api.ImageSpec(image=ref), auth=cri.api.AuthConfig(**auth) if auth else None))
    return ref


def volume(cri, host, inside, **kw):
    return cri.api.Mount(host_path=str(host), container_path=inside, **kw)


def reopen(c):
    c.runtime.ReopenContainerLog(c.api.ReopenContainerLogRequest(container_id=c.id))


def serves(cri):
    return cri.runtime.Version(cri.api.VersionRequest(), timeout=10).runtime_name == "hull"


def own_programs(hulld):
    """hulld, its monitors and its image worker: all that runs a program of the build."""
    found = {hulld.pid}
    for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
        with contextlib.suppress(OSError, ValueError):
            parent = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            if (parent == hulld.pid or parent in found or pid in hulld.processes()) and b"hull" in command:
                found.add(pid)
    return sorted(found)


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def monitor_pid(cri, pod):
    return next(pid for pid, command in cri.hulld.processes().items() if command == f"hull-pod {pod.id[:13]}")


# ---- the log (containerd CVE-2026-53489, CRI-O CVE-2025-0750) -----------------------------------------------


def test_a_log_file_that_became_a_link_is_not_followed(cri, victim):
    c = cri.run().container("while :; do echo line; sleep 0.02; done", log_path="dir/0.log")
    c.lines(1)
    c.log_path.unlink()
    for target in (victim / "file", victim / "new"):
        c.log_path.symlink_to(target)
        with pytest.raises(grpc.RpcError, match="log file"):
            reopen(c)
        c.log_path.unlink()
    # A directory on the way.
    c.log_path.parent.rmdir()
    c.log_path.parent.symlink_to(victim)
    with pytest.raises(grpc.RpcError, match="log directory"):
        reopen(c)
    c.log_path.parent.unlink()
    reopen(c)
    c.lines(1)


def test_a_log_directory_that_became_a_link_is_not_followed(cri, victim):
    pod = cri.run()
    c = pod.container(log_path="0.log")
    logs = pathlib.Path(pod.config.log_directory)
    logs.rename(logs.with_suffix(".away"))
    logs.symlink_to(victim)
    with refused("INVALID_ARGUMENT", "log directory"):
        reopen(c)
    with refused("INVALID_ARGUMENT", "log directory"):
        pod.create(log_path="file")
    with refused("INVALID_ARGUMENT", "log directory"):
        pod.create(log_path="file/1.log")


@pytest.mark.parametrize("kind, word", [("c 1 5", "not a regular file"), ("p", "not a regular file")])
def test_a_device_or_fifo_in_place_of_the_log_is_not_opened(cri, kind, word):
    """mknod(2) is a default capability. The device rules keep the container from opening what it made, but
    hulld has none."""
    pod = cri.run()
    logs = pathlib.Path(pod.config.log_directory)
    c = pod.container(log_path="0.log", mounts=[volume(cri, logs.parent, "/logs")])
    c.sh(f"cd /logs/{logs.name} && rm 0.log && mknod 0.log {kind} && mknod 1.log {kind}")
    with refused("INVALID_ARGUMENT", word):
        reopen(c)
    with refused("INVALID_ARGUMENT", word):
        pod.create(log_path="1.log")


def test_a_container_that_swaps_its_log_for_a_link_gains_nothing(cri, victim):
    pod = cri.run()
    logs = pathlib.Path(pod.config.log_directory)
    logs.mkdir(parents=True)
    c = pod.container(
        f"cd /logs; while :; do echo evil; rm -f 0.log; ln -s {victim}/file 0.log; mv 0.log 1.log; : > 0.log; done",
        log_path="0.log", mounts=[volume(cri, logs, "/logs")])
    outcomes = set()
    begin = time.monotonic()
    while time.monotonic() < begin + (2 if len(outcomes) == 2 else 60):
        try:
            reopen(c)
            outcomes.add("opened")
        except grpc.RpcError:
            outcomes.add("refused")
    assert outcomes == {"opened", "refused"}, "the race did not take place"


# ---- destinations of mounts (runc CVE-2021-30465, CVE-2025-31133; CRI-O CVE-2024-5154) ----------------------


@pytest.mark.parametrize("userns", [False, True])
def test_a_destination_swapped_for_a_link_stays_in_the_container(cri, victim, userns):
    shared = cri.hulld.base / "shared"
    (shared / "d").mkdir(parents=True, mode=0o777)
    source = cri.hulld.base / "source"
    (source / "inner").mkdir(parents=True)
    pod = cri.run(**({"network": "pod", "userns": next(_ranges)} if userns else {}))
    for d in (shared, shared / "d"):
        d.chmod(0o777)
    swapper = pod.container(
        f"cd /v; while :; do mv d x; ln -s ../../../../../..{victim} d; rm d; ln -s {victim} d; rm d; mv x d; done",
        mounts=[volume(cri, shared, "/v")])
    swapper.status()
    made = tried = 0
    while tried < 12 or (not made and tried < 200):
        tried += 1
        try:
            c = pod.container(mounts=[volume(cri, shared, "/v"), volume(cri, source, "/v/d/inner"),
                                      volume(cri, source, "/v/d")])
            assert c.exec(f"ls {victim}/file")[0] != 0
            c.remove()
            made += 1
        except grpc.RpcError as e:
            print(e.details())
    assert made > 0


@pytest.mark.parametrize("userns", [False, True])
def test_the_pods_files_on_links_of_the_image_stay_inside(cri, push, victim, userns):
    """/etc/hosts, /etc/resolv.conf, /etc/hostname, and /etc itself, as links that an image brings along."""
    layers = {
        "file": [kit.symlink(f"etc/{n}", f"../../../..{victim}/{n}") for n in ("hosts", "resolv.conf", "hostname")],
        "absolute": [kit.symlink("etc/hosts", f"{victim}/file")],
        "mtab": [kit.symlink("etc/mtab", f"{victim}/mtab"), kit.symlink("dev", str(victim))],
        "directory": [kit.symlink("var/run", str(victim)), kit.symlink("data2", f"../../..{victim}")],
    }
    pod = cri.run(**({"network": "pod", "userns": next(_ranges)} if userns else {}))
    for name, entries in layers.items():
        ref = pull(cri, push(kit.tar(*entries)))
        try:
            c = pod.container(image=ref, mounts=[volume(cri, cri.hulld.cni_conf_dir, "/data2/sub")])
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.INVALID_ARGUMENT, (name, e.details())
            continue
        assert c.exec(f"grep -q 'of the host' {victim}/file")[0] != 0, name
        c.remove()


def test_the_pods_files_cannot_be_replaced_from_inside(cri, victim):
    pod = cri.run(network="pod", userns=next(_ranges))
    c = pod.container()
    state = cri.hulld.state / "pods" / pod.id
    for name in ("hosts", "resolv.conf", "hostname"):
        code, out, _ = c.exec(f"cd /etc; rm -f {name}; mv {name} x; ln -sf {victim}/file {name}; ln {name} l; umount "
                              f"{name}; echo more >> {name}; ls -l {name}")
        assert code == 0 and out.startswith(b"-")
        assert stat.S_ISREG(os.lstat(state / name).st_mode)
        # What it may change is what it sees; another container of the pod sees it too, the host nothing.
        assert (state / name).read_text().endswith("more\n")
    assert pod.container().sh("tail -n 1 /etc/hosts") == "more"


# ---- directories and sockets (containerd CVE-2024-25621, CVE-2020-15257) -------------------------------------


def test_nothing_of_state_and_root_can_be_reached_by_others(cri):
    pod = cri.run(network="pod", userns=next(_ranges))
    pod.container()
    h = cri.hulld
    h.base.chmod(0o755)
    for top in (h.root, h.state):
        assert stat.S_IMODE(top.stat().st_mode) == 0o700
        assert os.stat(top).st_uid == 0
    bundles = list((h.state / "pods").glob("*/*/config.json"))
    private = [h.root / "hull.db", h.state / "pods" / pod.id, *bundles, *(b.parent for b in bundles)]
    assert bundles
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    sockets = [p for p in h.base.rglob("*") if stat.S_ISSOCK(p.lstat().st_mode)]
    assert len(sockets) >= 2
    for s in sockets:
        assert stat.S_IMODE(s.stat().st_mode) & 0o007 == 0, s
        assert s == h.socket or stat.S_IMODE(s.stat().st_mode) == 0o600
    # As a stranger, and as root of the pod, who owns the upper layers. No capability, no group.
    for uid in (65534, pod.config.linux.security_context.namespace_options.userns_options.uids[0].host_id):
        for path in (h.root, h.state, h.state / "pods", h.socket, *sockets):
            script = f"import os, sys; sys.exit(os.access({str(path)!r}, os.X_OK if os.path.isdir({str(path)!r}) else os.W_OK))"
            r = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3", "-c",
                                script], check=False)
            assert r.returncode == 0, f"uid {uid} reaches {path}"


def test_no_process_has_an_abstract_socket_or_listens_on_tcp(cri):
    cri.run(network="pod", userns=next(_ranges)).container()
    inodes = set()
    for pid in own_programs(cri.hulld):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                m = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
                if m:
                    inodes.add(m[1])
    assert inodes
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        assert fields[6] not in inodes or len(fields) < 8 or fields[7].startswith("/"), line
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "packet"):
        path = pathlib.Path("/proc/net", table)
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            assert not inodes & set(line.split()), line


def test_hull_pods_socket_serves_root_of_the_node_alone(cri):
    pod = cri.run()
    h = cri.hulld
    s = next(p for p in (h.state / "pods" / pod.id).iterdir() if stat.S_ISSOCK(p.lstat().st_mode))
    # The worst case: somebody opened all the doors before it.
    for d in (h.base, h.state, h.state / "pods", s.parent):
        d.chmod(0o755)
    s.chmod(0o666)
    script = ("import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(5)\n"
              "s.connect(sys.argv[1])\n"
              "try: s.send(b'x' * 64); print(len(s.recv(100)))\n"
              "except (ConnectionError, BrokenPipeError): print(0)\n")
    for argv in (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                 ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Ur"]):
        r = subprocess.run([*argv, "/usr/bin/python3", "-c", script, s], capture_output=True, text=True, check=False)
        assert r.stdout.strip() == "0", (argv, r)
    for d in (s.parent, h.state / "pods", h.state):
        d.chmod(0o700)


# ---- data that is not control (CVE-2026-53488, CVE-2024-3154, CVE-2022-0811) ----------------------------------

HOSTILE = {
    "org.systemd.property.DeviceAllow": "['/dev/mem rw']", "org.systemd.property.ExecStopPost": "'/bin/touch'",
    "org.criu.config": "/etc/criu", "run.oci.hooks.stdout": "/tmp/x", "run.oci.keep_original_groups": "1",
    "run.oci.seccomp.receiver": "/tmp/x", "run.oci.handler": "krun", "run.oci.mount_context_type": "rootcontext",
    "io.kubernetes.cri-o.userns-mode": "keep-id", "io.kubernetes.cri-o.Devices": "/dev/mem:/dev/mem:rwm",
    "io.kubernetes.cri-o.ShmSize": "1Ti", "io.kubernetes.cri-o.UnifiedCgroup": "memory.max=max",
    "io.kubernetes.cri-o.seccompNotifierAction": "stop", "io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel": "true",
    "cpu-load-balancing.crio.io": "disable", "cdi.k8s.io/x": "vendor.com/class=all",
    "io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "0" * 64,
    "io.containerd.rlimits": "all=unlimited", "nri.io/x": "y", "blockio.resources.beta.kubernetes.io/pod": "high",
    "com.github.containers.rootless": "1", "com.github.containers.idmapped": "no", "run.oci.systemd.force_cgroup_v1": "/sys",
    "io.containerd.runc.v2.group": "x", "dev.gvisor.internal.nvproxy": "1", "io.katacontainers.config.hypervisor.path": "/x",
    "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
}


def comparable(c):
    """The spec and the process, without what must differ between two containers of two pods."""
    text = json.dumps(c.spec, sort_keys=True)
    for own, same in ((c.id, "CONTAINER"), (c.pod.id, "POD")):
        text = text.replace(own, same)
    for m in (c.config.metadata.name, c.pod.config.metadata.name):
        text = text.replace(m, "NAME")
    text = re.sub(r"cni-[0-9a-f-]+", "NETNS", text)
    status = proc_status(c.pid)
    keep = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
            "Seccomp_filters")
    cgroups = pathlib.Path(f"/proc/{c.pid}/cgroup").read_text().replace(c.id, "CONTAINER").replace(c.pod.id, "POD")
    limits = pathlib.Path(f"/proc/{c.pid}/limits").read_text()
    return json.loads(text), {k: status[k] for k in keep}, cgroups, limits


@pytest.mark.parametrize("pause", [False, True])
def test_annotations_labels_and_image_labels_steer_nothing(make_cri, push, images, pause):
    cri = make_cri({"sandbox_image": images.pause} if pause else {})
    plain = cri.run(name="plain").container(image=pull(cri, push(config={"Cmd": ["/bin/sh"]})), name="one")
    ref = pull(cri, push(config={"Cmd": ["/bin/sh"], "Labels": HOSTILE}))
    pod = cri.run(name="hostile", annotations=HOSTILE, labels=HOSTILE)
    c = pod.container(image=ref, name="one", annotations=HOSTILE, labels=HOSTILE)
    for a, b in zip(comparable(plain), comparable(c)):
        if isinstance(a, dict):
            for d in (a, b):
                d.get("annotations", {}).pop("io.kubernetes.cri.image-name", None)
        assert a == b
    # They come back as they are, all of them.
    assert dict(pod.status().annotations) == HOSTILE and dict(c.status().annotations) == HOSTILE
    assert dict(pod.status().labels) == HOSTILE and dict(c.status().labels) == HOSTILE


@pytest.mark.parametrize("sysctls", [
    {"kernel.shm_rmid_forced": "1+kernel.core_pattern=|/tmp/x"}, {"kernel.shm_rmid_forced+kernel.core_pattern": "1"},
    {"net.ipv4.ip_forward": "1\nkernel.core_pattern=|/x"}, {"net/../kernel/core_pattern": "|/x"},
    {"net.ipv4.../../../kernel.core_pattern": "|/x"}, {"kernel.core_pattern": "|/x"}])
def test_a_sysctl_reaches_nothing_but_itself(cri, sysctls):
    before = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    with pytest.raises(grpc.RpcError, match="sysctls"):
        cri.run(network="pod", userns=next(_ranges), sysctls=sysctls)
    assert pathlib.Path("/proc/sys/kernel/core_pattern").read_text() == before


# ---- image configurations (CVE-2024-40635, CVE-2022-23648, podman CVE-2026-55686) ------------------------------


@pytest.mark.parametrize("user", [
    "4294967296", "4294967295", "4294967296:0", "0:4294967296", "1000:4294967296", "-1", "1000:-1", "0x0", " 0", "+0",
    "18446744073709551616", "99999999999999999999999", "1e3", "1000:", "nobody-here", "root:nogroup-here", pytest.param("a" * 100000, id="long")])
def test_a_user_of_an_image_that_is_no_id_is_never_root(cri, push, user):
    ref = pull(cri, push(config={"Cmd": ["/bin/sh"], "User": user}))
    pod = cri.run()
    try:
        c = pod.container(image=ref)
    except grpc.RpcError as e:
        assert "user" in e.details()
    else:
        # Only "1000:" says who: a user, and no group.
        assert user == "1000:" and proc_status(c.pid)["Uid"].split() == ["1000"] * 4
        return
    assert cri.containers() == []


HOSTILE_CONFIGS = {
    "a huge environment": {"Env": ["X=" + "y" * 3000000]},
    "many variables": {"Env": [f"V{i}={'z' * 40}" for i in range(60000)]},
    "NUL in the environment": {"Env": ["A=b\0LD_PRELOAD=/evil.so"]},
    "NUL in the command": {"Cmd": ["/bin/sh\0-x"]},
    "NUL in the working directory": {"WorkingDir": "/data\0/../.."},
    "no name": {"Env": ["=x", "", "no-equals-sign"]},
    "numbers": {"Env": [1, -2], "User": -1, "Cmd": {}},
    "a negative port": {"ExposedPorts": {"-1/tcp": {}, "../..": {}}},
    "a signal": {"StopSignal": "SIG" + "9" * 200},
    "a command of another type": {"Entrypoint": "sh -c", "Cmd": None},
    "a working directory above the root": {"WorkingDir": "/../../../../../../tmp/hull-attack-workdir"},
    "a relative working directory": {"WorkingDir": "../../../tmp/hull-attack-workdir"},
    "a long working directory": {"WorkingDir": "/" + "d/" * 5000},
    "volumes above the root": {"Volumes": {"/../../../../../../../../../VICTIM": {}, "VICTIM/new": {}, "": {}}},
    "a working directory that is a link": {"WorkingDir": "/out"},
    "a working directory below a link": {"WorkingDir": "/out/made"},
    "a working directory on the host's side of proc": {"WorkingDir": "/proc/1/root/VICTIM/made"},
}


@pytest.mark.parametrize("userns", [False, True])
def test_hostile_image_configurations_are_refused_or_stay_inside(cri, push, victim, userns):
    pod = cri.run(**({"network": "pod", "userns": next(_ranges)} if userns else {}))
    link = kit.tar(kit.symlink("out", str(victim)))
    for name, config in HOSTILE_CONFIGS.items():
        config = json.loads(json.dumps({"Cmd": ["/bin/sh"], **config}).replace("VICTIM", str(victim)[1:]))
        try:
            ref = pull(cri, push(link, config=config))
            c = pod.container(image=ref)
        except grpc.RpcError as e:
            # Named, and neither a crash nor a failure of ours.
            assert "working directory" in e.details() or e.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED,
                                grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.DATA_LOSS), (name, e)
            continue
        environ = pathlib.Path(f"/proc/{c.pid}/environ").read_bytes()
        assert b"LD_PRELOAD" not in environ, name
        assert os.readlink(f"/proc/{c.pid}/cwd").startswith("/"), name
        assert not pathlib.Path("/tmp/hull-attack-workdir").exists(), name
        # VOLUME mounts nothing of the host.
        assert str(victim) not in pathlib.Path(f"/proc/{c.pid}/mountinfo").read_text(), name
        c.remove()
    assert serves(cri)


# ---- exec (CVE-2022-1708, CVE-2022-31030, crun CVE-2026-30892) ---------------------------------------------------


def peak_kib(pid):
    return int(proc_status(pid)["VmHWM"].split()[0])


def test_output_of_an_exec_without_end_takes_constant_memory(cri):
    pod = cri.run()
    c = pod.container()
    c.exec("true")
    sanitized = cri.hulld.is_sanitized()
    monitor = monitor_pid(cri, pod)
    before = {pid: peak_kib(pid) for pid in (cri.hulld.pid, monitor)}
    for command in ("head -c 100000000 /dev/zero", "head -c 100000000 /dev/zero >&2"):
        code, out, err = c.exec(command)
        assert code == 0 and 8 * MIB < len(out) + len(err) < 16 * MIB
    # The output kept, and the answer made of it; the rest was never there.
    if not sanitized:
        assert peak_kib(cri.hulld.pid) - before[cri.hulld.pid] < 80 * 1024
    assert peak_kib(monitor) - before[monitor] < 4096
    assert serves(cri)


def test_exec_sessions_leave_no_memory_fds_or_processes(cri):
    pod = cri.run()
    c = pod.container()
    monitor = monitor_pid(cri, pod)

    def some(count):
        for _ in range(count):
            assert c.exec(["/bin/true"])[0] == 0

    def used():
        rss = int(proc_status(monitor)["VmRSS"].split()[0])
        return fd_count(cri.hulld.pid), fd_count(monitor), len(cri.hulld.processes()), rss

    def is_as_before():
        # Idle workers and connections that are kept for the next call: a few, whatever the number of calls.
        now = used()
        return now[0] <= before[0] + 8 and now[1] <= before[1] + 8 and now[2] <= before[2]

    some(50)
    before = used()
    some(int(os.environ.get("HULL_EXECS", "500")))
    wait_for(is_as_before)
    assert used()[3] - before[3] <= 128 or cri.hulld.is_sanitized()
    # Those that end by their deadline, and those whose client goes away.
    with refused("DEADLINE_EXCEEDED"):
        c.exec("sleep 100", timeout=1)
    call = c.runtime.ExecSync.future(c.api.ExecSyncRequest(container_id=c.id, cmd=["/bin/sleep", "4321"]))
    wait_for(lambda: any(command.startswith("/bin/sleep 4321") for command in cri.hulld.processes().values()))
    call.cancel()
    wait_for(is_as_before)


def test_an_exec_is_whom_the_container_is(cri, push):
    pod = cri.run(network="pod", userns=next(_ranges))
    cases = [({"run_as_user": cri.api.Int64Value(value=1000)}, None), ({"run_as_username": "other"}, None),
             ({"run_as_user": cri.api.Int64Value(value=1001), "run_as_group": cri.api.Int64Value(value=7),
               "supplemental_groups": [8, 9]}, None),
             ({"no_new_privs": True}, None), ({}, "app"), ({}, "1001:5000"), ({}, "65000")]
    for security, user in cases:
        image = pull(cri, push(config={"Cmd": ["/bin/sh"], "User": user})) if user else None
        c = pod.container("cat /proc/self/status; " + FOREVER, security=security, image=image)
        inside = c.sh("cat /proc/self/status")
        first = "\n".join(c.lines(50))
        for field in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
            want, got = (re.search(rf"^{field}:\s*(.*?)\s*$", text, re.M) for text in (first, inside))
            assert want and got and want[1] == got[1], (security, user, field)
        # CVE-2022-24769, CVE-2022-27652.
        assert re.search(r"^CapInh:\s*0+$", inside, re.M) and re.search(r"^CapAmb:\s*0+$", inside, re.M)
        c.remove()


# ---- fds and directories that leak (runc CVE-2024-21626, CVE-2016-9962) ------------------------------------------


@pytest.mark.parametrize("userns", [False, True])
def test_nothing_but_stdio_is_open_inside(cri, userns):
    pod = cri.run(pid="pod", **({"network": "pod", "userns": next(_ranges)} if userns else {}))
    # ls itself has its directory open, as 3.
    look = "for p in /proc/[0-9]*; do ls -l $p/fd $p/cwd $p/root $p/exe 2>/dev/null; done; ls /proc/self/fd"
    c = pod.container("ls /proc/self/fd; " + FOREVER)
    assert c.lines(4) == ["0", "1", "2", "3"]
    assert c.exec(["/bin/ls", "/proc/self/fd"])[1].split() == [b"0", b"1", b"2", b"3"]
    assert c.exec(["/bin/readlink", "/proc/self/cwd"])[1] == b"/\n"
    _, out, _ = c.exec(look)
    assert str(cri.hulld.base).encode() not in out and b"hull-pod" not in out


def test_a_working_directory_through_an_fd_is_refused(cri):
    pod = cri.run()
    for fd in range(0, 24):
        for where in (f"/proc/self/fd/{fd}", f"/proc/self/fd/{fd}/../../.."):
            try:
                c = pod.container(working_dir=where)
            except grpc.RpcError as e:
                assert "working directory" in e.details()
                continue
            cwd = os.stat(f"/proc/{c.pid}/cwd")
            root = os.stat(f"/proc/{c.pid}/root")
            assert cwd.st_dev == root.st_dev or c.exec("pwd")[1].startswith(b"/")
            assert (cwd.st_dev, cwd.st_ino) != (os.stat("/").st_dev, os.stat("/").st_ino)
            c.remove()


# ---- the program of the runtime (runc CVE-2019-5736) ----------------------------------------------------------------


def test_programs_of_the_host_cannot_be_written_from_inside(cri, push):
    """Every executable that shows up in /proc while execs go on is opened for writing, as root of a container
    that shares the pod's processes; and the runtime is made to execute itself."""
    programs = [harness.BUILD / p for p in ("src/pod/hull-pod", "src/daemon/hulld", "src/image/hull-unpack")]
    before = [hashlib.sha256(p.read_bytes()).hexdigest() for p in programs]
    ref = pull(cri, push(kit.tar(kit.file("bin/evil", b"#!/proc/self/exe\n", mode=0o755))))
    pod = cri.run(pid="pod")
    c = pod.container(
        "own=$(stat -Lc %d:%i /bin/busybox); while :; do for p in /proc/[0-9]*; do"
        " [ \"$(stat -Lc %d:%i $p/exe 2>/dev/null)\" = $own ] && continue;"
        " (echo evil >> $p/exe) 2>/dev/null && echo written $p; done; done", image=ref)
    for _ in range(40):
        with contextlib.suppress(grpc.RpcError):
            c.exec(["/bin/evil"])
        with contextlib.suppress(grpc.RpcError):
            c.exec(["/proc/self/exe"])
    assert c.records() == []
    assert [hashlib.sha256(p.read_bytes()).hexdigest() for p in programs] == before
    with contextlib.suppress(grpc.RpcError):
        pod.container(["/bin/evil"], image=ref)
    with contextlib.suppress(grpc.RpcError):
        pod.container(["/proc/self/exe"], image=ref)
    assert [hashlib.sha256(p.read_bytes()).hexdigest() for p in programs] == before


# ---- /proc (CVE-2019-16884, CVE-2025-31133, CVE-2025-52881) -----------------------------------------------------------


def test_masked_paths_are_hidden_whatever_the_image_has_there(cri, push):
    layers = kit.tar(kit.symlink("proc", "/data"), kit.directory("data/kcore"))
    null = kit.tar(kit.directory("dev"), kit.symlink("dev/null", "/proc/sys/kernel/core_pattern"))
    before = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    security = {"masked_paths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonly_paths": ["/proc/sys", "/proc/irq", "/proc/bus", "/proc/sysrq-trigger"]}
    pod = cri.run()
    with contextlib.suppress(grpc.RpcError):
        c = pod.container(image=pull(cri, push(layers)), security=security)
        assert c.sh("stat -fc %T /proc") == "proc"
    c = pod.container(image=pull(cri, push(null)), security=security)
    assert c.sh("cat /proc/kcore /proc/keys /proc/timer_list; ls /sys/firmware") == ""
    assert c.exec("echo x > /proc/sys/kernel/core_pattern")[0] != 0
    assert c.exec("echo x > /proc/keys; mount -t tmpfs x /mnt; umount /proc/keys; cat /proc/keys")[1] == b""
    assert pathlib.Path("/proc/sys/kernel/core_pattern").read_text() == before


@pytest.mark.parametrize("where", ["/proc", "/proc/self", "/data/../proc/sys", "/", "/..", "/./"])
def test_a_volume_over_proc_or_the_root_is_refused(cri, where):
    with refused("INVALID_ARGUMENT", "config.mounts[0].container_path"):
        cri.run().create(mounts=[volume(cri, cri.hulld.cni_conf_dir, where)])


# ---- secrets ------------------------------------------------------------------------------------------------------------


def files_with(top, *words):
    """Files below top that contain one of the words."""
    found = []
    for path in top.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            found += [f"{path}: {w!r}" for w in words if w in data]
    return found


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_credentials_of_a_registry_stay_in_memory(cri, kind):
    secret = "s3cr3t-" + os.urandom(8).hex()
    with kit.Registry(auth=kind) as registry:
        registry.password = secret
        registry.hold = threading.Event()
        ref = registry.push("private", kit.Image(kit.tar(kit.file("f", os.urandom(1000000)))))
        words = (secret.encode(), base64.b64encode(f"user:{secret}".encode()), base64.b64encode(secret.encode()))
        call = cri.image.PullImage.future(cri.api.PullImageRequest(
            image=cri.api.ImageSpec(image=ref), auth=cri.api.AuthConfig(username="user", password=secret)))
        wait_for(lambda: any("blobs" in path for path, _ in registry.log))
        time.sleep(0.2)
        seen = 0
        for pid in own_programs(cri.hulld):
            for name in ("cmdline", "environ"):
                data = pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
                assert not any(w in data for w in words), (pid, name)
                seen += 1
        assert seen >= 4, "the worker was not seen"
        registry.hold.set()
        call.result(timeout=30)
        # A wrong one is as secret as a right one.
        wrong = "wr0ng-" + os.urandom(8).hex()
        auth = base64.b64encode(f"user:{wrong}".encode()).decode()
        with pytest.raises(grpc.RpcError) as e:
            pull(cri, registry.push("other", kit.Image(kit.tar(kit.file("g")))), auth=auth)
        assert wrong not in e.value.details() and auth not in e.value.details()
        words += (wrong.encode(), auth.encode(), *(t.encode() for t in registry.tokens))
    assert files_with(cri.hulld.base, *words) == []


def test_values_of_the_environment_are_in_no_log_and_no_readable_file(cri):
    value, secret = os.urandom(12).hex(), os.urandom(12).hex()
    pod = cri.run()
    c = pod.container(envs=[cri.api.KeyValue(key="PASSWORD", value=value.encode())])
    assert c.sh("echo $PASSWORD") == value
    c.exec(["/bin/echo", secret])
    with contextlib.suppress(grpc.RpcError):
        pod.container(["/not-there", "--password", secret], envs=[cri.api.KeyValue(key="P", value=value.encode())])
    assert value not in cri.hulld.log()
    for found in files_with(cri.hulld.base, value.encode()):
        path = pathlib.Path(found.split(": b'")[0])
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, found
    for pid in own_programs(cri.hulld):
        for name in ("cmdline", "environ"):
            assert value.encode() not in pathlib.Path(f"/proc/{pid}/{name}").read_bytes(), (pid, name)


# ---- CNI plugins that lie -------------------------------------------------------------------------------------------------

RESULTS = {
    "no JSON": "not json", "nothing": "", "an array": "[]", "a NUL": '{"cniVersion":"1.0.0\\u0000"}',
    "another version": '{"cniVersion":"9.9.9"}',
    "an address that is none": '{"cniVersion":"1.0.0","ips":[{"address":"../../etc/passwd"}]}',
    "a prefix that is none": '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/99"}]}',
    "an address of another type": '{"cniVersion":"1.0.0","ips":[{"address":7}]}',
    "an index out of range": '{"cniVersion":"1.0.0","interfaces":[],"ips":[{"address":"10.0.0.1/24","interface":99999}]}',
    "a negative index": '{"cniVersion":"1.0.0","interfaces":[],"ips":[{"address":"10.0.0.1/24","interface":-7}]}',
    "control bytes": '{"cniVersion":"1.0.0","ips":[{"address":"\\u001b[2J\\n10.0.0.1/24"}]}',
    "an error with control bytes": '{"cniVersion":"1.0.0","code":11,"msg":"\\u001b[2J\\nlevel=fake","details":"x"}',
    "depth": '{"cniVersion":"1.0.0","x":' + "[" * 100000 + "]" * 100000 + "}",
}


def test_results_of_a_plugin_that_lies_are_refused_by_name(cri):
    h = cri.hulld
    bin_dir = h.base / "bin"
    bin_dir.mkdir()
    answer = h.base / "answer"
    plugin = bin_dir / "liar"
    plugin.write_text(f'#!/bin/sh\ncase $CNI_COMMAND in\nADD) cat {answer}; grep -q \'"code"\' {answer} && exit 1;;\n'
                      'VERSION) echo \'{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}\';;\nesac\nexit 0\n')
    plugin.chmod(0o755)
    h.config["cni"]["bin_dirs"] = [str(bin_dir)]
    h.write_config()
    (h.cni_conf_dir / "10-liar.conflist").write_text(json.dumps(
        {"cniVersion": "1.0.0", "name": "liar", "plugins": [{"type": "liar"}]}))
    cri.restart("stop")
    big = '{"cniVersion":"1.0.0","x":"' + "y" * (40 * MIB) + '"}'
    before = peak_kib(h.pid)
    for name, text in [*RESULTS.items(), ("size", big)]:
        answer.write_text(text)
        with pytest.raises(grpc.RpcError) as e:
            cri.run(network="pod", name=re.sub("[^a-z]", "-", name.lower()))
        assert "liar" in e.value.details(), (name, e.value.details())
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", e.value.details()), name
        assert "y" * 10000 not in e.value.details()
        assert cri.pods() == [], name
    assert h.is_sanitized() or peak_kib(h.pid) - before < 64 * 1024
    assert h.netns() == []
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", h.log()), "control bytes in the log"
    assert "\nlevel=fake" not in h.log()


# ---- HTTP/2 (CVE-2023-44487, CVE-2024-27316, CVE-2019-9512, -9515, -9516, -9518) --------------------------------------------


def flood_resets(raw):
    block = http2.hpack([*http2.GRPC_HEADERS, (":path", VERSION)][:3] + [(":path", VERSION)] + http2.GRPC_HEADERS[3:])
    for first in range(1, 60001, 200):
        raw.send(b"".join(http2.frame(http2.HEADERS, http2.END_HEADERS, s, block)
                          + http2.frame(http2.RST_STREAM, 0, s, b"\0\0\0\x08") for s in range(first, first + 200, 2)))


def flood_continuation(raw):
    raw.headers(1, VERSION, flags=0)
    piece = http2.frame(http2.CONTINUATION, 0, 1, http2.hpack([("x", "y" * 16000)]))
    for _ in range(4000):
        raw.send(piece)


def flood_empty_continuation(raw):
    raw.headers(1, VERSION, flags=0)
    for _ in range(1000):
        raw.send(http2.frame(http2.CONTINUATION, 0, 1) * 1000)


def flood_settings(raw):
    for _ in range(300):
        raw.send(http2.frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000)


def flood_pings(raw):
    for _ in range(300):
        raw.send(http2.frame(http2.PING, 0, 0, b"x" * 8) * 1000)


def flood_empty_data(raw):
    raw.headers(1, VERSION)
    for _ in range(300):
        raw.send(http2.frame(http2.DATA, 0, 1) * 1000)


def flood_header_references(raw):
    """HPACK: a field of 4 kB put into the table once, and named ten thousand times in each block."""
    name, value = b"x", b"y" * 4000
    put = b"\x40" + http2._integer(len(name), 7, 0) + name + http2._integer(len(value), 7, 0) + value
    fields = [(":method", "POST"), (":scheme", "http"), (":path", VERSION), (":authority", "x")]
    for s in range(1, 401, 2):
        block = http2.hpack(fields) + (put if s == 1 else b"") + b"\xbe" * 10000
        raw.send(http2.frame(http2.HEADERS, http2.END_HEADERS, s, block))


def flood_open_streams(raw):
    """Requests that never come to an end, as many as go."""
    for s in range(1, 20001, 2):
        raw.headers(s, VERSION)
        raw.send(http2.frame(http2.DATA, 0, s, struct.pack(">BI", 0, 16 * MIB)))


FLOODS = [f for n, f in sorted(globals().items()) if n.startswith("flood_")]


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_frames_takes_bounded_memory_and_others_are_served(cri, flood):
    pid = cri.hulld.pid
    assert serves(cri)
    before = peak_kib(pid)
    raws = [http2.Raw(cri.hulld.socket, timeout=5) for _ in range(3)]

    def attack(raw):
        with contextlib.suppress(OSError):
            flood(raw)

    # Nothing is read on that side: the answers pile up, or the connection ends.
    threads = [threading.Thread(target=attack, args=(raw,), daemon=True) for raw in raws]
    for t in threads:
        t.start()
    slowest = 0
    end = time.monotonic() + 10
    while any(t.is_alive() for t in threads) and time.monotonic() < end:
        began = time.monotonic()
        assert serves(cri)
        slowest = max(slowest, time.monotonic() - began)
    for raw in raws:
        raw.close()
    for t in threads:
        t.join(10)
    assert slowest < 8
    if not cri.hulld.is_sanitized():
        assert peak_kib(pid) - before < 16 * 1024
    # And it rests when they are gone.
    wait_for(lambda: cpu_ticks(pid, 0.2) <= 2, timeout=10)


def cpu_ticks(pid, seconds):
    def ticks():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = ticks()
    time.sleep(seconds)
    return ticks() - before


def test_a_thousand_silent_connections_leave_room_for_others(cri):
    held = []
    with contextlib.suppress(OSError):
        for _ in range(1000):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(1)
            s.connect(str(cri.hulld.socket))
            held.append(s)
    assert held
    before = fd_count(cri.hulld.pid)
    for s in held:
        s.close()


    def is_served():
        with contextlib.suppress(grpc.RpcError):
            return serves(cri)

    wait_for(is_served)
    wait_for(lambda: fd_count(cri.hulld.pid) < before or before < 50)


# ---- the table -------------------------------------------------------------------------------------------------------------------


def test_every_test_that_the_table_names_exists():
    table = (harness.REPO / "docs/security.md").read_text()
    named = set(re.findall(r"(test_\w+\.(?:py|c))::(\w+)", table))
    assert len(named) > 50
    for file, name in sorted(named):
        where = "integration" if file.endswith(".py") else "unit/*"
        texts = [p.read_text() for p in (harness.REPO / "tests").glob(f"{where}/{file}")]
        assert any(re.search(rf"\b{name}\(", t) for t in texts), f"docs/security.md: {file}::{name} does not exist"
