# SPDX-License-Identifier: Apache-2.0
"""hullctl against a private hulld: what it prints, its exit statuses, and what it leaves behind."""
import json
import os
import pathlib
import subprocess

import pytest

import harness
from crikit import wait_for


class Ctl:
    """hullctl with the address of one hulld, and directories of its own for volumes and logs."""

    def __init__(self, hulld, images, directory):
        self.hulld, self.images = hulld, images
        self.data, self.logs = directory / "volumes", directory / "logs"
        self.program = harness.BUILD / "src/ctl/hullctl"

    def start(self, *argv, **kw):
        return subprocess.Popen([self.program, "--address", f"unix://{self.hulld.socket}", *map(str, argv)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)

    def try_(self, *argv, text=None):
        """(exit status, stdout, stderr)"""
        p = self.start(*argv, stdin=subprocess.PIPE)
        out, err = p.communicate(text, timeout=60)
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return p.returncode, out, err

    def __call__(self, *argv, text=None):
        status, out, err = self.try_(*argv, text=text)
        assert status == 0, err
        return out

    def json(self, *argv):
        return json.loads(self("--json", *argv))

    def manifest(self, name="pod", **spec):
        """A Pod as JSON text: one container "c" that sleeps, unless containers are given."""
        spec.setdefault("containers", [self.container()])
        return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                           "spec": {"hostNetwork": True, **spec}})

    def container(self, name="c", script="trap 'exit 0' TERM; echo up; sleep 1000 & wait", **fields):
        return {"name": name, "image": self.images.busybox, "command": ["sh", "-c", script], **fields}

    def try_run(self, text, *options):
        return self.try_("run", "--data", self.data, "--log-dir", self.logs, *options, "-", text=text)

    def run(self, text, *options):
        status, out, err = self.try_run(text, *options)
        assert status == 0, err
        return out

    def remove(self, *names):
        return self("rm", "-f", "--data", self.data, *names)

    def files(self):
        return [p for d in (self.data, self.logs) if d.is_dir() for p in d.iterdir()]


@pytest.fixture
def ctl(make_hulld, images, tmp_path):
    hulld = make_hulld()
    ctl = Ctl(hulld, images, tmp_path)
    yield ctl
    for pod in json.loads(ctl("--json", "pods", "-a"))["items"]:
        ctl.remove(pod["id"])
    assert ctl.files() == []
    assert hulld.leaks() == {}


# --- the command line -------------------------------------------------------------------------------

def test_every_command_explains_itself(ctl):
    text = ctl("--help")
    for name in "version info pull load images rmi run pods ps inspect exec logs stop rm".split():
        assert f"  {name} " in text
        assert ctl(name, "--help").startswith(f"usage: hullctl {name}")


@pytest.mark.parametrize("argv, words", [
    (["nonsense"], 'unknown command "nonsense"'),
    (["ps", "--nonsense"], "--nonsense: unknown option"),
    (["exec"], "which command"),
    (["logs", "--tail", "x", "web"], "--tail"),
    (["run", "a", "b"], "which manifest?"),
])
def test_a_wrong_command_line_is_status_2(ctl, argv, words):
    status, out, err = ctl.try_(*argv)
    assert (status, out) == (2, "")
    assert words in err


def test_nobody_there_is_said_with_the_socket(ctl, tmp_path):
    p = subprocess.run([ctl.program, "pods"], capture_output=True, text=True, check=False,
                       env={"HULL_ADDRESS": f"unix://{tmp_path}/none.sock"})
    assert p.returncode == 1
    assert f"{tmp_path}/none.sock" in p.stderr and "HULL_ADDRESS" in p.stderr


def test_version_and_info(ctl):
    assert "hull" in ctl("version") and "CRI v1" in ctl("version")
    assert ctl.json("version")["runtimeApiVersion"] == "v1"
    assert "RuntimeReady" in ctl("info")
    assert ctl.json("info")["runtimeHandlers"][0]["name"] == ""


# --- images ---------------------------------------------------------------------------------------------

def test_pull_list_inspect_remove(ctl):
    ref, image_id = ctl.images.busybox, ctl.images.ids["busybox"]
    assert ctl("pull", "-q", ref).strip() == image_id
    assert ctl.json("pull", ref) == [{"image": ref, "id": image_id}]
    assert image_id[7:19] in ctl("images")
    assert ctl("images", "-q").split() == [image_id]
    assert ctl.json("inspect", ref)["image"]["id"] == image_id
    assert ctl("rmi", ref).strip() == ref
    assert ctl.json("images")["images"] == []


def test_errors_are_the_servers_with_the_name_of_the_code(ctl):
    status, _, err = ctl.try_("pull", f"{ctl.images.host}/not/there:1")
    assert status == 1
    assert err.startswith("hullctl: pull image") and err.rstrip().endswith("(NotFound)")
    status, _, err = ctl.try_("rmi", "not-there")
    assert (status, err) == (1, 'hullctl: no image "not-there"\n')


def test_progress_of_a_pull_is_true(ctl):
    """On a terminal: the bytes of the layers, as the registry has them."""
    import pty
    main, sub = pty.openpty()
    try:
        p = subprocess.Popen([ctl.program, "--address", f"unix://{ctl.hulld.socket}", "pull", ctl.images.layered],
                             stdout=subprocess.DEVNULL, stderr=sub, env={**os.environ, "COLUMNS": "100"})
        assert p.wait(60) == 0
        shown = os.read(main, 65536).decode()
    finally:
        os.close(main)
        os.close(sub)
    assert "layers" in shown or "asking the registry" in shown
    assert shown.endswith("\r\033[K")


def test_load_an_archive(ctl, tmp_path):
    archive = tmp_path / "busybox.tar"
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", f"docker://{ctl.images.busybox}",
                    f"docker-archive:{archive}:example.com/loaded:2"], check=True)
    image_id = ctl("load", archive).strip()
    assert ctl.json("inspect", "example.com/loaded:2")["image"]["id"] == image_id
    status, _, err = ctl.try_("load", tmp_path / "none.tar")
    assert status == 1 and "none.tar" in err
    os.mkfifo(tmp_path / "fifo")
    status, _, err = ctl.try_("load", tmp_path / "fifo")
    assert status == 1 and "neither a file nor a directory" in err and "(InvalidArgument)" in err


# --- pods --------------------------------------------------------------------------------------------------

def test_a_pod_from_beginning_to_end(ctl):
    out = ctl.run(ctl.manifest("web", containers=[ctl.container("a"), ctl.container("b")]))
    assert "pod default/web" in out and "container a" in out
    assert "ready" in ctl("pods") and ctl("ps").count("running") == 2
    assert ctl("ps", "-q", "web").split() == [c["id"] for c in ctl.json("ps")["containers"]]
    assert ctl.json("inspect", "web/a")["status"]["state"] == "CONTAINER_RUNNING"
    status, _, err = ctl.try_("rm", "web")
    assert status == 1 and "is running" in err
    wait_for(lambda: "up" in ctl("logs", "web/a"))
    ctl("stop", "web/a")
    assert ctl("ps").count("running") == 1 and "exited (0)" in ctl("ps", "-a")
    ctl("stop", "web")
    assert "ready" not in ctl("pods", "-a")
    ctl("rm", "--data", ctl.data, "web")
    assert ctl.json("pods", "-a")["items"] == []
    assert ctl.files() == []


def test_exec_returns_the_commands_status_and_streams(ctl):
    ctl.run(ctl.manifest("web"))
    status, out, err = ctl.try_("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (status, out, err) == (7, "out\n", "err\n")
    assert ctl.try_("exec", "web/c", "ls", "-d", "/bin")[1] == "/bin\n"
    status, _, err = ctl.try_("exec", "--timeout", "1", "web", "sleep", "100")
    assert status == 1 and "(DeadlineExceeded)" in err
    status, _, err = ctl.try_("exec", "nobody", "true")
    assert (status, err) == (1, 'hullctl: no container "nobody"\n')


def test_two_pods_of_one_node_never_share_ids(ctl):
    ctl.run(ctl.manifest("one", hostNetwork=False, hostUsers=False))
    ctl.run(ctl.manifest("two", hostNetwork=False, hostUsers=False))
    maps = []
    for name in ("one", "two"):
        maps.append(ctl("exec", name, "cat", "/proc/self/uid_map").split())
        assert maps[-1][0] == "0" and maps[-1][2] == "65536"
    starts = sorted(int(m[1]) for m in maps)
    assert starts[1] - starts[0] >= 65536
    status, _, err = ctl.try_run(ctl.manifest("three", hostNetwork=False, hostUsers=False),
                                 "--userns", f"{starts[0]}:65536")
    assert status == 1 and "(AlreadyExists)" in err
    assert len(ctl.files()) == 4    # a directory for volumes and one for logs, of each of the two


def test_volumes_are_writable_by_the_pods_root_and_go_with_it(ctl, tmp_path):
    host = tmp_path / "host"
    text = ctl.manifest(
        "vol", hostNetwork=False, hostUsers=False,
        volumes=[{"name": "e", "emptyDir": {}}, {"name": "h", "hostPath": {"path": str(host), "type": "DirectoryOrCreate"}}],
        containers=[ctl.container(volumeMounts=[{"name": "e", "mountPath": "/e"}, {"name": "h", "mountPath": "/h"}])])
    ctl.run(text)
    ctl("exec", "vol", "--", "sh", "-c", "touch /e/x /h/x && test $(stat -c %u /e/x) = 0")
    assert (host / "x").stat().st_uid == 0      # id-mapped: root inside is root on the volume
    ctl.remove("vol")
    assert ctl.files() == [] and (host / "x").exists()


@pytest.mark.parametrize("kind, words", [("File", "is not of type File"), ("Socket", "is not of type Socket")])
def test_a_host_path_of_another_type_is_refused(ctl, tmp_path, kind, words):
    status, _, err = ctl.try_run(ctl.manifest(
        volumes=[{"name": "h", "hostPath": {"path": str(tmp_path), "type": kind}}]))
    assert status == 1 and words in err
    assert ctl.json("pods", "-a")["items"] == [] and ctl.files() == []


def test_init_containers_run_before_the_others(ctl):
    ctl.run(ctl.manifest(
        "order", volumes=[{"name": "v", "emptyDir": {}}],
        initContainers=[ctl.container("one", "echo 1 >>/v/x", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
                        ctl.container("two", "echo 2 >>/v/x", volumeMounts=[{"name": "v", "mountPath": "/v"}])],
        containers=[ctl.container(volumeMounts=[{"name": "v", "mountPath": "/v"}])]))
    assert ctl("exec", "order/c", "cat", "/v/x") == "1\n2\n"


def test_what_fails_leaves_nothing(ctl):
    status, _, err = ctl.try_run(ctl.manifest("bad", initContainers=[ctl.container("one", "exit 3")]))
    assert status == 1 and 'init container "one" ended with exit code 3' in err
    status, _, err = ctl.try_run(ctl.manifest("bad", containers=[ctl.container(command=["/none"])]))
    assert status == 1 and "/none" in err and 'container "c"' in err
    assert ctl.json("pods", "-a")["items"] == [] and ctl.files() == []


def test_unsupported_fields_are_named_with_their_lines(ctl):
    text = f"""apiVersion: v1
kind: Pod
metadata: {{name: warned}}
spec:
  hostNetwork: true
  restartPolicy: OnFailure
  tolerations: []
  containers:
  - name: c
    image: {ctl.images.busybox}
    command: [sleep, "1000"]
    livenessProbe: {{exec: {{command: ["true"]}}}}
"""
    status, _, err = ctl.try_run(text)
    assert status == 0
    assert "standard input:7: spec.tolerations: not supported, has no effect" in err
    assert "standard input:12: spec.containers[0].livenessProbe: not supported, has no effect" in err
    assert "standard input:6: " in err and "restartPolicy OnFailure" in err


def test_run_as_non_root_is_kept(ctl):
    status, _, err = ctl.try_run(ctl.manifest("root", securityContext={"runAsNonRoot": True}))
    assert status == 1 and "would run as root" in err
    ctl.run(ctl.manifest("user", securityContext={"runAsNonRoot": True, "runAsUser": 1000}))
    assert ctl("exec", "user", "id", "-u") == "1000\n"


def test_dry_run_makes_nothing(ctl, tmp_path):
    out = ctl.run(ctl.manifest("dry", hostUsers=False, hostNetwork=False, volumes=[
        {"name": "h", "hostPath": {"path": str(tmp_path / "none"), "type": "DirectoryOrCreate"}}]), "--dry-run")
    plan = json.loads(out)
    assert plan["sandbox"]["metadata"]["name"] == "dry"
    assert plan["sandbox"]["linux"]["securityContext"]["namespaceOptions"]["usernsOptions"]["uids"][0]["length"] == 65536
    assert not (tmp_path / "none").exists() and ctl.json("pods", "-a")["items"] == []


def test_names_that_fit_several_are_refused(ctl):
    ctl.run(ctl.manifest("one"))
    ctl.run(ctl.manifest("two"))
    status, _, err = ctl.try_("exec", "c", "true")
    assert status == 1 and '"c" could be any of' in err and "one/c" in err and "two/c" in err
    ctl("exec", "two/c", "true")
    ctl("exec", "default/one/c", "true")
    assert ctl.json("inspect", ctl.json("pods")["items"][0]["id"][:8])["status"]["state"] == "SANDBOX_READY"


# --- logs -----------------------------------------------------------------------------------------------------

def test_logs_go_to_the_streams_that_they_came_from(ctl):
    ctl.run(ctl.manifest("web", containers=[ctl.container(
        script="echo one; echo two >&2; printf three; exec sleep 1000")]))
    wait_for(lambda: "two" in ctl.try_("logs", "web")[2])
    status, out, err = ctl.try_("logs", "web")
    assert status == 0 and out.startswith("one\n") and err == "two\n"
    assert ctl.try_("logs", "-t", "web")[2].split()[1] == "two"
    assert ctl.try_("logs", "--tail", "0", "web") == (0, "", "")


def test_logs_follow_until_the_end(ctl):
    ctl.run(ctl.manifest("web", containers=[ctl.container(script="for i in 1 2 3; do echo $i; sleep 0.4; done")]))
    p = ctl.start("logs", "-f", "web")
    out, _ = p.communicate(timeout=60)
    assert p.returncode == 0 and out == "1\n2\n3\n"
    assert ctl("logs", "--tail", "2", "web") == "2\n3\n"
    log = next(pathlib.Path(ctl.logs).glob("default_web_*/c/0.log"))
    assert log.read_text().count(" stdout F ") == 3
