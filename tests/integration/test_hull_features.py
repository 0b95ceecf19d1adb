# SPDX-License-Identifier: Apache-2.0
"""hull features: the structure of the specification, held against what hull then really takes."""
import json
import os
import re
import subprocess

import pytest

from bundles import C1, CHECKOUT, HULL, bundle, has_apparmor, pytestmark, said  # noqa: F401 pylint: disable=unused-import


@pytest.fixture(scope="module")
def features():
    return json.loads(subprocess.run([HULL, "features"], check=True, capture_output=True, text=True).stdout)


def test_shape(features):
    assert set(features) == {"ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations",
                             "potentiallyUnsafeConfigAnnotations"}
    linux = features["linux"]
    assert set(linux) == {"namespaces", "capabilities", "cgroup", "seccomp", "apparmor", "selinux", "intelRdt",
                          "memoryPolicy", "mountExtensions", "netDevices"}
    assert set(linux["seccomp"]) == {"enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags"}
    assert set(linux["cgroup"]) == {"v1", "v2", "systemd", "systemdUser", "rdma"}
    assert set(linux["intelRdt"]) == {"enabled", "schemata", "monitoring"}
    assert linux["mountExtensions"] == {"idmap": {"enabled": True}} and linux["netDevices"] == {"enabled": True}
    for value in features["annotations"].values():
        assert isinstance(value, str)
    assert features["potentiallyUnsafeConfigAnnotations"] == ["org.systemd.property.", "run.oci.keep_original_groups"]


def test_both_versions_are_accepted_and_the_next_ones_are_not(bundle, features):
    bundle.args("true")
    for version in (features["ociVersionMin"], features["ociVersionMax"], "1.0.2-dev", "1.2.1+build"):
        bundle.edit(lambda c: c.update(ociVersion=version))
        bundle.hull("run", C1)
    for version, why in (("2.0.0", 'ociVersion: "2.0.0": hull reads versions 1.x'), ("0.2.0", "hull reads versions 1.x"),
                         ("1.0", '"1.0" is not a version like'), ("", "ociVersion: is empty"), ("x", "is not a version")):
        bundle.edit(lambda c: c.update(ociVersion=version))
        done = bundle.hull("create", C1, check=False)
        assert done.returncode == 1 and why in said(done)
    bundle.edit(lambda c: c.pop("ociVersion"))
    assert "ociVersion: is missing" in said(bundle.hull("create", C1, check=False))


def test_capabilities_are_the_kernels(features):
    last = int(open("/proc/sys/kernel/cap_last_cap", encoding="ascii").read())
    names = features["linux"]["capabilities"]
    assert len(names) > last and names[0] == "CAP_CHOWN" and names[21] == "CAP_SYS_ADMIN"


def test_namespaces_can_be_made(bundle, features):
    """Each of those named is a namespace of its own for the container."""
    names = features["linux"]["namespaces"]
    assert sorted(names) == names and len(names) == 8
    bundle.edit(lambda c: c["linux"].update(namespaces=[{"type": n} for n in names],
                                            uidMappings=[{"containerID": 0, "hostID": 0, "size": 65536}],
                                            gidMappings=[{"containerID": 0, "hostID": 0, "size": 65536}]))
    files = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
    bundle.sh("; ".join(f"readlink /proc/self/ns/{f}" for f in files))
    theirs = bundle.hull("run", C1).stdout.split()
    assert not set(theirs) & {os.readlink(f"/proc/self/ns/{f}") for f in files} and len(theirs) == 8


def test_mount_options_are_no_data_of_the_file_system(bundle, features):
    """tmpfs refuses words that it does not know: those that hull says it knows do not come so far."""
    words = features["mountOptions"]
    assert words == sorted(words) and len(words) > 60
    # These do not go with a new file system, or are the business of tests of their own.
    others = {"bind", "rbind", "remount", "idmap", "ridmap", "mand", "nomand"}
    bundle.args("true")
    for word in words:
        if word not in others:
            bundle.edit(lambda c: c.update(mounts=c["mounts"][:1] + [
                {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": [word]}]))
            done = bundle.hull("run", C1, check=False)
            assert done.returncode == 0, (word, said(done))


def test_seccomp_words_are_taken(bundle, features):
    seccomp = features["linux"]["seccomp"]
    bundle.args("true")
    assert set(seccomp["supportedFlags"]) <= set(seccomp["knownFlags"])
    for action in set(seccomp["actions"]) - {"SCMP_ACT_NOTIFY"}:
        bundle.edit(lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["kexec_load"], "action": action}]}))
        bundle.hull("run", C1)
    for op in seccomp["operators"]:
        bundle.edit(lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": op}]}]}))
        bundle.hull("run", C1)
    for flag in seccomp["supportedFlags"]:
        bundle.edit(lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag]}))
        bundle.hull("run", C1)


def test_what_the_host_has(features):
    own = features["annotations"]
    assert own["run.oci.hull.version"] in subprocess.run([HULL, "--version"], capture_output=True, text=True,
                                                         check=True).stdout
    status = open("/proc/self/status", encoding="ascii").read()
    bounding = int(status.split("CapBnd:")[1].split()[0], 16)
    names = features["linux"]["capabilities"]
    assert own["run.oci.hull.host.boundingCapabilities"].split() == [
        n for i, n in enumerate(names) if bounding >> i & 1]
    there = [n for n in own["run.oci.hull.host.namespaces"].split()]
    assert len(there) == len({f for f in os.listdir("/proc/self/ns") if "_for_" not in f})
    assert own["run.oci.hull.host.apparmor"] == str(has_apparmor()).lower()
    resctrl = any(line.split(" - ")[1].startswith("resctrl ") for line in open("/proc/self/mountinfo", encoding="utf-8"))
    assert own["run.oci.hull.host.resctrl"] == str(resctrl).lower()
    assert own["io.github.seccomp.libseccomp.version"].count(".") == 2


def test_no_arguments():
    assert subprocess.run([HULL, "features", "x"], capture_output=True, check=False).returncode != 0


def test_the_documentation_names_tests_that_exist():
    """docs/oci-runtime-spec.md: each file, and each function behind it."""
    text = (CHECKOUT / "docs/oci-runtime-spec.md").read_text()
    cells = [line.split(" | ")[-1] for line in text.splitlines() if line.startswith("|") and "`test_" in line]
    assert len(cells) > 40
    for cell in cells:
        for file, names in re.findall(r"`(test_\w+\.(?:py|c))`([^`]*)", cell):
            path = CHECKOUT / ("tests/integration" if file.endswith(".py") else "tests/unit/oci") / file
            assert path.exists(), f"{file} is not there"
            for name in re.findall(r"\w{6,}", names):
                assert re.search(rf"\b{name}\b", path.read_text()), f"{file} has no {name}"
