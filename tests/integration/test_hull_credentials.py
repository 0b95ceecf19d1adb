# SPDX-License-Identifier: Apache-2.0
"""The user, the groups and the capabilities of a process, as seen from inside or in /proc."""
import os
import subprocess

import pytest

from bundles import C1, HULL, bundle, pytestmark  # noqa: F401
from processkit import ALL_CAPS, log_of, process, refused, status


# ---- user ------------------------------------------------------------------------------------------------------------


def test_ids_groups_and_umask(bundle):
    process(bundle, user={"uid": 1234, "gid": 567, "umask": 0o027, "additionalGids": [5, 6]})
    bundle.sh("id -u; id -g; grep -E '^(Uid|Gid|Groups|Umask)' /proc/self/status; >/tmp/file; stat -c %a /tmp/file")
    (bundle.rootfs / "tmp").chmod(0o1777)
    out = bundle.hull("run", C1).stdout.split("\n")
    assert out[:2] == ["1234", "567"]
    assert [line.split()[1:] for line in out[2:6]] == [["0027"], ["1234"] * 4, ["567"] * 4, ["5", "6"]]
    assert out[6] == "640"


def test_umask_and_groups_of_their_own_accord(bundle):
    """The caller's groups do not come along; the umask is runc's default."""
    bundle.sh("umask; grep ^Groups /proc/self/status")
    out = subprocess.run([HULL, "--root", bundle.root, "run", C1], cwd=bundle.path, capture_output=True, text=True,
                         check=True, stdin=subprocess.DEVNULL, umask=0o077, extra_groups=[7, 8]).stdout
    assert out.split() == ["0022", "Groups:"]


@pytest.mark.parametrize("with_user", [False, True])
@pytest.mark.parametrize("value,keeps", [("1", True), ("0", False)])
def test_the_callers_groups_stay_when_an_annotation_says_so(bundle, with_user, value, keeps):
    """As crun has it for podman's --group-add keep-groups: what such a group opens is open, by exec too."""
    shared = bundle.path / "shared"
    shared.mkdir()
    (shared / "file").write_text("opened\n")
    for path, mode in ((shared / "file", 0o040), (shared, 0o750)):
        os.chown(path, 0, 70007)
        path.chmod(mode)

    def change(c):
        c["annotations"] = {"run.oci.keep_original_groups": value}
        c["mounts"].append({"destination": "/shared", "type": "bind", "source": str(shared), "options": ["bind"]})
        c["process"]["user"].update(uid=1234, gid=567)
        c["process"].pop("capabilities")
        if with_user:
            c["linux"]["namespaces"].append({"type": "user"})
            c["linux"].update({m: [{"containerID": 0, "hostID": 0, "size": 65536}] for m in ("uidMappings", "gidMappings")})
    bundle.edit(change)
    script = "cat /shared/file 2>&1; grep ^Groups /proc/self/status"
    bundle.sh(script + "; sleep 100")

    def hull(*args):
        done = subprocess.run([HULL, "--root", bundle.root, *args], cwd=bundle.path, stdout=subprocess.PIPE, text=True,
                              check=True, stdin=subprocess.DEVNULL, extra_groups=[70007])
        return done.stdout.splitlines()
    with open(bundle.path / "out", "w+", encoding="utf-8") as out:
        subprocess.run([HULL, "--root", bundle.root, "run", "-d", C1], cwd=bundle.path, stdin=subprocess.DEVNULL,
                       stdout=out, check=True, extra_groups=[70007])
        by_exec = hull("exec", C1, "sh", "-c", script)
        while len(lines := (bundle.path / "out").read_text().splitlines()) < 2:
            assert bundle.state(C1)["status"] == "running"
    bundle.hull("delete", "--force", C1)
    nobody = "65534" if with_user else "70007"
    want = ["opened", f"Groups:\t{nobody} "] if keeps else ["cat: can't open '/shared/file': Permission denied", "Groups:\t "]
    assert lines == by_exec == want


# ---- capabilities ----------------------------------------------------------------------------------------------------


def bit(*names):
    numbers = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETUID": 7, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_RAW": 13,
               "CAP_SYS_RESOURCE": 24}
    return f"{sum(1 << numbers[n] for n in names):016x}"


def test_all_five_sets(bundle):
    process(bundle, user={"uid": 1000, "gid": 1000}, capabilities={
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_KILL", "CAP_SETUID"],
        "ambient": ["CAP_KILL"]})
    # What an exec leaves of them to a program without file capabilities (capabilities(7)): the ambient ones.
    assert status(bundle, "CapBnd", "CapInh", "CapAmb", "CapPrm", "CapEff") == [
        bit("CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"), bit("CAP_KILL", "CAP_SETUID"), bit("CAP_KILL"),
        bit("CAP_KILL"), bit("CAP_KILL")]


def test_root_has_what_the_bounding_set_has(bundle):
    process(bundle, capabilities={k: ["CAP_KILL", "CAP_CHOWN"] for k in ("bounding", "permitted", "effective")})
    assert status(bundle, "CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb") == [bit("CAP_KILL", "CAP_CHOWN")] * 3 + ["0" * 16] * 2


def test_no_capabilities(bundle):
    bundle.edit(lambda c: c["process"].pop("capabilities"))
    assert status(bundle, "CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb") == ["0" * 16] * 5


def test_an_unknown_one_is_a_warning(bundle):
    process(bundle, capabilities={k: ["CAP_KILL", "CAP_TO_FLY"] for k in ALL_CAPS})
    bundle.args("grep", "CapBnd", "/proc/self/status")
    done, log = log_of(bundle, "run", C1)
    assert done.stdout.split() == ["CapBnd:", bit("CAP_KILL")]
    assert 'left out "CAP_TO_FLY": there is none of this name' in log and "level=warning" in log


def test_one_that_hull_lacks_is_a_warning(bundle):
    """ "Runtimes SHOULD NOT fail if the container configuration requests capabilities that cannot be granted"."""
    process(bundle, capabilities={k: ["CAP_KILL", "CAP_NET_RAW"] for k in ("bounding", "permitted", "effective")})
    bundle.args("grep", "CapEff", "/proc/self/status")
    log = bundle.path / "hull.log"
    done = subprocess.run(["capsh", "--drop=cap_net_raw", "--", "-c", f"exec {HULL} --log {log} --root {bundle.root} run {C1}"],
                          cwd=bundle.path, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.split() == ["CapEff:", bit("CAP_KILL")]
    assert "left out CAP_NET_RAW: hull does not have it itself" in log.read_text()


def test_sets_that_contradict_each_other(bundle):
    process(bundle, capabilities={"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"]})
    refused(bundle, "process.capabilities.effective: CAP_KILL is not in permitted")


def test_no_new_privileges(bundle):
    for flag in (True, False):
        process(bundle, noNewPrivileges=flag)
        assert status(bundle, "NoNewPrivs") == [str(int(flag))]
