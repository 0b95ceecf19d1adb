# SPDX-License-Identifier: Apache-2.0
"""The same command lines for runc and for hull, side by side: exit status, what kind of error the log names, and what
is written to stdout. Where runc is not installed there is nothing to compare with."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from bundles import HULL, Bundle, pytestmark as needs_root, wait_until  # noqa: F401

RUNC = shutil.which("runc")
pytestmark = needs_root + [pytest.mark.skipif(not RUNC, reason="no runc")]

# What callers look for in errors (containerd, podman, CRI-O, Docker): the first that is found is the class.
CLASSES = [
    "does not exist", "already exists", "invalid container id format", "container not running", "container not paused",
    "cannot start an already running container", "cannot start a container that has stopped",
    "cannot exec in a stopped container", "cannot exec in a paused container", "that is not stopped",
    "executable file not found in $path", "permission denied", "cannot allocate tty", "process args cannot be empty",
    "unknown signal", "invalid format option", "pid field", "config.json exists", "requires exactly", "requires a minimum",
    "requires a maximum", "invalid log-format", "not a sub cgroup path", "no such file or directory",
]


def class_of(message):
    return next((c for c in CLASSES if c in message.lower()), "other" if message else "")


class Runtime:
    """One of the two, with a bundle, a --root and a log of its own."""

    def __init__(self, program, bundle, name):
        self.program, self.bundle = program, bundle
        self.root, self.log = bundle.path / f"{name}-root", bundle.path / f"{name}-log"
        self.config = bundle.path / name
        self.config.mkdir()
        self.cgroups = f"/hull-like-{name}-{os.getpid()}"

    def write_config(self):
        config = json.loads((self.bundle.path / "config.json").read_text())
        config["root"]["path"] = str(self.bundle.rootfs)
        # No warnings of what is left out; the two have different ones.
        for kind in config["process"]["capabilities"]:
            config["process"]["capabilities"][kind] = []
        self.shared = config

    def run(self, *args, options=(), env=None):
        """(exit status, class of the error in the log, stdout)"""
        args = [str(a).replace("BUNDLE", str(self.config)).replace("OUT", str(self.config)) for a in args]
        if "create" in args or "run" in args:
            self.shared["linux"]["cgroupsPath"] = f"{self.cgroups}/c"
            (self.config / "config.json").write_text(json.dumps(self.shared))
        self.log.write_text("")
        with open(self.config / "out", "w+") as out, open(self.config / "err", "w+") as err:
            done = subprocess.run([self.program, "--root", self.root, "--log", self.log, "--log-format", "json",
                                   *options, *args], cwd=self.config, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                  timeout=60, env=env)
            out.seek(0)
            err.seek(0)
            stdout, self.stderr = out.read(), err.read()
        self.errors = [r["msg"] for r in map(json.loads, self.log.read_text().splitlines()) if r["level"] == "error"]
        assert len(self.errors) <= 1
        return done.returncode, class_of(self.errors[0] if self.errors else ""), stdout

    def wait_for(self, name, status):
        def is_so():
            code, _, text = self.run("state", name)
            return code == 0 and json.loads(text)["status"] == status
        wait_until(is_so)

    def clean(self):
        for name in os.listdir(self.root) if self.root.exists() else []:
            self.run("delete", "--force", name)
        for hierarchy in os.listdir("/sys/fs/cgroup"):
            try:
                os.rmdir(f"/sys/fs/cgroup/{hierarchy}{self.cgroups}")
            except OSError:
                pass


@pytest.fixture
def both(tmp_path):
    tmp_path.chmod(0o755)
    bundle = Bundle(tmp_path / "bundle", tmp_path / "state")
    runtimes = [Runtime(RUNC, bundle, "runc"), Runtime(HULL, bundle, "hull")]
    for r in runtimes:
        r.write_config()
    yield runtimes
    for r in runtimes:
        r.clean()


def args(*words):
    def change(config):
        config["process"]["args"] = list(words)
    return change


def terminal(config):
    config["process"]["terminal"] = True


def host_pids(config):
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "pid"]


SLEEP = args("sleep", "100")
# Each scenario: a change of the config, then command lines one after the other, the same for both. A word "->status"
# waits for that status of container c. BUNDLE is the directory of config.json. With a "stdout" in front, stdout is
# compared, too.
SCENARIOS = {
    "life": (SLEEP, [
        "create c", "create c", "state c", "exec c true", "delete c", "state c", "create c", "start c", "start c",
        "delete c", "kill c KILL", "->stopped", "kill c KILL", "kill --all c KILL", "start c", "exec c true", "pause c",
        "resume c", "stdout ps c", "delete c", "delete c", "delete --force c", "delete -f c"]),
    "pause": (SLEEP, [
        "run -d c", "resume c", "pause c", "pause c", "exec c true", "exec --ignore-paused --nonsense c true", "start c",
        "delete c", "resume c", "resume c", "pause c", "kill c KILL", "->stopped"]),
    "pause of a created one": (SLEEP, ["create c", "pause c", "->paused", "resume c", "->created", "delete c"]),
    "kill of a created one": (SLEEP, ["create c", "kill c", "->stopped", "delete c"]),
    "kill by any name": (SLEEP, [
        "run -d c", "kill c 0", "kill c FOO", "kill c SIGFOO", "kill c -1", "kill c WINCH", "kill c SIGwinch",
        "kill c chld", "kill c 28", "kill c kill", "->stopped"]),
    "kill of all": (SLEEP, ["run --detach c", "kill --all c 9", "->stopped"]),
    "kill without a pid namespace": (lambda c: (SLEEP(c), host_pids(c)), ["run --detach c", "kill c 9", "->stopped"]),
    "run": (args("sh", "-c", "echo out; exit 7"), ["stdout run c", "stdout run --keep c", "state c", "delete c"]),
    "run, ended by a signal": (args("sh", "-c", "kill -9 $$"), ["run --keep --bundle BUNDLE c"]),
    "run of what is not there": (args("nonsense"), ["run c", "state c", "create c", "state c"]),
    "run of a missing path": (args("/non/sense"), ["run c"]),
    "run of what is no program": (args("/etc"), ["run c"]),
    "a terminal without a socket": (terminal, ["create c", "run -d c", "state c"]),
    "exec": (SLEEP, [
        "run -d c", "stdout exec c echo hello", "stdout exec c sh -c pwd", "stdout exec --cwd /tmp c sh -c pwd",
        "stdout exec -u 5:6 c id", "stdout exec --user 5 c id -u", "stdout exec -u 5:6 -g 7 -g 8 c id -G",
        "stdout exec -e X=y -e Z=z c sh -c echo\t$X$Z", "exec c sh -c exit\t9", "exec c sh -c kill\t-9\t$$",
        "exec c nonsense", "exec c /etc", "exec c /non/sense", "exec c", "exec", "exec --user x c true",
        "exec --user 5:x c true", "exec -p /nonexistent c", "exec --cwd /nonexistent c true", "exec -d -t c true",
        "exec --cap CAP_NONSENSE c true", "stdout exec c echo --user -t --", "exec --preserve-fds x c true",
        "exec --pid-file /nonexistent/pid c true", "exec --nonsense c true", "stdout exec -d c true",
        "stdout exec --no-new-privs=false c grep NoNewPrivs /proc/self/status",
        "stdout exec --no-new-privs c grep NoNewPrivs /proc/self/status", "exec --cgroup ../x c true",
        "exec --cgroup nonsense c true"]),
    "ids": (SLEEP, [
        "state ../x", "state .", "state ..", "state a/b", "create ../x", "run ..", "delete a/b", "delete --force ../x",
        "kill a\tb", "state " + "x" * 50, "create a_b+c-d.e", "delete a_b+c-d.e"]),
    "words": (SLEEP, [
        "", "nonsense", "state", "state a b", "start", "start a b", "delete", "pause", "resume a b", "kill", "kill a b c",
        "list a", "spec a", "ps", "exec", "create", "run a b", "state --nonsense a", "create --bundle", "list -f nonsense",
        "run --preserve-fds x c", "run --detach=maybe c", "spec", "state nope", "start nope", "kill nope", "pause nope",
        "resume nope", "ps nope", "exec nope true", "delete nope", "delete -f nope", "create -b /nonexistent c",
        "run -b /nonexistent c", "kill nope FOO"]),
    "spellings": (SLEEP, [
        "create -b BUNDLE c", "delete c", "create -b=BUNDLE c", "delete c", "create -bundle BUNDLE c", "delete c",
        "create -bundle=BUNDLE c", "delete c", "create --bundle=BUNDLE c", "delete c", "create c --bundle BUNDLE",
        "start c", "delete c --force", "create c -b BUNDLE --pid-file OUT/pid", "delete -force c"]),
    "pid files": (SLEEP, ["create --pid-file OUT/pid c", "delete c", "create --pid-file /nonexistent/pid c", "state c",
                          "run -d --pid-file /nonexistent/pid c", "state c"]),
    "list": (SLEEP, ["stdout list -q", "create c", "stdout list -q", "stdout list --quiet", "stdout list -q -f json"]),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_lines_give_the_same(both, name):
    change, lines = SCENARIOS[name]
    for r in both:
        change(r.shared)
    for line in lines:
        if line.startswith("->"):
            for r in both:
                r.wait_for("c", line[2:])
            continue
        with_stdout = line.startswith("stdout ")
        # A tab is a blank inside of a word.
        words = [w.replace("\t", " ") for w in line.removeprefix("stdout ").split(" ")] if line else []
        runc, hull = (r.run(*words) for r in both)
        count = 3 if with_stdout else 2
        assert hull[:count] == runc[:count], f"{line}: runc {runc} {both[0].errors}, hull {hull} {both[1].errors}"
        # A failure is told on stderr as well as in the log.
        if both[1].errors:
            assert both[1].errors[0] in both[1].stderr


def test_globals(both):
    for options in [("--log-format", "nonsense"), ("--nonsense",), ("--log", "/nonexistent/log")]:
        codes = [subprocess.run([r.program, *options, "list"], capture_output=True, timeout=60).returncode for r in both]
        assert codes[0] == codes[1] == 1, options
    for options in [("--debug",), ("--rootless", "true"), ("--rootless=auto",), ("-debug",), ("--criu", "criu"),
                    ("--systemd-cgroup=false",)]:
        assert [r.run("list", "-q", options=options)[0] for r in both] == [0, 0], options
    for word in ("--version", "-v", "--help", "-h", "help"):
        assert [subprocess.run([r.program, word], capture_output=True, timeout=60).returncode for r in both] == [0, 0]


def lines_of(runtime, text):
    """What of a text log callers can see: levels and whether the message is quoted."""
    return [re.sub(r'"[^"\\]*(?:\\.[^"\\]*)*"$', "Q", re.sub(r'^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^"]*"', "T", line))
            for line in text.splitlines()]


def test_the_text_log(both):
    seen = []
    for r in both:
        log = r.config / "text-log"
        done = subprocess.run([r.program, "--root", r.root, "--log", log, "state", "nope"], capture_output=True, text=True,
                              timeout=60)
        to_stderr = subprocess.run([r.program, "--root", r.root, "state", "nope"], capture_output=True, text=True, timeout=60)
        assert "level=" not in done.stderr and done.stderr.startswith("container does not exist")
        seen.append((lines_of(r, log.read_text()), lines_of(r, to_stderr.stderr)))
    assert seen[0] == seen[1] == (["T level=error msg=Q"],) * 2


def shape(value):
    """Names and types."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    return type(value).__name__


def test_state_and_list_have_the_same_members(both):
    states, lists, tables = [], [], []
    for r in both:
        SLEEP(r.shared)
        r.shared["annotations"] = {"org.example": "text", "other": ""}
        r.run("create", "c")
        state = json.loads(r.run("state", "c")[2])
        listed = json.loads(r.run("list", "-f", "json")[2])
        table = r.run("list")[2].splitlines()
        assert state["bundle"] == str(r.config) and state["annotations"] == r.shared["annotations"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", state["created"])
        states.append(shape(state))
        lists.append([shape(c) for c in listed])
        tables.append((table[0].split(), [re.sub(r"\S+", "x", row) for row in table[1:]]))
        assert [w for w in table[1].split() if w not in (listed[0]["bundle"], listed[0]["created"])] == \
            ["c", str(listed[0]["pid"]), "created", "root"]
    assert states[0] == states[1]
    assert lists[0] == lists[1]
    assert tables[0][0] == tables[1][0]


def test_ps_has_the_same_rows(both):
    tables = []
    for r in both:
        SLEEP(r.shared)
        r.run("run", "-d", "c")
        pid = json.loads(r.run("state", "c")[2])["pid"]
        assert json.loads(r.run("ps", "--format", "json", "c")[2]) == [pid]
        wait_until(lambda p=pid: pathlib.Path(f"/proc/{p}/comm").read_text() == "sleep\n")  # runc ends before its init does
        rows = []
        for more in [(), ("-ef",), ("-o", "pid,comm"), ("aux",)]:
            code, _, text = r.run("ps", "c", *more)
            assert code == 0
            title, *processes = text.splitlines()
            rows.append((title.split(), [row.split()[-1] for row in processes]))
        rows.append(r.run("ps", "c", "-o", "comm")[:2])
        rows.append(r.run("ps", "c", "--nonsense")[0])
        tables.append(rows)
    assert tables[0] == tables[1]


def test_specs_have_the_same_members(both):
    specs = []
    for r in both:
        made = []
        for options in ([], ["--rootless"]):
            (r.config / "config.json").unlink(missing_ok=True)
            assert r.run("spec", *options)[0] == 0
            made.append(json.loads((r.config / "config.json").read_text()))
        specs.append(made)
    for runc, hull in zip(*specs):
        assert {n["type"] for n in runc["linux"]["namespaces"]} <= {n["type"] for n in hull["linux"]["namespaces"]}
        assert [m["destination"] for m in runc["mounts"]] == [m["destination"] for m in hull["mounts"]]
        for member in ("args", "cwd", "user", "terminal", "env", "noNewPrivileges"):
            assert runc["process"][member] == hull["process"][member], member
        assert set(runc["linux"]) - {"resources"} <= set(hull["linux"])
        assert runc["root"] == hull["root"] and runc["hostname"] and hull["hostname"]


def test_preserved_fds_and_socket_activation(both, tmp_path):
    """fd 3 is the activation socket, fd 4 and 5 preserved ones."""
    seen = []
    for r in both:
        args("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4; ls /proc/self/fd | wc -l")(r.shared)
        r.shared["linux"]["cgroupsPath"] = f"{r.cgroups}/c"
        (r.config / "config.json").write_text(json.dumps(r.shared))
        (tmp_path / "three").write_text("three\n")
        (tmp_path / "four").write_text("four\n")
        # The shell's pid stays that of the runtime.
        script = f"exec 3<{tmp_path}/three 4<{tmp_path}/four; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\""
        done = subprocess.run(["sh", "-c", script, "sh", r.program, "--root", r.root, "run", "--preserve-fds", "1", "c"],
                              cwd=r.config, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        seen.append((done.returncode, done.stdout))
    assert seen[0] == seen[1]
    assert seen[1][1].startswith("1 1\nthree\nfour\n")


def test_preserved_fds_must_be_open(both):
    SLEEP(both[1].shared)
    for r in both:
        SLEEP(r.shared)
        assert r.run("run", "-d", "--preserve-fds", "30", "c")[0] == 1
        assert r.run("state", "c")[1] == "does not exist"
