# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared, each private: its own directories, socket, cgroup parent and bridge.

A server is started inside a cpuacct cgroup below its pods' parent, so that one number has the CPU time of
the server, its helpers and its pods.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "integration"))
import harness  # pylint: disable=wrong-import-position

CGROUPS = pathlib.Path("/sys/fs/cgroup")
V1 = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
RUN = pathlib.Path("/dev/shm")  # a tmpfs, as /run is on a machine that booted by itself
CNI_BIN_DIRS = ["/usr/lib/cni", "/opt/cni/bin"]

# A plugin that does nothing but answer: what a runtime itself takes for CNI.
NOOP_PLUGIN = """#!/bin/busybox sh
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","sandbox":"'$CNI_NETNS'"}],
"ips":[{"version":"4","interface":0,"address":"10.99.0.2/16"}],"dns":{}}' ;;
VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.0","0.3.1","0.4.0"]}' ;;
esac
"""


def write_noop_network(conf_dir, bin_dir):
    bin_dir.mkdir(exist_ok=True)
    plugin = bin_dir / "noop"
    plugin.write_text(NOOP_PLUGIN)
    plugin.chmod(0o755)
    for d in CNI_BIN_DIRS:  # containerd wants its "loopback" in the same directories
        for p in pathlib.Path(d).glob("*"):
            if not (bin_dir / p.name).exists():
                (bin_dir / p.name).symlink_to(p)
    write_conflist(conf_dir, {"type": "noop"})


def write_bridge_network(conf_dir, bridge, subnet, data_dir):
    write_conflist(conf_dir, {
        "type": "bridge", "bridge": bridge, "isGateway": True, "ipMasq": False,
        "ipam": {"type": "host-local", "dataDir": str(data_dir), "ranges": [[{"subnet": str(subnet)}]],
                 "routes": [{"dst": "0.0.0.0/0"}]}})


def write_conflist(conf_dir, plugin):
    (conf_dir / "10-bench.conflist").write_text(json.dumps(
        {"cniVersion": "0.4.0", "name": "bench", "plugins": [plugin]}))


def cpu_ns(group):
    return int((CGROUPS / "cpuacct" / group / "cpuacct.usage").read_text())


def pss_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))


def processes_of(word, comm=None):
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (p / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            name = (p / "comm").read_text().strip()
        except OSError:
            continue
        if word in command and (comm is None or name.startswith(comm)) and int(p.name) != os.getpid():
            found.append(int(p.name))
    return found


def favour(name):
    """A cpu cgroup that comes before what else runs on the machine: less noise, the same for all servers."""
    d = CGROUPS / "cpu" / name
    if not (CGROUPS / "cpu").is_dir():
        return None
    d.mkdir(exist_ok=True)
    (d / "cpu.shares").write_text("200000")
    return d


def retire(group):
    for _ in range(20):
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.05)


class Groups:
    """The cgroup parent of a server's pods, as a kubelet would have made it."""

    def __init__(self, name):
        self.name = name
        for c in V1:
            d = CGROUPS / c / name
            if d.parent.is_dir():
                d.mkdir(exist_ok=True)
        for knob in ("cpuset.cpus", "cpuset.mems"):
            top = CGROUPS / "cpuset" / knob
            if top.exists():
                (CGROUPS / "cpuset" / name / knob).write_text(top.read_text())
        self.server = CGROUPS / "cpuacct" / name / "server"
        self.server.mkdir(exist_ok=True)
        self.cpu = favour(f"{name}-server")
        favour(name)

    def enter_command(self):
        """For a shell: puts itself where the server is counted, and where others disturb it less."""
        places = [self.server] + ([self.cpu] if self.cpu else [])
        return "; ".join(f"echo 0 >{p}/cgroup.procs" for p in places)

    def remove(self):
        if self.cpu:
            retire(self.cpu)
        for top in [CGROUPS / c for c in (*V1, "unified", "")]:
            for _ in range(20):
                left = [pathlib.Path(d) for d, _, _ in os.walk(top / self.name, topdown=False)]
                for d in left:
                    try:
                        d.rmdir()
                    except OSError:
                        pass
                if not (top / self.name).exists():
                    break
                time.sleep(0.05)


class Hulld(harness.Hulld):
    """hulld as the tests start it, without its debug log."""

    def __init__(self, api, name, registry, config=None):
        super().__init__(api, {"log_level": "warn", "registries": [
            {"prefix": registry, "mirrors": [{"url": f"http://{registry}"}]}], **(config or {})})
        self.name = name
        self.groups = Groups(self.tag)
        self.bin_dir = self.base / "cni-bin"
        self.state = RUN / self.tag
        self.config["state"] = str(self.state)
        self.config["cni"]["bin_dirs"] = [str(self.bin_dir)]
        self.write_config()
        self.has_userns = True

    def start(self, timeout=20):
        self.argv = ["/bin/busybox", "sh", "-c",
                     f"{self.groups.enter_command()}; exec \"$@\"", "-"] + self.argv
        try:
            return super().start(timeout)
        finally:
            self.argv = self.argv[5:]

    def pod_processes(self):
        found = []
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                stat = (p / "stat").read_text()
            except OSError:
                continue
            name, parent = stat[stat.index("(") + 1:stat.rindex(")")], stat[stat.rindex(")") + 2:].split()[1]
            if name == "hull-pod" and int(parent) == self.pid:
                found.append(int(p.name))
        return found

    def destroy(self):
        super().destroy()
        shutil.rmtree(self.state, ignore_errors=True)
        self.groups.remove()


class Containerd(harness.Process):
    """containerd with its CRI plugin. runtime: the OCI runtime's path."""

    def __init__(self, api, name, registry, runtime, pause, program="containerd"):
        self.api, self.name = api, name
        self.tag = "hb" + os.urandom(4).hex()
        self.base = pathlib.Path(f"/tmp/{self.tag}")
        self.base.mkdir(mode=0o711)
        self.state = RUN / self.tag
        self.state.mkdir(mode=0o711)
        self.cni_conf_dir, self.bin_dir = self.base / "cni", self.base / "cni-bin"
        self.cni_conf_dir.mkdir()
        self.bridge, self.cgroup_parent = self.tag, f"/{self.tag}"
        number = int(self.tag[-4:], 16)
        self.subnet = f"10.{193 + number // 256 % 32}.{number % 256}.0/24"
        self.has_userns = False
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        self.version = version.split()[2].lstrip("v").split("~")[0]
        config = self.base / "config.toml"
        config.write_text(f"""version = 2
root = "{self.base}/root"
state = "{self.state}/state"
oom_score = 0
[grpc]
  address = "{self.base}/sock"
[debug]
  level = "error"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{self.bin_dir}"
  conf_dir = "{self.cni_conf_dir}"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "{runtime}"
  SystemdCgroup = false
  Root = "{self.state}/runtime"
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."{registry}"]
  endpoint = ["http://{registry}"]
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.base}/opt"
""")
        self.groups = Groups(self.tag)
        self.clients = []
        super().__init__(["/bin/busybox", "sh", "-c",
                          f"{self.groups.enter_command()}; exec \"$@\"", "-",
                          program, "--config", config], self.base / "sock", self.base / "log")

    def client(self):
        c = harness.Client(self.api, self.socket)
        self.clients.append(c)
        return c

    def pod_processes(self):
        """Shims and pause processes: what a pod costs before its containers."""
        return processes_of(str(self.base), "containerd-shim") + self.pauses()

    def contained(self):
        """Every process in a cgroup of a pod."""
        found = []
        for d in (CGROUPS / "pids" / self.tag).glob("*/cgroup.procs"):
            found += [int(pid) for pid in d.read_text().split()]
        return found

    def pauses(self):
        return [p for p in self.contained() if pathlib.Path(f"/proc/{p}/comm").read_text() == "pause\n"]

    def destroy(self):
        for c in self.clients:
            c.close()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        for pid in processes_of(str(self.base)) + self.contained():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.2)
        mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
        for m in reversed([m for m in mounts if str(self.base) in m or str(self.state) in m]):
            subprocess.run(["umount", "-l", m], check=False)
        self.groups.remove()
        if pathlib.Path(f"/sys/class/net/{self.bridge}").exists():
            subprocess.run(["ip", "link", "delete", self.bridge], check=False)
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.rmtree(self.state, ignore_errors=True)
