# SPDX-License-Identifier: Apache-2.0
"""linux.netDevices: interfaces that go from the runtime's network namespace into the container's, and come back when the
container could not be made. Each test has a veth pair of its own."""
import json
import os
import subprocess

import pytest

from bundles import C1, HULL, bundle, pytestmark, said  # noqa: F401 pylint: disable=unused-import

NAME, PEER, OTHER = (f"h{c}{os.getpid()}" for c in "abc")


def ip(*args, check=True):
    done = subprocess.run(["ip", *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def link(name):
    text = ip("-j", "addr", "show", "dev", name, check=False)
    return json.loads(text)[0] if text else None


def addresses(l):
    return {f"{a['local']}/{a['prefixlen']}" for a in l["addr_info"] if a["scope"] == "global"}


@pytest.fixture
def veth():
    ip("link", "add", NAME, "type", "veth", "peer", "name", PEER)
    ip("addr", "add", "192.0.2.1/24", "dev", NAME)
    ip("addr", "add", "2001:db8::1/64", "dev", NAME, "nodad")
    ip("link", "set", NAME, "up", "mtu", "1400")
    ip("link", "set", PEER, "up")
    yield NAME
    for name in (NAME, PEER):
        ip("link", "del", name, check=False)


def ask(bundle, devices, args=("busybox", "ip", "addr", "show")):
    bundle.args(*args)
    bundle.edit(lambda c: c["linux"].update(netDevices=devices))


def inside(text, name):
    """The lines of one interface in busybox's "ip addr"."""
    part = text.split(f": {name}@", 1)[1].split("\n", 1)
    more = []
    for line in part[1].splitlines():
        if not line.startswith(" "):
            break
        more.append(line.strip())
    return part[0], more


def test_moved_with_its_addresses_and_up(bundle, veth):
    before = link(veth)
    ask(bundle, {veth: {}})
    out = bundle.hull("run", C1).stdout
    head, lines = inside(out, veth)
    assert "UP" in head and "mtu 1400" in head
    assert f"link/ether {before['address']} brd ff:ff:ff:ff:ff:ff" in lines
    assert any(l.startswith("inet 192.0.2.1/24") for l in lines)
    assert any(l.startswith("inet6 2001:db8::1/64 scope global") for l in lines)
    assert link(veth) is None  # it ended with its namespace, as virtual ones do


def test_a_label_stays_with_the_name_and_what_was_down_is_up(bundle, veth):
    ip("addr", "add", "192.0.2.9/32", "label", f"{veth}:x", "dev", veth)
    ip("link", "set", veth, "down")
    ask(bundle, {veth: {}})
    head, lines = inside(bundle.hull("run", C1).stdout, veth)
    assert "UP" in head
    assert [l for l in lines if l.startswith("inet 192.0.2.9/32")][0].endswith(f"{veth}:x")


def test_renamed(bundle, veth):
    ask(bundle, {veth: {"name": "eth7"}})
    head, lines = inside(bundle.hull("run", C1).stdout, "eth7")
    assert "UP" in head and any(l.startswith("inet 192.0.2.1/24") for l in lines)


def test_a_template_lets_the_kernel_choose(bundle, veth):
    ask(bundle, {veth: {"name": "net%d"}, PEER: {"name": "net%d"}})
    out = bundle.hull("run", C1).stdout
    assert {"net0", "net1"} == {line.split(": ")[1].split("@")[0] for line in out.splitlines() if ": net" in line}
    assert "192.0.2.1/24" in out


def test_only_permanent_addresses_of_global_scope(bundle, veth):
    ip("addr", "add", "192.0.2.5/24", "dev", veth, "valid_lft", "1000", "preferred_lft", "1000")
    ip("addr", "add", "169.254.3.4/16", "dev", veth, "scope", "link")
    ask(bundle, {veth: {}})
    out = bundle.hull("run", C1).stdout
    assert "192.0.2.1/24" in out and "192.0.2.5" not in out and "169.254.3.4" not in out


def test_joined_namespace(bundle, veth):
    """Of a namespace that outlives the container, the interface stays in it."""
    ns = f"hull-{os.getpid()}"
    ip("netns", "add", ns)
    try:
        ask(bundle, {veth: {"name": "eth3"}}, ("true",))
        bundle.edit(lambda c: [n.update(path=f"/run/netns/{ns}") for n in c["linux"]["namespaces"] if n["type"] == "network"])
        bundle.hull("run", C1)
        assert "192.0.2.1/24" in ip("-n", ns, "addr", "show", "dev", "eth3")
        ip("-n", ns, "link", "set", "eth3", "netns", "1")
    finally:
        ip("netns", "del", ns)
        ip("link", "del", "eth3", check=False)


def test_in_a_user_namespace(bundle, veth):
    ask(bundle, {veth: {"name": "eth0"}})
    bundle.edit(lambda c: c["linux"]["namespaces"].append({"type": "user"}))
    bundle.edit(lambda c: c["linux"].update({k: [{"containerID": 0, "hostID": 100000, "size": 65536}]
                                             for k in ("uidMappings", "gidMappings")}))
    for path in [bundle.rootfs, *bundle.rootfs.rglob("*")]:
        os.chown(path, 100000, 100000, follow_symlinks=False)
    assert "192.0.2.1/24" in bundle.hull("run", C1).stdout


def test_sysctls_of_the_interface_come_after_it(bundle, veth):
    ask(bundle, {veth: {"name": "eth0"}}, ("cat", "/proc/sys/net/ipv4/conf/eth0/arp_ignore"))
    bundle.edit(lambda c: c["linux"].update(sysctl={"net.ipv4.conf.eth0.arp_ignore": "3"}))
    assert bundle.hull("run", C1).stdout == "3\n"


def test_hooks_find_it_moved(bundle, veth, tmp_path):
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\npid=$(grep -o '\"pid\":[0-9]*' | grep -o '[0-9]*$')\n"
                      f"nsenter -t $pid -n ip addr show dev eth0 > {tmp_path}/seen\n")
    script.chmod(0o755)
    ask(bundle, {veth: {"name": "eth0"}}, ("true",))
    bundle.edit(lambda c: c.update(hooks={"createRuntime": [{"path": str(script)}]}))
    bundle.hull("run", C1)
    assert "192.0.2.1/24" in (tmp_path / "seen").read_text()


# ---- failing ---------------------------------------------------------------------------------------------------------


def is_as_before(before):
    now = link(before["ifname"])
    assert now, f"{before['ifname']} is gone"
    assert addresses(now) == addresses(before) and now["mtu"] == before["mtu"] and now["address"] == before["address"]
    assert ("UP" in now["flags"]) == ("UP" in before["flags"])


def test_a_name_that_is_taken_there(bundle, veth):
    before = link(veth)
    ask(bundle, {veth: {"name": "lo"}})
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and f'linux.netDevices: "{veth}" as "lo" in the container' in said(done)
    assert "File exists" in said(done)
    is_as_before(before)


def test_what_fails_later_gives_them_back(bundle, veth):
    before, peer = link(veth), link(PEER)
    ip("link", "set", PEER, "down")
    ask(bundle, {veth: {"name": "eth0"}, PEER: {"name": "eth1"}}, ("/no/such/program",))
    peer = link(PEER)
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and "/no/such/program" in said(done)
    is_as_before(peer)
    assert addresses(link(veth)) == addresses(before) and "UP" in link(veth)["flags"]


def test_the_second_one_fails_and_the_first_comes_back(bundle, veth):
    before = link(veth)
    ask(bundle, {veth: {"name": "eth0"}, PEER: {"name": "lo"}})
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and f'"{PEER}" as "lo"' in said(done)
    is_as_before(before)
    assert link(PEER) and "UP" in link(PEER)["flags"]


def test_none_of_this_name(bundle):
    ask(bundle, {OTHER: {}})
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1
    assert f'linux.netDevices: "{OTHER}": there is no network interface "{OTHER}"' in said(done)


def test_not_without_the_right_to(bundle, veth):
    before = link(veth)
    ask(bundle, {veth: {}})
    done = subprocess.run(["capsh", "--drop=cap_net_admin", "--", "-c", f"exec {HULL} --root {bundle.root} create {C1}"],
                          cwd=bundle.path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and "linux.netDevices: moving a network interface needs CAP_NET_ADMIN" in done.stderr
    is_as_before(before)


def test_not_without_a_namespace_of_its_own(bundle, veth):
    before = link(veth)
    ask(bundle, {veth: {}})
    bundle.edit(lambda c: c["linux"].update(namespaces=[n for n in c["linux"]["namespaces"] if n["type"] != "network"]))
    assert "linux.netDevices: needs a network namespace" in said(bundle.hull("create", C1, check=False))
    bundle.edit(lambda c: c["linux"]["namespaces"].append({"type": "network", "path": "/proc/self/ns/net"}))
    assert "the container's network namespace is the one that they are in" in said(bundle.hull("create", C1, check=False))
    is_as_before(before)


@pytest.mark.parametrize("devices,why", [
    ({"": {}}, '"" is no name'), ({"a/b": {}}, '"a/b" is no name'), ({"x": {"name": "y z"}}, '"y z" is no name'),
    ({"x": {"name": "0123456789abcdef"}}, "is no name"), ({"x": {"name": ".."}}, "is no name"),
    ({"x": {"name": "e"}, "y": {"name": "e"}}, '"e" would be there twice'), ({"x": 1}, "linux.netDevices.x: wanted an object"),
    ({"x": {"name": 1}}, "linux.netDevices.x.name: wanted a string")])
def test_nonsense_is_refused(bundle, devices, why):
    ask(bundle, devices)
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and why in said(done)
