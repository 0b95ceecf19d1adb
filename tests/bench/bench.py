# SPDX-License-Identifier: Apache-2.0
"""hulld beside containerd, and hull beside runc and crun: the same requests by the same client, in turn.

The machine may be busy with other things, so nothing is measured by itself: in every round each server gets
the same requests, one server after the other, and what counts are medians and their ratios.
"""
import argparse
import ctypes
import concurrent.futures
import datetime
import os
import pathlib
import platform
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import oci
import servers
from servers import harness
import imagekit

BUILD = harness.BUILD
CONTAINER = ["/bin/busybox", "sleep", "100000"]


class Samples:
    """Milliseconds (or what else) by row and server."""

    def __init__(self):
        self.of = {}

    def add(self, row, server, value):
        self.of.setdefault(row, {}).setdefault(server, []).append(value)

    def timed(self, row, server, fn, *args):
        start = time.perf_counter()
        result = fn(*args)
        self.add(row, server, (time.perf_counter() - start) * 1e3)
        return result


def p90(values):
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.9))]


# --- what is sent -----------------------------------------------------------------------------------


class Pods:
    """Pods on one server, with numbers so that no two have a name or ids in common."""

    def __init__(self, server, image, api):
        self.server, self.image, self.api = server, image, api
        self.client = server.client()
        self.logs = server.base / "logs"
        self.logs.mkdir(exist_ok=True)
        self.count = 0

    def config(self, network, userns):
        a, n = self.api, self.count
        self.count += 1
        options = a.NamespaceOption(network=network, pid=a.CONTAINER, ipc=a.POD)
        if userns:
            m = a.IDMapping(host_id=(n % 1000 + 16) << 16, container_id=0, length=65536)
            options.userns_options.CopyFrom(a.UserNamespace(mode=a.POD, uids=[m], gids=[m]))
        return a.PodSandboxConfig(
            metadata=a.PodSandboxMetadata(name=f"p{n}", uid=f"u{n}", namespace="bench"),
            hostname="" if network == a.NODE else f"p{n}", log_directory=str(self.logs),
            linux=a.LinuxPodSandboxConfig(
                cgroup_parent=self.server.cgroup_parent,
                security_context=a.LinuxSandboxSecurityContext(
                    namespace_options=options, seccomp=self.default_profile())))

    def default_profile(self):
        return self.api.SecurityProfile(profile_type=self.api.SecurityProfile.RuntimeDefault)

    def run(self, config):
        return self.client.runtime.RunPodSandbox(self.api.RunPodSandboxRequest(config=config)).pod_sandbox_id

    def create(self, pod, config):
        a = self.api
        container = a.ContainerConfig(
            metadata=a.ContainerMetadata(name="c"), image=a.ImageSpec(image=self.image), command=CONTAINER,
            log_path=f"{pod}.log",
            linux=a.LinuxContainerConfig(security_context=a.LinuxContainerSecurityContext(
                namespace_options=config.linux.security_context.namespace_options,
                seccomp=self.default_profile())))
        return self.client.runtime.CreateContainer(a.CreateContainerRequest(
            pod_sandbox_id=pod, config=container, sandbox_config=config)).container_id

    def start(self, container):
        self.client.runtime.StartContainer(self.api.StartContainerRequest(container_id=container))

    def exec_true(self, container):
        done = self.client.runtime.ExecSync(self.api.ExecSyncRequest(
            container_id=container, cmd=["/bin/busybox", "true"], timeout=10))
        if done.exit_code != 0:
            raise RuntimeError(f"{self.server.name}: true answered {done.exit_code}: {done.stderr}")

    def stop(self, pod, container=None):
        if container:
            self.client.runtime.StopContainer(self.api.StopContainerRequest(container_id=container, timeout=0))
        self.client.runtime.StopPodSandbox(self.api.StopPodSandboxRequest(pod_sandbox_id=pod))

    def remove(self, pod):
        self.client.runtime.RemovePodSandbox(self.api.RemovePodSandboxRequest(pod_sandbox_id=pod))


# --- measuring --------------------------------------------------------------------------------------


def one_life(pods, name, network, userns, samples):
    """A pod of one container from RunPodSandbox to RemovePodSandbox."""
    who, cpu = pods.server.name, servers.cpu_ns(pods.server.groups.name)
    config = pods.config(network, userns)
    pod = samples.timed(f"RunPodSandbox, {name}", who, pods.run, config)
    start = time.perf_counter()
    container = samples.timed(f"CreateContainer, {name}", who, pods.create, pod, config)
    samples.timed(f"StartContainer, {name}", who, pods.start, container)
    samples.add(f"CreateContainer + StartContainer, {name}", who, (time.perf_counter() - start) * 1e3)
    for _ in range(2):
        samples.timed(f"ExecSync of true, {name}", who, pods.exec_true, container)
    samples.timed(f"StopContainer + StopPodSandbox, {name}", who, pods.stop, pod, container)
    samples.timed(f"RemovePodSandbox, {name}", who, pods.remove, pod)
    samples.add(f"CPU time of all these, {name}", who, (servers.cpu_ns(pods.server.groups.name) - cpu) / 1e6)


def lives(all_pods, api, rounds, samples, progress):
    """All kinds of pods. The network's configuration is what changes between the kinds, so a kind at a time."""
    kinds = [("host network", api.NODE, False, None),
             ("no-op CNI", api.POD, False, "noop"), ("no-op CNI, user namespace", api.POD, True, "noop"),
             ("bridge CNI", api.POD, False, "bridge"), ("bridge CNI, user namespace", api.POD, True, "bridge")]
    for network in ("noop", "bridge"):
        for pods in all_pods:
            set_network(pods, api, network)
        for i in range(rounds + 1):  # the first fills caches and is not counted
            into = samples if i else Samples()
            for name, mode, userns, wants in kinds:
                if wants not in (network, None) or (wants is None and network == "bridge"):
                    continue
                for pods in all_pods:
                    if not userns or pods.server.has_userns:
                        one_life(pods, name, mode, userns, into)
            progress(f"{network}: round {i} of {rounds}")


def set_network(pods, api, network):
    """Write the configuration, and wait until the server that watches the folder has seen it."""
    s = pods.server
    if network == "noop":
        servers.write_noop_network(s.cni_conf_dir, s.bin_dir)
    else:
        servers.write_bridge_network(s.cni_conf_dir, s.bridge, s.subnet, s.base / "ipam")
    time.sleep(0.3)
    for _ in range(200):
        status = pods.client.runtime.Status(api.StatusRequest()).status
        if all(c.status for c in status.conditions):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{s.name} is not ready: {status}")


def in_sequence(pods, api, count, samples):
    configs = [pods.config(api.POD, False) for _ in range(count)]
    ids = samples.timed(f"{count} pods one after the other", pods.server.name,
                        lambda: [pods.run(c) for c in configs])
    clear(pods, ids)


def at_once(pods, api, count, samples):
    configs = [pods.config(api.POD, False) for _ in range(count)]
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        ids = samples.timed(f"{count} pods at once", pods.server.name,
                            lambda: list(pool.map(pods.run, configs)))
    clear(pods, ids)


def clear(pods, ids):
    for pod in ids:
        pods.stop(pod)
        pods.remove(pod)


def memory(pods, api, count, samples):
    """PSS in KiB with pods of one container each, and of what each pod adds: monitor, or shim and pause."""
    who, ids = pods.server.name, []
    for _ in range(count):
        config = pods.config(api.POD, pods.server.has_userns)
        pod = pods.run(config)
        ids.append(pod)
        container = pods.create(pod, config)
        pods.start(container)
        pods.exec_true(container)
    time.sleep(0.5)
    samples.add(f"PSS of the daemon with {count} pods", who, servers.pss_kib(pods.server.pid))
    per_pod = sum(servers.pss_kib(p) for p in pods.server.pod_processes()) / count
    samples.add(f"PSS a pod (hull-pod; shim and pause), mean of {count}", who, per_pod)
    clear(pods, ids)


# --- the table --------------------------------------------------------------------------------------


def number(x):
    return f"{x:,.0f}" if x >= 1000 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def table(samples, names, reference, unit):
    head = ["", *(f"{n} p50 (p90)" for n in names), *(f"{n} : {reference}" for n in names if n != reference)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row, by in samples.of.items():
        cells = [f"{row}, {unit}" if unit else row]
        for n in names:
            v = by.get(n)
            spread = f" ({number(p90(v))})" if v and len(v) > 1 else ""
            cells.append(f"{number(statistics.median(v))}{spread}" if v else "-")
        for n in names:
            if n != reference:
                both = by.get(n) and by.get(reference)
                cells.append(f"{statistics.median(by[n]) / statistics.median(by[reference]):.1f} x" if both else "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine():
    cpu = next((x.split(":")[1].strip() for x in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if x.startswith("model name")), platform.machine())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    v2 = "memory" in pathlib.Path("/sys/fs/cgroup/cgroup.controllers").read_text() \
        if pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists() else False
    kernel = ".".join(platform.release().split(".")[:2])
    return (f"{os.cpu_count()} processors ({cpu}), {memory_gib:.0f} GiB, Linux {kernel}, "
            f"cgroup {'v2' if v2 else 'v1 or hybrid'}, load average {os.getloadavg()[0]:.1f} before and "
            "{load:.1f} after")


def static_pause(directory):
    """What the classic pause image has: a static program that sleeps."""
    source, program = directory / "pause.c", directory / "pause"
    source.write_text("#include <unistd.h>\nint main(void)\n{\n\tfor (;;)\n\t\tpause();\n}\n")
    subprocess.run(["cc", "-O2", "-static", "-s", "-o", program, source], check=True)
    return program.read_bytes()


def first_line(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


# --- all of it --------------------------------------------------------------------------------------


def start_servers(api, registry, pause, options, progress):
    made = [servers.Hulld(api, "hulld", registry)]
    made[0].start()
    if not options.only_hull and shutil.which(options.containerd):
        for runtime in ("runc", "crun"):
            path = shutil.which(runtime)
            if path:
                s = servers.Containerd(api, f"containerd+{runtime}", registry, path, pause, options.containerd)
                made.append(s)
                s.start()
                progress(f"{s.name}: containerd {s.version}")
    return made


def still_works(pods, api, progress):
    """A peer that cannot run a pod on this machine is left out, and why is said."""
    try:
        one_life(pods, "trial", api.NODE, False, Samples())
        return True
    except Exception as x:  # pylint: disable=broad-except
        if pods.server.name == "hulld":
            raise
        progress(f"{pods.server.name} is left out: {getattr(x, 'details', lambda: x)()}")
        return False


def measure(api, directory, made, options, progress):
    busybox = pathlib.Path("/bin/busybox").read_bytes()
    image = imagekit.Image(imagekit.tar(
        *(imagekit.directory(d) for d in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var")),
        imagekit.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"), imagekit.file("etc/group", b"root:x:0:\n"),
        imagekit.file("bin/busybox", busybox, mode=0o755)))
    pause_image = imagekit.Image(imagekit.tar(imagekit.file("pause", static_pause(directory), mode=0o755)),
                                 config={"Entrypoint": ["/pause"]})
    times, sizes = Samples(), Samples()
    with imagekit.Registry() as registry:
        ref = registry.push("bench/busybox", image)
        pause = registry.push("bench/pause", pause_image)
        made += start_servers(api, registry.host, pause, options, progress)
        all_pods = [Pods(s, ref, api) for s in made]
        for pods in all_pods:
            pods.client.image.PullImage(api.PullImageRequest(image=api.ImageSpec(image=ref)))
            set_network(pods, api, "noop")
            sizes.add("PSS of the daemon with an image and no pod", pods.server.name,
                      servers.pss_kib(pods.server.pid))
        all_pods = [p for p in all_pods if still_works(p, api, progress)]
    lives(all_pods, api, options.rounds, times, progress)
    for pods in all_pods:
        set_network(pods, api, "noop")
    for _ in range(2):
        for pods in all_pods:
            in_sequence(pods, api, 50, times)
            at_once(pods, api, 20, times)
        progress("50 and 20 pods")
    for pods in all_pods:
        memory(pods, api, 20, sizes)
    progress("sizes")
    return times, sizes


def report(results, made):
    times, sizes = results
    names = [s.name for s in made if s.name in next(iter(times.of.values()))]
    versions = [x for x in (first_line("containerd", "--version"), first_line("runc", "--version"),
                            first_line("crun", "--version")) if x]
    return "\n\n".join([
        f"Beside hulld: {'; '.join(versions)}. Times in ms, p50 and in brackets p90; a ratio is of the p50.",
        table(times, names, "hulld", ""), "Memory in KiB.", table(sizes, names, "hulld", "")])


def ask_for_short_slices():
    """Since Linux 6.12 a task may ask for a time slice (sched_setattr(2), 100 us at least), and one with a shorter
    slice runs at once when it wakes up. For us and all that we start: less noise, the same for all servers."""
    numbers = {"x86_64": 314, "aarch64": 274}
    attr = struct.pack("IIQiIQQQ", 48, 0, 0, 0, 0, 100_000, 0, 0)
    if platform.machine() in numbers:
        ctypes.CDLL(None).syscall(numbers[platform.machine()], 0, attr, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=pathlib.Path, help="write the table there too")
    parser.add_argument("--containerd", default="containerd", help="the containerd to compare with")
    parser.add_argument("--only-hull", action="store_true", help="hulld without the peers")
    parser.add_argument("--only-oci", action="store_true", help="only the OCI command line")
    parser.add_argument("--oci-rounds", type=int, default=30)
    parser.add_argument("--crun", action="append", default=[], help="another crun to compare with (may come often)")
    parser.add_argument("--runc", action="append", default=[], help="another runc")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = pathlib.Path(tempfile.mkdtemp(prefix="hull-bench-"))
    began, made = time.monotonic(), []

    def progress(text):
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    machine_before = machine()
    ask_for_short_slices()
    own_group = servers.favour(directory.name)
    try:
        if own_group:
            (own_group / "cgroup.procs").write_text(str(os.getpid()))
        parts = []
        if not options.only_oci:
            api = harness.load_api(directory)
            parts.append(report(measure(api, directory, made, options, progress), made))
        parts.append(oci.measure(directory, options.oci_rounds, options.crun, options.runc, progress))
        load_line = machine_before.format(load=os.getloadavg()[0])
        text = "\n\n".join([f"Measured {datetime.date.today()} on {load_line}.", *parts]) + "\n"
    except BaseException:
        for s in made:
            print(f"--- {s.name} ---\n{s.log()[-1000:]}", file=sys.stderr)
        raise
    finally:
        for s in made:
            s.destroy()
        if own_group:
            (servers.CGROUPS / "cpu/cgroup.procs").write_text(str(os.getpid()))
            servers.retire(own_group)
        shutil.rmtree(directory, ignore_errors=True)
    print(text)
    if options.output:
        options.output.write_text(text)


main()
