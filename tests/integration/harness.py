# SPDX-License-Identifier: Apache-2.0
"""A private hulld for tests, its clients, and the search for what it left behind.

Every instance has one short random tag, which stands in the names of all that it makes: directories,
bridge, cgroup parents. So instances run side by side, and what is left can be found by the tag alone.
"""
import ipaddress
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import time

import grpc

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HULL_BUILD", REPO / "build"))
# Another build folder for hull-pod and hull-unpack: ThreadSanitizer's shadow does not fit into the address
# space that the image worker gets, and neither of them has threads.
HELPERS = pathlib.Path(os.environ["HULL_HELPERS"]) if "HULL_HELPERS" in os.environ else None
MESSAGE_MAX = 16 * 1024 * 1024
CGROUP_ROOT = pathlib.Path("/sys/fs/cgroup")
SANITIZER_WORDS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                   "WARNING: ThreadSanitizer", "stack smashing", "buffer overflow detected")


def load_api(into):
    """The message classes of api.proto, generated into the directory `into` and imported."""
    subprocess.run(["protoc", "-I", REPO / "proto", f"--python_out={into}", "api.proto"], check=True)
    sys.path.insert(0, str(into))
    import api_pb2  # pylint: disable=import-error
    return api_pb2


class Service:
    """The methods of one service as attributes, made from its descriptor: no generated stub is needed."""

    def __init__(self, api, channel, name):
        service = api.DESCRIPTOR.services_by_name[name]
        for method in service.methods:
            make = channel.unary_stream if method.server_streaming else channel.unary_unary
            setattr(self, method.name, make(
                f"/{service.full_name}/{method.name}",
                request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
                response_deserializer=getattr(api, method.output_type.name).FromString))


class Client:
    """client.runtime.Version(api.VersionRequest()), client.image.ListImages(...)."""

    def __init__(self, api, socket):
        self.api = api
        self.channel = grpc.insecure_channel(f"unix://{socket}", options=[
            ("grpc.max_receive_message_length", 2 * MESSAGE_MAX),
            ("grpc.max_send_message_length", 2 * MESSAGE_MAX),
            # Otherwise all clients of one process share a connection.
            ("grpc.use_local_subchannel_pool", 1)])
        self.runtime = Service(api, self.channel, "RuntimeService")
        self.image = Service(api, self.channel, "ImageService")

    def close(self):
        self.channel.close()

    def pod_config(self, name="pod", **kw):
        """A PodSandboxConfig on the host network, without anything special; kw are more of its fields."""
        a = self.api
        options = a.NamespaceOption(network=a.NODE, pid=a.CONTAINER, ipc=a.POD)
        linux = kw.pop("linux", None) or a.LinuxPodSandboxConfig(
            security_context=a.LinuxSandboxSecurityContext(namespace_options=options))
        return a.PodSandboxConfig(
            metadata=a.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="test", attempt=0),
            linux=linux, **kw)


class Process:
    """A server program under test, its log, and its end."""

    def __init__(self, argv, socket, log_path, env=None):
        self.argv, self.socket, self.log_path = [str(a) for a in argv], pathlib.Path(socket), log_path
        self.env = {**os.environ, **(env or {})}
        self.process = None
        self.log_begin = 0

    def start(self, timeout=60):
        self.log_begin = len(self.log())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env, start_new_session=True)
        end = time.monotonic() + timeout
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.argv[0]} does not serve:\n{self.log()[-4000:]}")
            time.sleep(0.01)
        return self

    def answers(self):
        import socket
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.socket))
                return True
            except OSError:
                return False

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def send(self, sig):
        os.kill(self.pid, sig)

    def stop(self, timeout=60):
        """SIGTERM and wait. Returns the exit status."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self):
        """SIGKILL, as the OOM killer does it."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def sanitizer_report(self):
        return [line for line in self.log().splitlines() if any(w in line for w in SANITIZER_WORDS)]

    def is_sanitized(self):
        maps = pathlib.Path(f"/proc/{self.pid}/maps").read_text()
        return any(w in maps for w in ("libasan", "libtsan", "libubsan", "clang_rt"))

    def pss_kib(self):
        for line in pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
        raise RuntimeError("no Pss")


def remove_rules(bridge):
    """The rules of the built-in network stay with its bridge (docs/decisions/network-attachments.md): a bridge that goes
    takes them along."""
    chain = f"HULL-{bridge}"
    for family in ("iptables", "ip6tables"):
        saved = subprocess.run([f"{family}-save"], capture_output=True, text=True, check=False).stdout
        script, table = [], ""
        for line in saved.splitlines():
            if line.startswith("*"):
                table = [line]
            elif line.startswith("-A ") and line.endswith(f" -j {chain}"):
                table.append("-D" + line[2:])
            elif line.startswith(f":{chain} "):
                table.append(f"-F {chain}")
            elif line == "COMMIT" and len(table) > 1:
                script += table + [f"-X {chain}", "COMMIT"]
        if script:
            subprocess.run([f"{family}-restore", "--noflush"], input="\n".join(script) + "\n", text=True, check=False,
                           capture_output=True)


class Hulld(Process):
    """A private hulld. config is merged over the private defaults, key by key of the top level."""

    def __init__(self, api, config=None, args=(), base=None):
        self.api = api
        self.tag = "ht" + secrets.token_hex(4)
        self.base = pathlib.Path(base or f"/tmp/{self.tag}")
        self.base.mkdir(mode=0o700)
        self.root, self.state = self.base / "root", self.base / "state"
        self.netns_dir = self.base / "netns"
        self.cni_conf_dir = self.base / "cni"
        self.cni_conf_dir.mkdir()
        self.bridge = self.tag[:15]
        number = int(self.tag[-4:], 16) % 8192  # of 10.192.0.0/11
        self.subnet = ipaddress.ip_network((int(ipaddress.ip_address("10.192.0.0")) + number * 256, 24))
        self.cgroup_parent = f"/{self.tag}"
        self.config_path = self.base / "config.yaml"
        self.config = {
            "listen": f"unix://{self.base}/hull.sock", "root": str(self.root), "state": str(self.state),
            "netns_dir": str(self.netns_dir), "log_level": "debug",
            # A development machine has no CAP_SYS_RESOURCE.
            "restrict_oom_score_adj": True,
            "cni": {"conf_dir": str(self.cni_conf_dir), "default_bridge": self.bridge,
                    "default_subnet": str(self.subnet)},
            **(config or {})}
        self.write_config()
        self.clients = []
        if HELPERS:
            (self.base / "helpers").mkdir()
            for program in ("src/pod/hull-pod", "src/image/hull-unpack"):
                (self.base / "helpers" / os.path.basename(program)).symlink_to(HELPERS / program)
            self.config.setdefault("helper_dir", str(self.base / "helpers"))
            self.write_config()
        super().__init__([BUILD / "src/daemon/hulld", "--config", self.config_path, *args],
                         self.base / "hull.sock", self.base / "hulld.log")

    def answers(self):
        """Not only somebody: a child of one that was killed may have the same socket for a moment."""
        return " serves " in self.log()[self.log_begin:] and super().answers()

    def write_config(self):
        # JSON is YAML.
        self.config_path.write_text(json.dumps(self.config, indent=1) + "\n")

    def client(self):
        c = Client(self.api, self.socket)
        self.clients.append(c)
        return c

    def restart(self):
        self.stop()
        return self.start()

    # --- what is left ---

    def mounts(self):
        text = pathlib.Path("/proc/self/mountinfo").read_text()
        return [line.split()[4] for line in text.splitlines() if str(self.base) in line]

    def netns(self):
        return sorted(p.name for p in self.netns_dir.glob("cni-*"))

    def cgroups(self):
        """Directories of our parents in every hierarchy, deepest first."""
        found = []
        for top in [CGROUP_ROOT, *CGROUP_ROOT.glob("*")]:
            parent = top / self.tag
            if parent.is_dir() and parent.stat().st_dev == top.stat().st_dev:
                found += [pathlib.Path(d) for d, _, _ in os.walk(parent, topdown=False)]
        return found

    def processes(self):
        """Processes of this instance: our directory in their command line, or our tag in their cgroup, or, of
        monitors, our directory open. hulld itself is not one of them."""
        found = {}
        for proc in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                cgroup = (proc / "cgroup").read_text()
            except OSError:
                continue
            pid = int(proc.name)
            if pid in (os.getpid(), self.process and self.process.pid):
                continue
            if str(self.base) in command or f"/{self.tag}" in cgroup or \
                    (command.startswith("hull-pod") and self.is_open_in(proc)):
                found[pid] = command.strip()
        return found

    def is_open_in(self, proc):
        """Has a process a file open below our directory?"""
        try:
            return any(os.readlink(fd).startswith(f"{self.base}/") for fd in (proc / "fd").iterdir())
        except OSError:
            return False

    def links(self):
        """Host ends of veth pairs in our bridge."""
        return sorted(p.name for p in pathlib.Path(f"/sys/class/net/{self.bridge}/brif").glob("*"))

    def leaks(self, wait=30.0):
        """What pods left: {} when there is nothing. For use when no pod should be there any more. The netns
        directory's own mount is not a leak: it is made once."""
        end = time.monotonic() + wait
        while True:
            left = {
                "mounts": [m for m in self.mounts() if m != str(self.netns_dir)],
                "netns": self.netns(),
                "cgroups": [str(c) for c in self.cgroups()],
                "processes": self.processes(),
                "links": self.links(),
                "pods": sorted(p.name for p in (self.state / "pods").glob("*")),
                "containers": sorted(p.name for p in (self.root / "containers").glob("*")),
            }
            left = {k: v for k, v in left.items() if v}
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.05)

    # --- the end ---

    def destroy(self):
        """Take away everything of this instance, whatever state it is in."""
        for c in self.clients:
            c.close()
        self.kill()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        end = time.monotonic() + 20
        while self.processes() and time.monotonic() < end:
            time.sleep(0.02)
        for mount in sorted(self.mounts(), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)
        for cgroup in self.cgroups():
            try:
                cgroup.rmdir()
            except OSError:
                pass
        if pathlib.Path(f"/sys/class/net/{self.bridge}").exists():
            subprocess.run(["ip", "link", "delete", self.bridge], check=False)
        remove_rules(self.bridge)
        if not self.mounts():
            shutil.rmtree(self.base, ignore_errors=True)
