# SPDX-License-Identifier: Apache-2.0
"""hulld as a process: start, configuration, signals, several instances."""
import os
import re
import signal
import socket
import subprocess
import time

import grpc
import pytest

import harness

HULLD = harness.BUILD / "src/daemon/hulld"


def test_version_has_all_four_fields(hulld, client):
    v = client.runtime.Version(hulld.api.VersionRequest())
    assert (v.version, v.runtime_name, v.runtime_api_version) == ("0.1.0", "hull", "v1")
    assert v.runtime_version


def test_a_fresh_hulld_is_small(hulld, client):
    client.runtime.Version(hulld.api.VersionRequest())
    if hulld.is_sanitized():
        pytest.skip("a sanitizer's memory is in it")
    assert hulld.pss_kib() <= 6 * 1024


def test_every_method_is_registered(hulld, client):
    for service, stubs in (("RuntimeService", client.runtime), ("ImageService", client.image)):
        for method in hulld.api.DESCRIPTOR.services_by_name[service].methods:
            request = getattr(hulld.api, method.input_type.name)()
            try:
                answer = getattr(stubs, method.name)(request, timeout=20)
                if method.server_streaming:
                    list(answer)
            except grpc.RpcError as e:
                assert "unknown method" not in e.details(), method.name
                assert e.code() != grpc.StatusCode.UNIMPLEMENTED or method.name in e.details()
                assert e.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN), method.name


def test_the_socket_and_directories_are_private(hulld):
    assert oct(os.stat(hulld.socket).st_mode & 0o777) == oct(0o660)
    for d in (hulld.root, hulld.state):
        assert oct(os.stat(d).st_mode & 0o777) == oct(0o700)


def test_two_instances_with_their_own_directories_run_side_by_side(make_hulld):
    a, b = make_hulld(), make_hulld()
    for h in (a, b):
        h.client().runtime.Version(h.api.VersionRequest())
    assert a.stop() == 0
    assert b.client().runtime.Version(b.api.VersionRequest()).runtime_name == "hull"


@pytest.mark.parametrize("shared", ["root", "state"])
def test_a_second_instance_on_the_same_directory_is_refused(hulld, tmp_path, shared):
    args = {"root": tmp_path / "root", "state": tmp_path / "state", shared: getattr(hulld, shared)}
    p = subprocess.run([HULLD, "--config", hulld.config_path, "--listen", f"unix://{tmp_path}/s",
                        "--root", args["root"], "--state", args["state"]], capture_output=True, text=True,
                       timeout=20, check=False)
    assert p.returncode == 1
    assert f'"{getattr(hulld, shared)}" is in use by another hulld (pid {hulld.pid})' in p.stderr


def test_a_socket_in_use_is_not_taken(hulld, tmp_path):
    p = subprocess.run([HULLD, "--config", hulld.config_path, "--root", tmp_path / "root", "--state",
                        tmp_path / "state"], capture_output=True, text=True, timeout=20, check=False)
    assert p.returncode == 1 and "another process answers there" in p.stderr
    assert hulld.answers()


def test_it_starts_again_after_being_killed(hulld):
    hulld.kill()
    assert hulld.socket.exists()
    hulld.start()
    hulld.client().runtime.Version(hulld.api.VersionRequest())


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 20, 40, 80])
def test_it_starts_again_after_being_killed_while_it_started(hulld, milliseconds):
    for _ in range(3):
        hulld.kill()
        with open(hulld.log_path, "ab") as log:
            hulld.process = subprocess.Popen(hulld.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=hulld.env)
        time.sleep(milliseconds / 1000)
    hulld.kill()
    hulld.start()
    hulld.client().runtime.Version(hulld.api.VersionRequest())


def test_sigterm_removes_the_socket(hulld):
    assert hulld.stop() == 0
    assert not hulld.socket.exists()


def check_config(text, path, *args):
    path.write_text(text)
    p = subprocess.run([HULLD, "--check-config", "--config", path, *args], capture_output=True, text=True,
                       timeout=20, check=False)
    return p.returncode, p.stderr.strip()


@pytest.mark.parametrize("text, words", [
    ("root: /x\nroott: /y\n", ':2: unknown key "roott" (known are listen, root,'),
    ("root: /x\nroot: /y\n", ':2: key "root" is there twice (before in line 1)'),
    ("root: x\n", 'root: "x" is not a clean absolute path'),
    ("state: /a/../b\n", 'state: "/a/../b" is not a clean absolute path'),
    ("listen: tcp://0.0.0.0:1\n", "is not unix:// and an absolute path"),
    ("cgroup_driver: cgrupfs\n", ':1: cgroup_driver: "cgrupfs" is none of cgroupfs, systemd, auto'),
    ("cni:\n  timeout_s: 0\n", ":2: timeout_s: 0 is not from 1 to 3600"),
    ("cni:\n  default_subnet: 10.0.0.0\n", "cni.default_subnet"),
    ("cni: {default_bridge: a-name-of-many-letters}\n", "cni.default_bridge"),
    ("registries: [{mirrors: []}]\n", ":1: a registry without prefix"),
    ("registries:\n- prefix: a.b\n  mirrors:\n  - {}\n", ":4: a mirror without url"),
    ("runtimes: {Bad_Name: {}}\n", ":1: Bad_Name: the name of a runtime handler"),
    ("runtimes: {default: {userns: sometimes}}\n", 'userns: "sometimes" is none of kubelet, always, node'),
    ("runtimes: {default: {userns: node}}\n", "userns.node_mapping is not there"),
    ("userns: {blocks: [{start: 1, length: 0}]}\n", ":1: length: 0 is not from 1"),
    ("userns: {blocks: [{start: 5, length: 5}, {start: 9, length: 1}]}\n", "overlap"),
    ("userns: {node_mapping: {uids: [{container_id: 1, host_id: 5, length: 1}]}}\n", "userns.node_mapping"),
    ("- a\n", ":1: is a list, not a mapping"),
    ("a: [\n", ":"),
    ("{}\n---\n{}\n", ":3: a second document"),
])
def test_a_bad_configuration_is_named_with_file_and_line(tmp_path, text, words):
    status, stderr = check_config(text, tmp_path / "c.yaml")
    assert status == 1
    assert str(tmp_path / "c.yaml") in stderr or words.split(":")[0] in stderr
    assert words in stderr


def test_the_whole_configuration_is_taken(tmp_path):
    text = """
listen: unix:///tmp/x/hull.sock
root: /tmp/x/root
state: /tmp/x/state
netns_dir: /tmp/x/netns
helper_dir: /usr/libexec/hull
cgroup_driver: auto
log_level: debug
log_format: json
sandbox_image: registry.k8s.io/pause:3.10
enable_unprivileged_ports: false
enable_unprivileged_icmp: false
restrict_oom_score_adj: true
pod_annotations: [io.example/*]
container_annotations: []
cni:
  conf_dir: /etc/cni/net.d
  bin_dirs: [/opt/cni/bin]
  default_bridge: hull1
  default_subnet: fd00:1::/64
  default_data_dir: /tmp/x/cni
  timeout_s: 30
registries:
- prefix: registry.k8s.io
  mirrors:
  - {url: "http://127.0.0.1:5000"}
  - {url: "https://mirror.example", ca: /etc/ca.pem, insecure: false}
- {prefix: "*", insecure: true}
runtimes:
  default: {userns: node}
  strict: {userns: always, userns_size: 131072}
userns:
  user: containers
  blocks: [{start: 100000, length: 6553600}]
  node_mapping:
    uids: [{container_id: 0, host_id: 100000, length: 65536}]
limits: {max_connections: 10, max_calls: 4, max_long_calls: 8, max_streams: 2, drain_s: 1}
"""
    assert check_config(text, tmp_path / "c.yaml") == (0, "")


def test_drop_ins_are_read_in_order(tmp_path):
    (tmp_path / "config.d").mkdir()
    (tmp_path / "config.d/20-b.yaml").write_text("log_level: loud\n")
    (tmp_path / "config.d/10-a.yaml").write_text("log_format: json\n")
    (tmp_path / "config.d/30-c.yml").write_text("never: read\n")
    status, stderr = check_config("{}\n", tmp_path / "c.yaml")
    assert status == 1 and "config.d/20-b.yaml:1: log_level" in stderr


def test_a_named_file_must_exist(tmp_path):
    p = subprocess.run([HULLD, "--check-config", "--config", tmp_path / "none.yaml"], capture_output=True,
                       text=True, timeout=20, check=False)
    assert p.returncode == 1 and "none.yaml" in p.stderr


@pytest.mark.parametrize("args", [["--cgroup-driver", "x"], ["--log-level", "x"], ["--unknown"], ["word"]])
def test_a_bad_flag_is_refused(args):
    p = subprocess.run([HULLD, *args], capture_output=True, text=True, timeout=20, check=False)
    assert p.returncode == 2 and p.stderr


def wait_for_log(hulld, words, timeout=60):
    end = time.monotonic() + timeout
    while words not in hulld.log():
        assert time.monotonic() < end, hulld.log()[-2000:]
        time.sleep(0.02)


def test_sighup_reads_the_configuration_again(hulld):
    client, end = hulld.client(), time.monotonic() + 60

    def is_told():
        size = len(hulld.log())
        client.runtime.Version(hulld.api.VersionRequest())
        time.sleep(0.1)
        return "Version" in hulld.log()[size:]

    assert is_told()
    hulld.config["log_level"] = "error"
    hulld.write_config()
    hulld.send(signal.SIGHUP)
    while is_told():
        assert time.monotonic() < end, hulld.log()[-2000:]


def test_a_reload_of_a_bad_file_keeps_the_old_configuration(hulld):
    hulld.config_path.write_text("nonsense: 1\n")
    hulld.send(signal.SIGHUP)
    wait_for_log(hulld, 'reload: ')
    assert 'unknown key "nonsense"' in hulld.log()
    hulld.client().runtime.Version(hulld.api.VersionRequest())


def test_the_service_manager_is_told(make_hulld, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        s.settimeout(10)
        hulld = make_hulld(start=False)
        hulld.env.update(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        hulld.start()
        assert b"READY=1" in s.recv(1000)
        assert s.recv(1000) == b"WATCHDOG=1\n"
        hulld.send(signal.SIGHUP)
        seen = []
        while not seen or b"READY=1" not in seen[-1]:
            seen.append(s.recv(1000))
        assert any(m.startswith(b"RELOADING=1\nMONOTONIC_USEC=") for m in seen)
        hulld.send(signal.SIGTERM)
        while b"STOPPING=1" not in seen[-1]:
            seen.append(s.recv(1000))


def test_the_log_can_be_json(make_hulld):
    import json
    hulld = make_hulld({"log_format": "json"})
    hulld.client().runtime.Version(hulld.api.VersionRequest())
    assert hulld.stop() == 0
    lines = [json.loads(line) for line in hulld.log().splitlines()]
    assert any("Version" in line["msg"] for line in lines)


def test_the_documented_configuration_is_true(tmp_path):
    """packaging/config.yaml shows every key with its default: uncommented, it must be accepted."""
    lines = (harness.REPO / "packaging/config.yaml").read_text().splitlines()
    # Prose has one space behind its '#'; what could be configuration has none, or several.
    text = "\n".join(line[1:] for line in lines if line.startswith("#") and not re.match(r"# \S", line))
    status, stderr = check_config(text, tmp_path / "c.yaml")
    assert (status, stderr) == (0, "")
    known = check_config("x: 1\n", tmp_path / "c.yaml")[1].split("known are ")[1].rstrip(")").split(", ")
    shown = [line.split(":")[0] for line in text.splitlines() if line[:1] not in (" ", "-", "#", "")]
    assert sorted(shown) == sorted(known)
