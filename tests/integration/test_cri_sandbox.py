# SPDX-License-Identifier: Apache-2.0
"""What a sandbox's spec asks: names, DNS, hosts, sysctls, network, and the pause container."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from crikit import FOREVER, NOTREADY, READY, RUNNING, id_map, namespace_id, owner_of, refused, wait_for

FIRST = 200000


# --- names and files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("userns", [None, FIRST])
def test_hostname_and_files(cri, userns):
    a = cri.api
    dns = a.DNSConfig(servers=["10.0.0.1", "fd00::1"], searches=["a.example", "b.example"], options=["ndots:5", "timeout:1"])
    pod = cri.run(network="pod", userns=userns, hostname="web-0", dns_config=dns)
    c = pod.container(FOREVER)
    assert c.sh("hostname; cat /etc/hostname; cat /proc/sys/kernel/hostname") == "web-0\nweb-0\nweb-0"
    assert c.sh("cat /etc/resolv.conf").splitlines() == [
        "search a.example b.example", "nameserver 10.0.0.1", "nameserver fd00::1", "options ndots:5 timeout:1"]
    assert "localhost" in c.sh("cat /etc/hosts") and "web-0" in c.sh("cat /etc/hosts")
    assert c.sh("stat -c '%u %a' /etc/hostname /etc/hosts /etc/resolv.conf").splitlines() == ["0 644"] * 3
    c.sh("echo 1.2.3.4 added >> /etc/hosts")
    assert "added" in pod.container(FOREVER).sh("cat /etc/hosts")
    assert "added" not in pathlib.Path("/etc/hosts").read_text()
    assert pod.container(FOREVER, security={"readonly_rootfs": True}).exec("echo x >> /etc/hosts")[0] != 0


def test_the_hosts_resolv_conf_when_nothing_is_asked(cri):
    host = pathlib.Path("/etc/resolv.conf").read_text() if os.path.exists("/etc/resolv.conf") else ""
    for dns in (None, cri.api.DNSConfig()):
        c = cri.run(network="pod", dns_config=dns).container(FOREVER)
        assert c.exec("cat /etc/resolv.conf")[1].decode() == host


def test_hosts_of_the_host_on_its_network(cri):
    c = cri.run().container(FOREVER)
    assert c.exec("cat /etc/hosts")[1].decode() == pathlib.Path("/etc/hosts").read_text()
    assert c.sh("cat /etc/hostname") == os.uname().nodename


@pytest.mark.parametrize("fields, word", [
    ({"hostname": "a" * 65}, "hostname"), ({"hostname": "a b"}, "hostname"), ({"hostname": "a\nb"}, "hostname"),
    ({"log_directory": "relative"}, "log_directory"), ({"log_directory": "/a/../b"}, "log_directory")])
def test_names_that_cannot_be(cri, fields, word):
    with refused("INVALID_ARGUMENT", word):
        cri.run(**fields)


def test_dns_that_would_add_lines(cri):
    d = cri.api.DNSConfig
    for dns in (d(servers=["1.1.1.1\nsearch evil"]), d(searches=["a b"]), d(options=["x\r"])):
        with refused("INVALID_ARGUMENT", "dns_config"):
            cri.run(dns_config=dns)


# --- sysctls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("userns", [None, FIRST])
def test_sysctls_are_set_inside(cri, userns):
    values = {"net.ipv4.ip_local_port_range": "20000 30000", "kernel.shm_rmid_forced": "1", "kernel.msgmax": "4096",
              "fs.mqueue.msg_max": "7", "net.core.somaxconn": "77", "net/ipv4/tcp_syncookies": "0"}
    before = pathlib.Path("/proc/sys/net/core/somaxconn").read_text()
    c = cri.run(network="pod", userns=userns, sysctls=values).container(FOREVER)
    for name, value in values.items():
        path = "/proc/sys/" + name.replace(".", "/")
        assert c.sh(f"cat {path}").split() == value.split(), name
    assert pathlib.Path("/proc/sys/net/core/somaxconn").read_text() == before


@pytest.mark.parametrize("network, sysctls, word", [
    ("pod", {"kernel.panic": "1"}, "kernel.panic"), ("pod", {"vm.swappiness": "1"}, "vm.swappiness"),
    ("node", {"net.ipv4.ip_forward": "1"}, "net.ipv4.ip_forward"), ("pod", {"+net.ipv4.ip_forward": "1"}, "+net"),
    ("pod", {"net.ipv4.ip_forward+": "1"}, "+"), ("pod", {"net/../vm/swappiness": "1"}, "dots"), ("pod", {"": "1"}, "sysctl"),
    ("pod", {"net.ipv4": "1"}, "net.ipv4"), ("pod", {"net.no.such": "1"}, "net.no.such"),
    ("pod", {"net.ipv4.ip_forward": "banana"}, "net.ipv4.ip_forward"), ("node", {"kernel.hostname": "x"}, "kernel.hostname"),
    ("pod", {"net.ipv4.ip_forward": "1", "net/ipv4/ip_forward": "0"}, "ip_forward")])
def test_sysctls_that_are_refused(cri, network, sysctls, word):
    with pytest.raises(Exception) as caught:
        cri.run(network=network, sysctls=sysctls)
    assert word in str(caught.value) and "sysctl" in str(caught.value)
    assert cri.pods() == [] and cri.leaks() == {}


def test_ipc_sysctls_need_an_own_ipc_namespace(cri):
    with pytest.raises(Exception, match="kernel.msgmax"):
        cri.run(ipc="node", sysctls={"kernel.msgmax": "4096"})


PORT, PING = "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/ipv4/ping_group_range"


def test_unprivileged_ports_and_ping(cri):
    host = pathlib.Path(PORT).read_text(), pathlib.Path(PING).read_text()
    for kw, ports, ping in (({}, "0", "0 2147483647"), ({"userns": FIRST}, "0", "0 65535"),
                            ({"sysctls": {"net.ipv4.ip_unprivileged_port_start": "500", "net.ipv4.ping_group_range": "7 8"}},
                             "500", "7 8")):
        c = cri.run(network="pod", **kw).container(FOREVER)
        assert c.sh(f"cat {PORT}") == ports and c.sh(f"cat {PING}").split() == ping.split(), kw
    assert (pathlib.Path(PORT).read_text(), pathlib.Path(PING).read_text()) == host
    user = cri.api.Int64Value(value=1000)
    pod = cri.run(network="pod")
    c = pod.container(FOREVER, security={"run_as_user": user})
    assert c.exec("timeout 0.2 nc -l -p 80")[0] in (124, 143)
    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)"
    subprocess.run(["nsenter", f"--net={pod.netns}", "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups",
                    sys.executable, "-c", code], check=True)


def test_they_can_be_turned_off(make_cri):
    cri = make_cri({"enable_unprivileged_ports": False, "enable_unprivileged_icmp": False})
    c = cri.run(network="pod").container(FOREVER)
    assert c.sh(f"cat {PORT}") == "1024" and c.sh(f"cat {PING}").split() == ["1", "0"]


# --- network ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("userns", [None, FIRST])
def test_the_built_in_network(cri, userns):
    pod, other = cri.run(network="pod", userns=userns), cri.run(network="pod")
    assert pod.ip != other.ip and pod.ip.startswith(str(cri.hulld.subnet.network_address).rsplit(".", 1)[0])
    c = pod.container(FOREVER)
    assert pod.ip in c.sh("ip -4 addr show eth0") and "UP" in c.sh("ip link show lo")
    assert answers(c, pod.ip)
    assert len(cri.hulld.links()) == 2
    o = other.container(FOREVER)
    assert o.exec(f"ping -c1 -W30 {pod.ip}")[0] == 0
    message = next(x for x in cri.runtime.Status(cri.api.StatusRequest()).status.conditions if x.type == "NetworkReady")
    assert message.status and "built-in" in message.message + message.reason


def answers(c, ip):
    """Does a server in the container answer the host?"""
    c.sh("(echo hello | nc -l -p 8080 >/dev/null 2>&1 &)")

    def connected():
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection((ip, 8080), timeout=30)

    with wait_for(connected) as s:
        return s.recv(100) == b"hello\n"


def bridge_conf(cri, name="br", plugins=()):
    number = cri.hulld.subnet.network_address + 0x200000
    return {"cniVersion": "1.0.0", "name": f"n{cri.hulld.tag}", "plugins": [
        {"type": "bridge", "bridge": f"{name}{cri.hulld.tag[2:]}", "isGateway": True, "ipMasq": False,
         "ipam": {"type": "host-local", "dataDir": str(cri.hulld.base / "ipam"),
                  "ranges": [[{"subnet": f"{number}/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}, *plugins]}


@pytest.fixture
def bridged(make_cri):
    """A node whose network is the distribution's bridge plugin."""
    cri = make_cri()
    (cri.hulld.cni_conf_dir / "10-net.conflist").write_text(json.dumps(bridge_conf(cri)))
    yield cri
    subprocess.run(["ip", "link", "delete", f"br{cri.hulld.tag[2:]}"], check=False, capture_output=True)


@pytest.mark.skipif(not os.path.exists("/usr/lib/cni/bridge"), reason="no containernetworking-plugins")
def test_a_network_of_cni_plugins(bridged):
    cri = bridged
    pod = cri.run(network="pod", userns=FIRST)
    c = pod.container(FOREVER)
    assert pod.ip in c.sh("ip -4 addr show eth0") and answers(c, pod.ip)
    result = pod.info["cniResult"]
    assert result["ips"][0]["address"].split("/")[0] == pod.ip
    leases = cri.hulld.base / "ipam" / f"n{cri.hulld.tag}"
    assert (leases / pod.ip).exists()
    pod.stop()
    assert not (leases / pod.ip).exists() and cri.hulld.netns() == []
    st = pod.status()
    assert st.state == NOTREADY
    pod.remove()


def test_port_mappings_reach_the_plugins(plugged):
    cri = plugged("cat >> $(dirname $0)/stdin; " + failing(
        "echo '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.9.9.9/24\"}]}'"))
    record = cri.hulld.base / "bin/stdin"
    conf = {"cniVersion": "1.0.0", "name": "spied", "plugins": [
        {"type": "spy", "capabilities": {"portMappings": True, "dns": True, "bandwidth": True}}]}
    (cri.hulld.cni_conf_dir / "10-net.conflist").write_text(json.dumps(conf))
    a = cri.api
    pod = cri.run(network="pod", port_mappings=[a.PortMapping(protocol=a.UDP, container_port=53, host_port=5353, host_ip="127.0.0.1"),
                                                a.PortMapping(container_port=80)],
                  dns_config=a.DNSConfig(servers=["9.9.9.9"], searches=["x.y"]),
                  annotations={"kubernetes.io/ingress-bandwidth": "1M"})
    assert pod.ip == "10.9.9.9"
    given = json.JSONDecoder().raw_decode(record.read_text())[0]["runtimeConfig"]
    assert given["portMappings"] == [{"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"}]
    assert given["dns"]["servers"] == ["9.9.9.9"] and given["bandwidth"]["ingressRate"] == 1000000


def plugin(cri, name, script):
    """A CNI plugin made of a shell script, and the configuration that names it."""
    bin_dir = cri.hulld.base / "bin"
    bin_dir.mkdir(exist_ok=True)
    (bin_dir / name).write_text(f"#!/bin/sh\n{script}\n")
    (bin_dir / name).chmod(0o755)
    (cri.hulld.cni_conf_dir / "10-net.conflist").write_text(json.dumps(
        {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": name}]}))


@pytest.fixture
def plugged(make_cri):
    """plugged(script): a node whose network is that script."""
    def make(script, **cni):
        cri = make_cri()
        cri.hulld.config["cni"].update({"bin_dirs": [str(cri.hulld.base / "bin"), "/usr/lib/cni"], **cni})
        cri.hulld.write_config()
        plugin(cri, "spy", script)
        cri.restart("stop")
        return cri

    return make


def failing(add, delete="echo '{}'"):
    return f"case $CNI_COMMAND in ADD) {add};; DEL) {delete};; VERSION) echo '{{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"1.0.0\"]}}';; esac"


@pytest.mark.parametrize("add, words", [
    ("echo 'this is no JSON'", ["spy"]),
    ("exit 1", ["spy"]),
    ("echo 'on stderr' >&2; exit 3", ["spy", "on stderr"]),
    ("echo '{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"no more addresses\",\"details\":\"pool full\"}'; exit 1",
     ["no more addresses", "pool full"]),
    ("head -c 20000000 /dev/zero", ["spy"]),
    ("echo '{\"cniVersion\":\"1.0.0\"}'", ["no address"]),
    ("echo '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"not-an-address\"}]}'", ["not-an-address"]),
    ("kill -9 $$", ["spy"]),
])
def test_plugins_that_fail_are_quoted_and_leave_nothing(plugged, add, words):
    cri = plugged(failing(add))
    with pytest.raises(Exception) as caught:
        cri.run(network="pod")
    for word in words:
        assert word in caught.value.details(), caught.value.details()
    assert cri.pods() == [] and cri.leaks() == {}
    assert cri.run().status().state == READY  # still serves


def test_a_plugin_that_hangs(plugged):
    cri = plugged(failing("sleep 1000"), timeout_s=1)
    with pytest.raises(Exception) as caught:
        cri.run(network="pod")
    assert "spy" in caught.value.details() and caught.value.code().name == "DEADLINE_EXCEEDED"
    assert cri.pods() == [] and cri.leaks() == {}


def test_a_plugin_that_is_not_there(make_cri):
    cri = make_cri()
    (cri.hulld.cni_conf_dir / "10-net.conflist").write_text(json.dumps(
        {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "not-installed"}]}))
    with pytest.raises(Exception) as caught:
        cri.run(network="pod")
    assert "not-installed" in caught.value.details()
    assert cri.leaks() == {}


def test_a_broken_configuration_makes_the_network_not_ready(make_cri):
    cri = make_cri()
    (cri.hulld.cni_conf_dir / "10-net.conflist").write_text("{ this is none")
    status = cri.runtime.Status(cri.api.StatusRequest()).status
    conditions = {c.type: c for c in status.conditions}
    assert conditions["RuntimeReady"].status and not conditions["NetworkReady"].status
    assert "10-net.conflist" in conditions["NetworkReady"].message
    with pytest.raises(Exception, match="10-net.conflist"):
        cri.run(network="pod")
    assert cri.run().container("exit 0").wait().exit_code == 0


def test_a_del_that_fails_is_tried_again(plugged):
    flag = "$(dirname $0)/broken"
    cri = plugged(failing("echo '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.9.9.9/24\"}]}'",
                          f"test ! -e {flag} || exit 1; echo '{{}}'"))
    pod = cri.run(network="pod")
    broken = cri.hulld.base / "bin/broken"
    broken.write_text("")
    with pytest.raises(Exception, match="spy"):
        pod.stop()
    broken.unlink()
    pod.stop()
    pod.remove()


def test_the_namespace_vanished_before_the_stop(cri):
    pod = cri.run(network="pod")
    path = pod.netns
    subprocess.run(["umount", path], check=True)
    os.unlink(path)
    pod.stop()
    pod.remove()


# --- with a pause container ---------------------------------------------------------------------------


@pytest.fixture
def paused(make_cri, images):
    def make(image=None, **config):
        return make_cri({"sandbox_image": image or images.pause, **config})
    return make


@pytest.mark.parametrize("userns", [None, FIRST])
def test_the_pause_container_holds_the_pod(paused, userns):
    cri = paused(pod_annotations=["passed/*"])
    a = cri.api
    pod = cri.run(network="pod", pid="pod", userns=userns, annotations={"passed/on": "1", "not": "2"},
                  linux={"resources": a.LinuxContainerResources(cpu_period=100000, cpu_quota=50000, cpu_shares=512,
                                                                memory_limit_in_bytes=1 << 28)})
    info = pod.info
    assert cri.containers() == []  # the pod's, not one of its containers
    assert info["pauseContainer"] and info["image"] == cri.images.pause
    pause = info["pauseContainer"]
    status = cri.runtime.ContainerStatus(a.ContainerStatusRequest(container_id=pause, verbose=True))
    pause_info = json.loads(status.info["info"])
    pid, spec = pause_info["pid"], pause_info["runtimeSpec"]
    assert namespace_id(f"/proc/{pid}/ns/net") == namespace_id(pod.netns)
    assert os.readlink(f"/proc/{pid}/cwd").endswith("/data") and "OF_PAUSE=1" in spec["process"]["env"]
    assert spec["root"]["readonly"] is True
    got = spec["annotations"]
    assert got["passed/on"] == "1" and "not" not in got
    assert got["io.kubernetes.cri.container-type"] == "sandbox" and got["io.kubernetes.cri.sandbox-id"] == pod.id
    assert got["io.kubernetes.cri.podsandbox.image-name"] == cri.images.pause
    assert (got["io.kubernetes.cri.sandbox-cpu-period"], got["io.kubernetes.cri.sandbox-cpu-quota"],
            got["io.kubernetes.cri.sandbox-cpu-shares"], got["io.kubernetes.cri.sandbox-memory"]) == (
                "100000", "50000", "512", str(1 << 28))
    c = pod.container(FOREVER)
    assert namespace_id(f"/proc/{c.pid}/ns/pid") == namespace_id(f"/proc/{pid}/ns/pid")
    assert c.spec["annotations"]["io.kubernetes.cri.container-type"] == "container"
    assert c.spec["annotations"]["io.kubernetes.cri.container-name"] == c.config.metadata.name
    if userns:
        assert id_map(pid)[0][1] == userns and owner_of(pod.netns) == namespace_id(f"/proc/{pid}/ns/user")
    image = next(i for i in cri.image.ListImages(a.ListImagesRequest()).images if i.id == cri.images.ids["pause"])
    assert image.pinned


def test_a_pause_process_that_dies_ends_the_pod(paused):
    cri = paused()
    pod = cri.run(pid="pod")
    c = pod.container(FOREVER)
    pause = json.loads(cri.runtime.ContainerStatus(cri.api.ContainerStatusRequest(
        container_id=pod.info["pauseContainer"], verbose=True)).info["info"])["pid"]
    os.kill(pause, 9)
    wait_for(lambda: pod.status().state == NOTREADY)
    assert wait_for(lambda: c.status().state != RUNNING)
    pod.stop()
    pod.remove()
    assert cri.leaks() == {}


def test_a_pause_image_with_nothing_to_run(paused, images):
    cri = paused(images.bare)
    with refused("INVALID_ARGUMENT", "sandbox_image", "entrypoint", "cmd"):
        cri.run()
    assert cri.pods() == [] and cri.leaks() == {}


def test_a_pause_image_that_is_not_there(paused, images):
    cri = paused(f"{images.host}/test/none:1")
    with pytest.raises(Exception) as caught:
        cri.run(network="pod")
    assert "sandbox_image" in caught.value.details() and cri.leaks() == {}
