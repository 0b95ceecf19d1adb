# SPDX-License-Identifier: Apache-2.0
"""The OCI command line: `hull` beside crun and runc, and beside the kernel's price.

All runtimes work on the same bundles, one after the other in every round, as children of one small program that
measures (launch.c). crun refuses hosts with a hybrid cgroup layout; so that it can be measured there at all, with
its cgroups, everything runs in a mount namespace where the v2 hierarchy is not mounted.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

import servers
from servers import CGROUPS, harness

BUILD = harness.BUILD
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 2
PR_SET_CHILD_SUBREAPER = 36
PROFILE = pathlib.Path("/usr/share/containers/seccomp.json")
COMMANDS = ["run", "create", "state", "start", "list", "exec", "kill", "delete"]
ENTERING = ["run", "create", "exec"]  # what enters cgroups, and loads a seccomp profile
PEAK_KIB, WAITING_KIB, PRICE = 2048, 300, 1.6
WAITING = "waiting init, private memory"


class Runtime:
    def __init__(self, name, *argv):
        self.name, self.argv = name, [str(a) for a in argv]

    def command(self, root, *args):
        return [*self.argv, "--root", str(root / self.name.replace(" ", "-")), *map(str, args)]


def version(program):
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"version ([0-9][\w.]*)", text).group(1)


def find_runtimes(crun, runc):
    """hull, and what is installed or was named; each crun also with its cgroups off."""
    found = [Runtime("hull", BUILD / "src/hull/hull")]
    for kind, named in (("crun", crun), ("runc", runc)):
        for program in dict.fromkeys([shutil.which(kind), *named]):
            if program:
                name = f"{kind} {version(program)}"
                found.append(Runtime(name, program))
                if kind == "crun":
                    found.append(Runtime(f"{name} without cgroups", program, "--cgroup-manager=disabled"))
    return found


# --- measuring --------------------------------------------------------------------------------------------


class Figures:
    """Of each command and runtime: lists of wall and CPU time in ms, and of peak RSS in KiB."""

    def __init__(self):
        self.wall, self.cpu, self.rss = {}, {}, {}

    def add(self, row, name, wall, cpu, rss):
        for of, value in ((self.wall, wall), (self.cpu, cpu), (self.rss, rss)):
            of.setdefault(row, {}).setdefault(name, []).append(value)


def rest():
    """Before what enters cgroups. A move by cgroup.procs waits for a grace period of the kernel, unless there was
    another one just before: then it is cheap, as it never is for a container that is started by itself."""
    time.sleep(0.04)


def launch(argv):
    """Run it through launch.c: (wall ms, CPU ms, peak RSS KiB)."""
    read, write = os.pipe()
    pid = os.posix_spawn(BUILD / "tests/bench/launch", ["launch", *argv], os.environ, file_actions=[
        (os.POSIX_SPAWN_DUP2, write, 3), (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    os.close(write)
    with os.fdopen(read) as answer:
        fields = answer.read().split()
    os.waitpid(pid, 0)
    if len(fields) != 5 or fields[4] != "0":
        raise RuntimeError(f"{' '.join(argv)}: answered {fields}")
    wall, user, system, rss, _ = map(int, fields)
    return wall / 1e6, (user + system) / 1e3, rss


class Bench:
    def __init__(self, directory, progress):
        self.directory, self.progress = directory, progress
        self.root = servers.RUN / f"{directory.name}-oci"
        self.root.mkdir(mode=0o700)
        self.groups = servers.Groups(f"{directory.name}-oci")
        self.figures, self.sizes, self.calls = Figures(), {}, {}

    def close(self):
        for procs in (CGROUPS / "pids" / self.groups.name).glob("*/cgroup.procs"):
            for pid in procs.read_text().split():  # only after a failure
                os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)
        self.groups.remove()
        shutil.rmtree(self.root, ignore_errors=True)

    def bundle(self, name, args, seccomp=None):
        """A bundle with hull's default config.json (runc's, but for the order of keys), in a version all know."""
        bundle = self.root / "bundles" / name
        for d in ("bin", "proc", "dev", "sys"):
            (bundle / "rootfs" / d).mkdir(parents=True)
        shutil.copy2("/bin/busybox", bundle / "rootfs/bin/busybox")
        for program in ("true", "pause"):
            shutil.copy2(BUILD / "tests/bench" / program, bundle / "rootfs/bin" / program)
        subprocess.run([BUILD / "src/hull/hull", "spec", "-b", bundle], check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["ociVersion"] = "1.0.2"
        config["process"].update(terminal=False, args=args)
        config["linux"]["cgroupsPath"] = f"/{self.groups.name}/{name}"
        if seccomp:
            config["linux"]["seccomp"] = seccomp
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def life(self, runtime, run_bundle, pause_bundle, into):
        """Every command once, on one container that only waits."""
        def timed(row, *args):
            if row in ENTERING:
                rest()
            into.add(row, runtime.name, *launch(runtime.command(self.root, *args)))

        pid_file = self.root / "pid"
        timed("run", "run", "--bundle", run_bundle, "bench")
        timed("create", "create", "--bundle", pause_bundle, "--pid-file", pid_file, "bench")
        pid = int(pid_file.read_text())
        timed("state", "state", "bench")
        timed("start", "start", "bench")
        timed("list", "list")
        timed("exec", "exec", "bench", "/bin/true")
        timed("kill", "kill", "bench", "KILL")
        os.waitpid(pid, 0)  # we are its reaper: it is gone now
        timed("delete", "delete", "bench")

    def guarded(self, runtime, run_bundle, pause_bundle, into):
        """With a seccomp profile: one that the runtime sees for the first time, and one that it knows."""
        def timed(row, *args):
            rest()
            into.add(row, runtime.name, *launch(runtime.command(self.root, *args)))

        for cache in (":seccomp", ".cache"):  # hull's, crun's
            shutil.rmtree(pathlib.Path(runtime.command(self.root)[-1]) / cache, ignore_errors=True)
        timed("run, a new seccomp profile", "run", "--bundle", run_bundle, "bench")
        timed("run, seccomp", "run", "--bundle", run_bundle, "bench")
        pid_file = self.root / "pid"
        timed("create, seccomp", "create", "--bundle", pause_bundle, "--pid-file", pid_file, "bench")
        pid = int(pid_file.read_text())
        launch(runtime.command(self.root, "start", "bench"))
        timed("exec, seccomp", "exec", "bench", "/bin/true")
        launch(runtime.command(self.root, "kill", "bench", "KILL"))
        os.waitpid(pid, 0)
        launch(runtime.command(self.root, "delete", "bench"))

    def works(self, runtime, bundles):
        """A peer that cannot do it on this machine is left out, and why is said."""
        done = subprocess.run(runtime.command(self.root, "run", "--bundle", bundles[0], "trial"),
                              capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return True
        if runtime.name == "hull":
            raise RuntimeError(f"hull run: {done.stderr}")
        self.progress(f"{runtime.name} is left out: {done.stderr.strip()[-200:]}")
        return False

    def price(self, name, row, cgroup, rootfs):
        hierarchies = [CGROUPS / c for c in servers.V1 if (CGROUPS / c).is_mount()] or [CGROUPS]
        groups = [f"{self.groups.name}/price", *hierarchies] if cgroup else ["-"]
        argv = [BUILD / "tests/bench/kernel_price", rootfs, *groups, "--", "/bin/true"]
        rest()
        self.figures.add(row, name, *launch([str(a) for a in argv]))

    def init_memory(self, runtime, bundles):
        """What waiting inits have for themselves, each, in KiB, with some of them alive; and what of it is no page of a
        file."""
        pids = []
        for n, bundle in enumerate(bundles):
            launch(runtime.command(self.root, "create", "--bundle", bundle, "--pid-file", self.root / "pid", f"m{n}"))
            pids.append(int((self.root / "pid").read_text()))
        for pid in pids:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            for row, pattern in ((WAITING, "Private_(?:Clean|Dirty)"), ("of it anonymous", "Anonymous")):
                self.sizes.setdefault(row, {}).setdefault(runtime.name, []).append(
                    sum(int(n) for n in re.findall(rf"^{pattern}:\s+(\d+)", text, re.M)))
        for n, pid in enumerate(pids):
            launch(runtime.command(self.root, "kill", f"m{n}", "KILL"))
            os.waitpid(pid, 0)
            launch(runtime.command(self.root, "delete", f"m{n}"))

    def count_calls(self, name, argv):
        if not shutil.which("strace"):
            return
        summary = self.root / "strace"
        subprocess.run(["strace", "-f", "-qq", "-c", "-o", summary, *argv], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)
        total = re.search(r"([0-9]+)(?:\s+[0-9]+)? total$", summary.read_text(), re.M)
        self.calls[name] = int(total.group(1))


def isolate():
    """Our own mounts, without the v2 hierarchy of a hybrid host. What a runtime leaves behind comes to us."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) < 0 or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) < 0:
        raise OSError(ctypes.get_errno(), "make a mount namespace")
    unified = CGROUPS / "unified"
    hybrid = unified.is_mount()
    if hybrid and libc.umount2(str(unified).encode(), MNT_DETACH) < 0:
        raise OSError(ctypes.get_errno(), f"unmount {unified}")
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return hybrid


def default_profile():
    """The distribution's default profile as an engine would write it for the default capabilities."""
    if not PROFILE.exists():
        return None
    profile = json.loads(PROFILE.read_text())
    caps, arch = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}, "amd64"
    rules = []
    for rule in profile["syscalls"]:
        needs, without = rule.get("includes") or {}, rule.get("excludes") or {}
        if not set(needs.get("caps", [])) <= caps or arch not in needs.get("arches", [arch]):
            continue
        if set(without.get("caps", [])) & caps or arch in without.get("arches", []):
            continue
        rules.append({k: v for k, v in rule.items() if k in ("names", "action", "args", "errnoRet") and v})
    return {"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": rules}


def measure(directory, rounds, crun, runc, progress):
    """All of it, in a child: the mount namespace is its own. Returns the text for the report."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
            with os.fdopen(write, "w") as out:
                out.write(measured(directory, rounds, crun, runc, progress))
            status = 0
        except BaseException as x:  # pylint: disable=broad-except
            print(f"{type(x).__name__}: {x}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError("the OCI command line could not be measured")
    return text


def measured(directory, rounds, crun, runc, progress):
    hybrid = isolate()
    bench = Bench(directory, progress)
    try:
        profile = default_profile()
        names = len({n for rule in profile["syscalls"] for n in rule["names"]}) if profile else 0
        waiting = [bench.bundle(f"waiting{n}", ["/bin/true"]) for n in range(4)]
        plain = (bench.bundle("run", ["/bin/true"]), bench.bundle("pause", ["/bin/pause"]))
        guarded = (bench.bundle("run-seccomp", ["/bin/true"], profile),
                   bench.bundle("pause-seccomp", ["/bin/pause"], profile)) if profile else None
        runtimes = [r for r in find_runtimes(crun, runc) if bench.works(r, plain)]
        rootfs = plain[0] / "rootfs"
        for i in range(rounds + 1):  # the first fills caches and is not counted
            into = bench.figures if i else Figures()
            for runtime in runtimes:
                if i:
                    bench.price("without cgroups", "price", False, rootfs)
                    bench.price("with cgroups", "price", True, rootfs)
                bench.life(runtime, *plain, into)
                if guarded and i % 3 == 0:
                    bench.guarded(runtime, *guarded, into)
            if i % 10 == 0:
                progress(f"command line: round {i} of {rounds}")
        for runtime in runtimes:
            bench.init_memory(runtime, waiting)
            bench.count_calls(runtime.name, runtime.command(bench.root, "run", "--bundle", plain[0], "bench"))
        bench.count_calls("price", [str(BUILD / "tests/bench/kernel_price"), str(rootfs), "-", "--", "/bin/true"])
        progress("sizes of the command line")
        return report(bench, runtimes, hybrid, names)
    finally:
        bench.close()


# --- the tables -------------------------------------------------------------------------------------------


def number(x):
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def p90(values):
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.9))]


def cell(values, spread=True):
    if not values:
        return "-"
    return number(statistics.median(values)) + (f" ({number(p90(values))})" if spread else "")


def ratio(of, name):
    both = of.get("hull"), of.get(name)
    return f"{statistics.median(both[1]) / statistics.median(both[0]):.1f} x" if all(both) else "-"


def table(first, runtimes, rows, spread):
    names = [r.name for r in runtimes]
    lines = ["| " + " | ".join([first, *names]) + " |", "|---" * (len(names) + 1) + "|"]
    for row, of in rows.items():
        cells = [cell(of.get(n), spread) + (f", {ratio(of, n)}" if n != "hull" and of.get(n) else "") for n in names]
        lines.append("| " + " | ".join([row, *cells]) + " |")
    return "\n".join(lines)


def prices(bench):
    run = statistics.median(bench.figures.wall["run"]["hull"])
    run_cpu = statistics.median(bench.figures.cpu["run"]["hull"])
    lines = ["| the kernel's price | wall p50 (p90), ms | `hull run` : price | CPU p50 (p90), ms | `hull run` : price |",
             "|---|---|---|---|---|"]
    for name, values in bench.figures.wall["price"].items():
        cpu = bench.figures.cpu["price"][name]
        lines.append(f"| {name} | {cell(values)} | {run / statistics.median(values):.2f} x | {cell(cpu)} | "
                     f"{run_cpu / statistics.median(cpu):.2f} x |")
    return "\n".join(lines)


def targets(bench, runtimes):
    """What was to be reached, beside the installed crun and any other, and what is."""
    f = bench.figures
    cruns = [r.name for r in runtimes if r.name.startswith("crun") and not r.name.endswith("cgroups")]
    lines = ["| target | limit | measured |", "|---|---|---|"]
    for command in (c for c in COMMANDS if c != "list"):
        parts = [f"{statistics.median(f.wall[command]['hull']) / statistics.median(f.wall[command][n]):.2f} of {n}"
                 for n in cruns]
        lines.append(f"| `{command}`, wall p50, of crun's | 0.33 | {', '.join(parts) or '-'} |")
    run = statistics.median(f.wall["run"]["hull"])
    for name, values in f.wall["price"].items():
        lines.append(f"| `run` : the kernel's price {name} | {PRICE} x | {run / statistics.median(values):.2f} x |")
    peak = max(statistics.median(f.rss[c]["hull"]) for c in COMMANDS)
    lines.append(f"| peak RSS of a command, KiB | {number(PEAK_KIB)} | {number(peak)} at most |")
    waiting = statistics.median(bench.sizes[WAITING]["hull"])
    lines.append(f"| private memory of a waiting init, KiB | {WAITING_KIB} | {number(waiting)} |")
    return "\n".join(lines)


def report(bench, runtimes, hybrid, names):
    f = bench.figures
    calls = "; ".join(f"{n} {c}" for n, c in bench.calls.items() if n != "price")
    seccomp = ["run, a new seccomp profile", *(f"{c}, seccomp" for c in ENTERING)]
    memory = {**{f"peak RSS of `{c}`": f.rss[c] for c in COMMANDS}, **bench.sizes}
    parts = [
        "The OCI command line: its targets, and what they are in the tables below.", targets(bench, runtimes),
        f"{len(f.wall['run']['hull'])} rounds. Wall time in ms, p50 and in brackets p90; behind it the ratio of the p50 "
        f"to hull's. seccomp is the distribution's default profile of {names} names.",
        table("wall, ms", runtimes, {c: f.wall[c] for c in (*COMMANDS, *seccomp) if c in f.wall}, True),
        prices(bench),
        "CPU time (user and system, of the command and what it waited for), ms.",
        table("CPU, ms", runtimes, {c: f.cpu[c] for c in (*COMMANDS, *seccomp) if c in f.cpu}, False),
        "Memory, KiB.", table("KiB", runtimes, memory, False)]
    if calls:
        parts.append(f"System calls of a `run`: {calls}; the kernel's price {bench.calls['price']}.")
    if hybrid:
        parts.append("The v2 hierarchy of this hybrid host was not mounted for any of them: crun refuses such hosts.")
    return "\n\n".join(parts)
