# SPDX-License-Identifier: Apache-2.0
"""What runc takes in a config.json, and what it refuses, where the specification alone would let hull choose."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from bundles import C1, HULL, bundle, pytestmark, said  # noqa: F401 pylint: disable=unused-import
from cgroups import ROOT, V2_ROOT, is_v2, paths_of


def test_zeroes_may_be_left_out(bundle):
    """Some serialisers leave out what is 0."""
    bundle.sh("echo $(id -u):$(id -g)")
    bundle.edit(lambda c: c["process"].update(user={}, ioPriority={"class": "IOPRIO_CLASS_RT"}))
    assert bundle.hull("run", C1).stdout == "0:0\n"
    bundle.edit(lambda c: c["process"].update(user={"uid": 7}))
    assert bundle.hull("run", C1).stdout == "7:0\n"


@pytest.mark.parametrize("path", ["//{}//x/", "/{}/./x", "{}/x//"])
def test_a_cgroups_path_is_cleaned(bundle, path):
    name = f"hull-test-{os.getpid()}"
    bundle.args("sleep", "100")
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=path.format(name)))
    bundle.create(C1)
    assert paths_of(bundle.state(C1)["pid"])["pids" if not is_v2("pids") else ""] == f"/{name}/x"
    bundle.hull("delete", "--force", C1)
    assert not list(ROOT.glob(f"{name}")) and not list(ROOT.glob(f"*/{name}"))


def test_a_cgroups_path_does_not_climb(bundle):
    bundle.edit(lambda c: c["linux"].update(cgroupsPath="/a/../b"))
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and 'cgroup path "/a/../b" is not absolute and clean' in said(done)


def test_other_letters_of_a_device_rule_are_passed_over(bundle):
    bundle.sh("cat /dev/zero | head -c 1 | wc -c; echo x >/dev/null && echo written")
    bundle.edit(lambda c: c["linux"]["resources"].update(devices=[
        {"allow": False, "access": "rwm"}, {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "rwa"}]))
    assert bundle.hull("run", C1).stdout.split() == ["1", "written"]


@pytest.fixture(params=["itself", "above"])
def frozen(request):
    """The path of a cgroup that is frozen, or lies in one that is."""
    name = f"hull-frozen-{os.getpid()}"
    v2 = not (ROOT / "freezer").is_dir()
    if v2 and not (V2_ROOT / "cgroup.procs").exists():
        pytest.skip("no freezer")
    top = (V2_ROOT if v2 else ROOT / "freezer") / name
    leaf = top / "x"
    leaf.mkdir(parents=True)
    file = (leaf if request.param == "itself" else top) / ("cgroup.freeze" if v2 else "freezer.state")
    file.write_text("1" if v2 else "FROZEN")
    yield f"/{name}/x"
    file.write_text("0" if v2 else "THAWED")
    leaf.rmdir()
    top.rmdir()


@pytest.mark.parametrize("command", [("run", "-d"), ("create",)])
def test_a_frozen_cgroup_is_refused(bundle, frozen, command):
    bundle.args("true")
    bundle.edit(lambda c: c["linux"].update(cgroupsPath=frozen))
    done = bundle.hull(*command, C1, check=False)
    assert done.returncode == 1 and "container's cgroup unexpectedly frozen: write " in said(done)
    assert bundle.hull("state", C1, check=False).returncode != 0
    assert not (ROOT / "memory" / frozen[1:]).exists() or is_v2("memory")


def test_what_is_masked_twice_is_masked_once(bundle):
    (bundle.rootfs / "secret").mkdir()
    (bundle.rootfs / "file").write_text("secret")
    (bundle.rootfs / "link").symlink_to("secret")
    bundle.edit(lambda c: c["linux"].update(maskedPaths=[
        "/secret", "/file", "/proc/kcore", "/secret", "/file", "/link", "/secret/", "//file"]))
    bundle.sh("grep -c ' /secret ' /proc/mounts; grep -c ' /file ' /proc/mounts; ls /secret; cat /file; ls /link/")
    assert bundle.hull("run", C1).stdout.split() == ["1", "1"]


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sys_are_on_directories(bundle, name):
    (bundle.rootfs / name).rmdir()
    (bundle.rootfs / f"bad-{name}").mkdir()
    (bundle.rootfs / name).symlink_to(f"/bad-{name}")
    bundle.args("true")
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and "must be mounted on ordinary directory" in said(done)


def test_a_namespace_twice(bundle):
    bundle.edit(lambda c: c["linux"]["namespaces"].append({"type": "pid"}))
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and '"pid" is there twice' in said(done)


@pytest.mark.skipif(not shutil.which("runc"), reason="no runc to compare with")
@pytest.mark.parametrize("options", [(), ("--rootless",)])
def test_the_first_config_is_runcs(tmp_path, options):
    """But for what docs/decisions/command-line.md names."""
    specs = []
    for program in ("runc", HULL):
        path = tmp_path / pathlib.Path(program).name
        path.mkdir()
        subprocess.run([program, "spec", *options], cwd=path, check=True, timeout=60)
        specs.append(json.loads((path / "config.json").read_text()))
    runc, ours = specs
    assert set(runc["linux"].pop("maskedPaths")) <= set(ours["linux"].pop("maskedPaths"))
    for spec in specs:
        del spec["ociVersion"], spec["hostname"]
        spec["process"]["capabilities"].pop("ambient", None)    # of runc before 1.2.0
        for mount in spec["mounts"]:
            if mount["destination"] == "/proc":
                mount.pop("options", None)
            if mount["destination"] == "/sys" and mount["type"] == "none":
                mount["options"] = [word for word in mount["options"] if word != "rro"]
        for key in ("namespaces", "readonlyPaths"):
            spec["linux"][key] = sorted(spec["linux"][key], key=str)
    assert ours == runc


@pytest.mark.parametrize("userns", [False, True])
def test_sources_that_an_earlier_mount_provides(bundle, userns):
    """Inside the root, whatever the host has in the root's directory."""
    for name in ("a/x", "b/y", "c/z"):
        (bundle.path / name).mkdir(parents=True)
        (bundle.path / name / "file").write_text(name)
    for name in ("mnt", "final"):
        (bundle.rootfs / name).mkdir()

    def bind(source, destination, *options):
        return {"source": str(source), "destination": destination, "options": ["rbind", *options]}

    mnt = bundle.rootfs / "mnt"
    binds = [bind("a", "/mnt"), bind("b", "/mnt/x"), bind("c", "/mnt/x/y"), bind("a", "/mnt/x/y/z"),
             bind(mnt / "x", "/mnt/x/y/z/x"), bind("rootfs/mnt/x/y", "/mnt/x/y/z"), bind(mnt, "/final", "ro")]
    bundle.edit(lambda c: c["mounts"].extend(binds))
    if userns:
        bundle.edit(lambda c: c["linux"]["namespaces"].append({"type": "user"}))
        ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        bundle.edit(lambda c: c["linux"].update(uidMappings=ids, gidMappings=ids))
    bundle.sh("cat /final/x/y/z/z/x/y/z/x/file; touch /final/no 2>/dev/null || echo :read-only")
    assert bundle.hull("run", C1).stdout.split(":") == ["a/x", "read-only\n"]


def test_a_source_in_the_root_that_no_mount_provides(bundle):
    (bundle.rootfs / "data").mkdir()
    (bundle.rootfs / "data/file").write_text("host")
    (bundle.rootfs / "out").symlink_to("/")
    bundle.edit(lambda c: c["mounts"].extend([
        {"source": "tmpfs", "destination": "/scratch", "type": "tmpfs"},
        {"source": str(bundle.rootfs / "data"), "destination": "/again", "options": ["bind"]},
        {"source": str(bundle.rootfs / "scratch/none"), "destination": "/none", "options": ["bind"]}]))
    bundle.args("cat", "/again/file")
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and 'mount on "/none"' in said(done) and 'bind "/scratch/none" of the container' in said(done)
    bundle.edit(lambda c: c["mounts"].pop())
    assert bundle.hull("run", C1).stdout == "host"


def test_a_source_in_the_root_does_not_leave_it(bundle):
    """The link is the image's, and leads to the container's own root."""
    (bundle.path / "dir").mkdir()
    (bundle.path / "dir/up").symlink_to("/../../..")
    bundle.edit(lambda c: c["mounts"].extend([
        {"source": "dir", "destination": "/mnt", "options": ["bind"]},
        {"source": "rootfs/mnt/up/bin", "destination": "/tools", "options": ["bind"]}]))
    (bundle.rootfs / "bin/only-here").write_text("")
    bundle.args("ls", "/tools/only-here")
    assert bundle.hull("run", C1).stdout == "/tools/only-here\n"


@pytest.mark.skipif(not is_v2("pids"), reason="needs cgroup v2")
def test_exec_goes_where_the_init_has_gone(bundle):
    """Who rules over his cgroup, as systemd inside does, leaves it to give those below it controllers: it takes no process."""
    def change(c):
        kinds = {n["type"] for n in c["linux"]["namespaces"]} | {"cgroup"}
        c["linux"]["namespaces"] = [{"type": kind} for kind in sorted(kinds)]
        next(m for m in c["mounts"] if m["destination"] == "/sys/fs/cgroup")["options"] = ["nosuid", "noexec", "nodev", "rw"]
    bundle.edit(change)
    bundle.sh("read -r go; mkdir /sys/fs/cgroup/own; echo 1 > /sys/fs/cgroup/own/cgroup.procs; "
              "echo +pids > /sys/fs/cgroup/cgroup.subtree_control && echo moved; exec sleep 100")
    fifo = bundle.path / "fifo"
    os.mkfifo(fifo)
    with open(fifo, "r+b", buffering=0) as pipe, open(bundle.path / f"{C1}.log", "wb") as log:
        subprocess.run([HULL, "--root", bundle.root, "run", "-d", C1], cwd=bundle.path, check=True, stdin=pipe, stdout=log,
                       stderr=log)
        assert bundle.hull("exec", C1, "cat", "/proc/self/cgroup").stdout == "0::/\n"
        pipe.write(b"go\n")
        bundle.wait_for_log(C1, "moved")
    assert bundle.hull("exec", C1, "cat", "/proc/self/cgroup").stdout == "0::/own\n"
    # What is asked for by name is not exchanged for something else.
    done = bundle.hull("exec", "--cgroup", "/", C1, "true", check=False)
    assert done.returncode == 255 and "Device or resource busy" in done.stderr
    bundle.hull("delete", "--force", C1)
