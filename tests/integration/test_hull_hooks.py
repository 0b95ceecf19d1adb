# SPDX-License-Identifier: Apache-2.0
"""Hooks of the OCI specification: when each kind runs, in which namespaces, with what, and what a failing one undoes."""
import json
import os
import pathlib
import stat
import time

import pytest

from bundles import C1, bundle, pytestmark, said  # noqa: F401 pylint: disable=unused-import

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
IN_CONTAINER = ("startContainer",)  # where the program is looked up


class Hooks:
    """Scripts that write what they see into files: on the host, or (startContainer) inside of the root."""

    def __init__(self, bundle, tmp_path):
        self.bundle, self.dir, self.inside = bundle, tmp_path / "hooks", bundle.rootfs / "hooks"
        for d in (self.dir, self.inside):
            d.mkdir()
            d.chmod(0o777)

    def seen(self, kind):
        return (self.inside if kind in IN_CONTAINER else self.dir) / kind

    def add(self, kind, script, **keys):
        shown = "/hooks" if kind in IN_CONTAINER else str(self.dir)
        n = len(list(self.dir.glob("*.sh")))
        name = f"{kind}{n}.sh"
        text = f"#!/bin/sh\nout={shown}/{kind}\n{script}\n"
        for d in (self.dir, self.inside):
            (d / name).write_text(text)
            (d / name).chmod(0o755)
        hook = {"path": f"{shown}/{name}", **keys}
        self.bundle.edit(lambda c: c.setdefault("hooks", {}).setdefault(kind, []).append(hook))

    def order(self):
        log = self.dir / "order"
        return log.read_text().split() if log.exists() else []

    def log_order(self, *kinds):
        for kind in kinds:
            self.add(kind, f"echo {kind} >> {'/hooks' if kind in IN_CONTAINER else self.dir}/order")


@pytest.fixture
def hooks(bundle, tmp_path):
    return Hooks(bundle, tmp_path)


def gone(bundle, name=C1):
    assert bundle.hull("state", name, check=False).returncode == 1
    assert not (bundle.root / name).exists()
    assert not list(pathlib.Path("/sys/fs/cgroup").glob(f"*/hull/{name}"))


# ---- when and with what ----------------------------------------------------------------------------------------------


def test_order_and_state(bundle, hooks):
    """Each gets the state as JSON on stdin, with the status of its place in the lifecycle."""
    bundle.edit(lambda c: c.update(annotations={"org.example.a": "b"}))
    for kind in KINDS:
        hooks.add(kind, f"cat > $out; echo {kind} >> {'/hooks' if kind in IN_CONTAINER else hooks.dir}/order")
    bundle.args("sleep", "100")
    bundle.create(C1)
    assert hooks.order() == KINDS[:3]
    assert not hooks.seen("startContainer").exists()
    bundle.hull("start", C1)
    pid = bundle.state(C1)["pid"]
    bundle.hull("delete", "--force", C1)
    assert hooks.order() == KINDS[:3] + KINDS[4:]
    assert (hooks.inside / "order").read_text() == "startContainer\n"
    states = {kind: json.loads(hooks.seen(kind).read_text()) for kind in KINDS}
    assert {k: s["status"] for k, s in states.items()} == {
        "prestart": "creating", "createRuntime": "creating", "createContainer": "creating",
        "startContainer": "created", "poststart": "running", "poststop": "stopped"}
    # As the runtime sees it, and as the container does.
    assert {k: s.get("pid", 0) for k, s in states.items()} == {
        "prestart": pid, "createRuntime": pid, "createContainer": 1, "startContainer": 1, "poststart": pid, "poststop": 0}
    for state in states.values():
        assert state["id"] == C1 and state["bundle"] == str(bundle.path)
        assert state["annotations"] == {"org.example.a": "b"} and state["ociVersion"].startswith("1.")


def test_several_of_a_kind_run_in_their_order(bundle, hooks):
    for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
        for word in ("first", "second", "third"):
            hooks.add(kind, f"echo {word} >> $out")
    bundle.args("true")
    bundle.hull("run", C1)
    for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
        assert hooks.seen(kind).read_text().split() == ["first", "second", "third"]


def test_args_and_env(bundle, hooks):
    for kind in KINDS:
        hooks.add(kind, 'echo "$0 $* A=$A HOME=$HOME" > $out', args=["the name", "one", "two words"], env=["A=b c"])
    bundle.args("true")
    bundle.hull("run", C1, env={**os.environ, "HOME": "/the/callers"})
    for kind in KINDS:
        # A script's own $0 is its path: argv[0] is seen by programs only.
        assert hooks.seen(kind).read_text().split(" ", 1)[1] == "one two words A=b c HOME=\n", kind


def test_argv0_and_no_args(bundle, hooks):
    bundle.edit(lambda c: c.update(hooks={"createRuntime": [
        {"path": "/bin/busybox", "args": ["touch", f"{hooks.dir}/by-name"]}]}))
    hooks.add("createRuntime", "echo $# > $out")
    bundle.args("true")
    bundle.hull("run", C1)
    assert (hooks.dir / "by-name").exists()
    assert hooks.seen("createRuntime").read_text() == "0\n"


def test_without_env_the_callers_and_for_start_container_the_process_s(bundle, hooks):
    for kind in KINDS:
        hooks.add(kind, 'echo "$WHOSE" > $out')
    bundle.edit(lambda c: c["process"]["env"].append("WHOSE=process"))
    bundle.args("true")
    bundle.hull("run", C1, env={**os.environ, "WHOSE": "caller"})
    assert {k: hooks.seen(k).read_text().strip() for k in KINDS} == {
        k: "process" if k == "startContainer" else "caller" for k in KINDS}


def test_runtime_hooks_start_in_the_bundle(bundle, hooks, tmp_path):
    for kind in ("prestart", "createRuntime", "poststart", "poststop"):
        hooks.add(kind, "pwd > $out")
    hooks.add("startContainer", "busybox pwd > $out")
    bundle.args("true")
    bundle.edit(lambda c: c["process"].update(cwd="/tmp"))
    bundle.hull("run", "-b", bundle.path, C1)
    for kind in ("prestart", "createRuntime", "poststart", "poststop"):
        assert hooks.seen(kind).read_text().strip() == str(bundle.path)
    assert hooks.seen("startContainer").read_text().strip() == "/tmp"


def test_create_container_hooks_start_in_the_root(bundle, hooks):
    """What they change in there is seen by the container: a file, and a mount."""
    (bundle.rootfs / "place").mkdir()
    hooks.add("createContainer", "pwd > $out; echo written > ./place/file; mkdir ./place/below; "
                                 "mount -t tmpfs made-by-hook ./place/below")
    bundle.sh("cat /place/file; grep -c made-by-hook /proc/self/mounts; pwd")
    bundle.edit(lambda c: c["process"].update(cwd="/tmp"))
    assert bundle.hull("run", C1).stdout.split() == ["written", "1", "/tmp"]
    assert hooks.seen("createContainer").read_text().strip() == str(bundle.rootfs)


# ---- where -----------------------------------------------------------------------------------------------------------


def test_namespaces(bundle, hooks):
    """Of the runtime: prestart, createRuntime, poststart, poststop. Of the container: the other two."""
    names = ["mnt", "net", "uts", "ipc", "pid", "cgroup"]
    listing = "for n in %s; do readlink /proc/self/ns/$n; done > $out" % " ".join(names)
    for kind in KINDS:
        hooks.add(kind, listing)
    bundle.sh(f"for n in {' '.join(names)}; do readlink /proc/self/ns/$n; done")
    if {"type": "cgroup"} not in json.loads((bundle.path / "config.json").read_text())["linux"]["namespaces"]:
        bundle.edit(lambda c: c["linux"]["namespaces"].append({"type": "cgroup"}))
    theirs = bundle.hull("run", C1).stdout
    ours = "".join(os.readlink(f"/proc/self/ns/{n}") + "\n" for n in names)
    assert not set(ours.split()) & set(theirs.split())
    for kind in KINDS:
        assert hooks.seen(kind).read_text() == (theirs if kind in ("createContainer", "startContainer") else ours), kind


def test_create_hooks_see_the_root_before_the_pivot(bundle, hooks):
    """The container's mounts stand at root.path, in the container's mount namespace and not in the host's."""
    (bundle.path / "given").mkdir()
    (bundle.path / "given/file").write_text("of the host")
    bundle.edit(lambda c: c["mounts"].append({"destination": "/mnt", "source": "given", "type": "bind",
                                              "options": ["rbind"]}))
    hooks.add("createContainer", f"cat {bundle.rootfs}/mnt/file > $out; echo added > {bundle.rootfs}/tmp/added")
    hooks.add("createRuntime", f"cat {bundle.rootfs}/mnt/file > $out 2>&1; cat /proc/$(grep -o '\"pid\":[0-9]*' | "
              f"grep -o '[0-9]*$')/root{bundle.rootfs}/mnt/file > $out.inside")
    bundle.args("cat", "/tmp/added")
    assert bundle.hull("run", C1).stdout == "added\n"
    assert hooks.seen("createContainer").read_text() == "of the host"
    assert "No such file" in hooks.seen("createRuntime").read_text()
    assert (hooks.dir / "createRuntime.inside").read_text() == "of the host"


def test_a_hook_may_set_up_the_network(bundle, hooks):
    """What createRuntime does to the namespace of the state's pid is there when the program starts."""
    hooks.add("createRuntime", "pid=$(grep -o '\"pid\":[0-9]*' | grep -o '[0-9]*$')\n"
              "nsenter -t $pid -n ip addr add 192.0.2.7/32 dev lo")
    bundle.args("busybox", "ip", "-o", "addr", "show", "dev", "lo")
    assert "192.0.2.7/32" in bundle.hull("run", C1).stdout


def test_start_container_hooks_have_the_rights_of_the_process(bundle, hooks):
    """Their program comes from the image: no more capabilities, ids and calls than the container has."""
    bundle.edit(lambda c: c["process"].update(user={"uid": 1000, "gid": 1001}))
    bundle.edit(lambda c: c["process"]["capabilities"].update(
        {k: ["CAP_KILL"] if k == "bounding" else [] for k in c["process"]["capabilities"]}))
    hooks.add("startContainer", "grep -E '^(Uid|Gid|CapBnd|CapPrm|NoNewPrivs)' /proc/self/status > $out")
    bundle.args("grep", "-E", "^(Uid|Gid|CapBnd|CapPrm|NoNewPrivs)", "/proc/self/status")
    assert bundle.hull("run", C1).stdout == hooks.seen("startContainer").read_text() != ""


# ---- failing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_failing_create_hook_undoes_the_container(bundle, hooks, kind):
    hooks.log_order("poststop", "poststop")
    hooks.add(kind, "echo some output; echo why it failed >&2; exit 3")
    hooks.add(kind, "echo never > $out.never")
    bundle.args("true")
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1
    assert f"error running {kind} hook #0: exit status 3, stdout: some output, stderr: why it failed" in said(done)
    assert hooks.order() == ["poststop", "poststop"]
    assert not (hooks.dir / f"{kind}.never").exists()
    gone(bundle)


def test_a_failing_start_hook_ends_and_removes_the_container(bundle, hooks):
    hooks.log_order("poststop")
    hooks.add("startContainer", "echo why >&2; exit 4")
    bundle.sh("echo it ran")
    bundle.create(C1)
    pid = bundle.state(C1)["pid"]
    done = bundle.hull("start", C1, check=False)
    assert done.returncode == 1
    assert "error running startContainer hook #0: exit status 4, stdout: , stderr: why" in said(done)
    assert "it ran" not in bundle.log(C1)
    assert hooks.order() == ["poststop"]
    assert not os.path.exists(f"/proc/{pid}/exe")
    gone(bundle)


def test_a_failing_poststart_hook_ends_and_removes_the_container(bundle, hooks):
    hooks.log_order("poststop")
    hooks.add("poststart", "exit 5")
    bundle.args("sleep", "100")
    bundle.create(C1)
    pid = bundle.state(C1)["pid"]
    done = bundle.hull("start", C1, check=False)
    assert done.returncode == 1 and "error running poststart hook #0: exit status 5" in said(done)
    assert hooks.order() == ["poststop"]
    assert not os.path.exists(f"/proc/{pid}/exe")
    gone(bundle)


@pytest.mark.parametrize("kind", KINDS[:5])
def test_run_fails_with_the_hook_and_leaves_nothing(bundle, hooks, kind):
    hooks.log_order("poststop")
    hooks.add(kind, "exit 6")
    bundle.args("sleep", "100")
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and f"error running {kind} hook #0: exit status 6" in said(done)
    assert hooks.order() == ["poststop"]
    gone(bundle)


def test_failing_poststop_hooks_are_logged_and_the_others_run(bundle, hooks):
    hooks.add("poststop", "exit 7")
    hooks.add("poststop", "echo ran > $out")
    bundle.args("true")
    bundle.hull("run", C1, options=("--log", bundle.path / "log"))
    assert "error running poststop hook #0: exit status 7" in (bundle.path / "log").read_text()
    assert hooks.seen("poststop").read_text() == "ran\n"
    gone(bundle)


@pytest.mark.parametrize("how", ["run", "run --debug", "delete"])
def test_failing_poststop_hooks_are_seen_on_stderr_where_there_is_no_log(bundle, hooks, how):
    """The container has ended: what is said from then on is not among its output."""
    hooks.add("poststop", "exit 7")
    bundle.sh("echo out; echo err >&2")
    if how == "delete":
        bundle.create(C1)
        done = bundle.hull("delete", "--force", C1)
    else:
        done = bundle.hull("run", C1, options=how.split()[1:])
        assert done.stdout == "out\n" and "err\n" in done.stderr
    warnings = [line for line in done.stderr.splitlines() if "level=warning" in line]
    assert len(warnings) == 1 and "error running poststop hook #0: exit status 7" in warnings[0]
    gone(bundle)


def test_timeout(bundle, hooks):
    hooks.add("createRuntime", "echo $$ > $out; exec sleep 100", timeout=1)
    bundle.args("true")
    begin = time.monotonic()
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and time.monotonic() - begin < 30
    assert "error running createRuntime hook #0: hook ran past specified timeout of 1.0s" in said(done)
    assert not os.path.exists(f"/proc/{hooks.seen('createRuntime').read_text().strip()}")
    gone(bundle)


def test_killed_by_a_signal_and_not_there(bundle, hooks):
    hooks.add("prestart", "kill -TERM $$")
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and "error running prestart hook #0: signal" in said(done)
    bundle.edit(lambda c: c.update(hooks={"createRuntime": [{"path": "/no/such/hook"}]}))
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and "error running createRuntime hook #0: " in said(done)
    assert "/no/such/hook" in said(done) and "No such file or directory" in said(done)
    gone(bundle)


def test_no_poststop_hook_for_what_was_never_there(bundle, hooks):
    hooks.log_order("createRuntime", "poststop")
    bundle.edit(lambda c: c["mounts"].append({"destination": "/x", "type": "bind", "source": "/no/such/source",
                                              "options": ["bind"]}))
    assert bundle.hull("create", C1, check=False).returncode == 1
    assert hooks.order() == []


@pytest.mark.parametrize("hook,why", [({"path": "relative"}, 'hooks.poststop[0].path: "relative" is not an absolute'),
                                      ({}, "hooks.poststop[0].path: is missing"),
                                      ({"path": "/x", "timeout": 0}, "hooks.poststop[0].timeout: 0 is out of range"),
                                      ({"path": "/x", "args": "x"}, "hooks.poststop[0].args: wanted an array")])
def test_nonsense_is_refused(bundle, hook, why):
    bundle.edit(lambda c: c.update(hooks={"poststop": [hook]}))
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and why in said(done)


def test_a_hook_gets_no_fds_but_its_three(bundle, hooks):
    for kind in ("createRuntime", "createContainer", "poststop"):
        hooks.add(kind, "ls /proc/self/fd > $out")
    hooks.add("startContainer", "ls /proc/self/fd > $out")
    bundle.args("true")
    read, write = os.pipe()
    os.set_inheritable(write, True)
    assert stat.S_ISFIFO(os.fstat(write).st_mode)
    bundle.hull("run", C1, pass_fds=[write])
    os.close(read)
    os.close(write)
    for kind in ("createRuntime", "createContainer", "startContainer", "poststop"):
        # 3 is the directory that ls reads; the shell of a script may hold the script at 10 or 255 in its own process.
        assert hooks.seen(kind).read_text().split() == ["0", "1", "2", "3"], kind
