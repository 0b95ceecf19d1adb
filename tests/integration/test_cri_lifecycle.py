# SPDX-License-Identifier: Apache-2.0
"""The life of pods and containers: states, names, ids, filters, idempotence, joined and abandoned creations."""
import concurrent.futures
import os
import pathlib
import re
import time

import grpc
import pytest

from crikit import CREATED, EXITED, FOREVER, NOTREADY, READY, RUNNING, Container, Pod, namespace_id, refused, wait_for

LABELS = {"app": "web", "io.kubernetes.pod.name": "p", "ü": "\"\\\n\t€"}
ANNOTATIONS = {"io.kubernetes.container.hash": "8ab", "empty": "", "long": "x" * 100000, "json": '{"a": ["b\\n"]}'}


def test_a_pod_with_a_container_from_start_to_end(cri):
    before = time.time_ns()
    pod = cri.run(labels=LABELS, annotations=ANNOTATIONS)
    st = pod.status()
    assert re.fullmatch("[0-9a-f]{64}", pod.id) and st.id == pod.id
    assert st.state == READY and before <= st.created_at <= time.time_ns()
    assert st.metadata == pod.config.metadata
    assert dict(st.labels) == LABELS and dict(st.annotations) == ANNOTATIONS

    c = pod.create("echo hello; echo error >&2; sleep 0.5; exit 3", labels=LABELS, annotations=ANNOTATIONS)
    st = c.status()
    assert (st.state, st.started_at, st.finished_at, st.exit_code, st.reason) == (CREATED, 0, 0, 0, "")
    assert before < st.created_at <= time.time_ns()
    c.start()
    st = c.status()
    assert st.state in (RUNNING, EXITED) and st.started_at >= st.created_at
    st = c.wait()
    assert (st.exit_code, st.reason) == (3, "Error")
    assert st.finished_at - st.started_at >= 100_000_000
    assert dict(st.labels) == LABELS and dict(st.annotations) == ANNOTATIONS
    assert st.metadata == c.config.metadata
    assert st.image.image == cri.images.busybox and st.image_id == cri.images.ids["busybox"]
    assert st.image_ref.endswith("@" + cri.images.digests["busybox"])
    assert st.log_path == f"{pod.config.log_directory}/{c.config.log_path}"
    assert (c.output(), c.output("stderr")) == ("hello\n", "error\n")

    c.remove()
    with refused("NOT_FOUND", c.id):
        c.status()
    assert pathlib.Path(st.log_path).exists()  # the kubelet removes it
    pod.stop()
    assert pod.status().state == NOTREADY
    pod.remove()
    with refused("NOT_FOUND", pod.id):
        pod.status()


@pytest.mark.parametrize("command, code, reason", [
    ("exit 0", 0, "Completed"), ("exit 255", 255, "Error"), ("kill -9 $$", 137, "Error"),
    ("kill -TERM $$", 143, "Error"), ("kill -SEGV $$", 139, "Error")])
def test_exit_codes_and_signals(cri, command, code, reason):
    # A process that is PID 1 of its namespace is immune to its own signals.
    st = cri.run(pid="pod").container(command).wait()
    assert (st.exit_code, st.reason) == (code, reason)
    assert st.message == "" or code > 128


def test_stop_and_remove_are_idempotent(cri):
    pod = cri.run()
    c = pod.container(FOREVER).heeds()
    for _ in range(2):
        c.stop(30)
    assert c.status().exit_code == 0
    for _ in range(2):
        c.remove()
    for _ in range(2):
        pod.stop()
    for _ in range(2):
        pod.remove()
    pod.stop()
    c.stop()


def test_unknown_ids(cri):
    unknown = "0123456789abcdef" * 4
    pod, c = Pod(cri, None, unknown), Container(cri.run(), None, unknown)
    pod.stop()
    pod.remove()
    c.stop()
    c.remove()
    for call in (pod.status, c.status, c.start, lambda: c.exec("true")):
        with refused("NOT_FOUND", unknown):
            call()
    api = cri.api
    with refused("NOT_FOUND", unknown):
        cri.runtime.ReopenContainerLog(api.ReopenContainerLogRequest(container_id=unknown))
    with refused("NOT_FOUND", unknown):
        cri.runtime.CreateContainer(api.CreateContainerRequest(
            pod_sandbox_id=unknown, config=c.pod.container_config()))


def test_empty_ids_are_refused(cri):
    pod, c = Pod(cri, None, ""), Container(cri.run(), None, "")
    for call in (pod.status, pod.stop, pod.remove, c.status, c.start, c.stop, c.remove):
        with refused("INVALID_ARGUMENT"):
            call()


def test_names_are_reserved_until_the_removal(cri):
    pod = cri.run(name="same")
    with refused("ALREADY_EXISTS", "same", pod.id):
        cri.run(name="same")
    other = cri.run(name="same", attempt=1)
    assert other.id != pod.id
    c = pod.create(name="web")
    with refused("ALREADY_EXISTS", "web", c.id):
        pod.create(name="web")
    assert pod.create(name="web", attempt=1).id != c.id
    assert other.create(name="web").id != c.id
    c.remove()
    pod.create(name="web")
    pod.stop()
    with refused("ALREADY_EXISTS"):
        cri.run(name="same")
    pod.remove()
    assert cri.run(name="same").id != pod.id


def slow_network(cri):
    """A network whose plugin takes its time: until the file that is returned is there."""
    go = cri.hulld.base / "go"
    bin_dir = cri.hulld.base / "bin"
    bin_dir.mkdir()
    (bin_dir / "slow").write_text(f"#!/bin/sh\nwhile test $CNI_COMMAND = ADD && test ! -e {go}; do sleep 0.05; done\n"
                                  "echo '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.9.9.9/24\"}]}'\n")
    (bin_dir / "slow").chmod(0o755)
    (cri.hulld.cni_conf_dir / "10-slow.conf").write_text('{"cniVersion": "1.0.0", "name": "slow", "type": "slow"}')
    cri.hulld.config["cni"]["bin_dirs"] = [str(bin_dir)]
    cri.hulld.write_config()
    cri.restart("stop")
    return go


def test_a_retry_joins_the_running_creation(cri):
    go = slow_network(cri)
    clients = [cri.hulld.client() for _ in range(4)]
    request = cri.api.RunPodSandboxRequest(config=cri.config(network="pod", name="joined"))
    calls = [c.runtime.RunPodSandbox.future(request) for c in clients]
    # The log is that of calls which have ended, so another one of each connection says that the first is there.
    for c in clients:
        c.runtime.Version(cri.api.VersionRequest())
    time.sleep(0.5)
    assert not any(call.done() for call in calls)
    go.touch()
    answers = [call.result(60).pod_sandbox_id for call in calls]
    assert len(set(answers)) == 1
    assert len(cri.pods()) == 1 and len(cri.hulld.netns()) == 1


def test_a_retry_after_a_deadline_gets_the_pod_of_the_first_call(cri):
    go = slow_network(cri)
    request = cri.api.RunPodSandboxRequest(config=cri.config(network="pod", name="late"))
    with pytest.raises(grpc.RpcError) as caught:
        cri.runtime.RunPodSandbox(request, timeout=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert cri.pods() == []  # not yet whole
    retry = cri.runtime.RunPodSandbox.future(request)
    go.touch()
    id_ = retry.result(60).pod_sandbox_id
    assert [p.id for p in cri.pods()] == [id_] and len(cri.hulld.netns()) == 1


def test_equal_containers_at_once_are_one(cri):
    pod = cri.run()
    config = pod.container_config(name="joined")
    cri.pull(config.image.image)
    clients = [cri.hulld.client() for _ in range(4)]
    request = cri.api.CreateContainerRequest(pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config)

    def create(client):
        try:
            return client.runtime.CreateContainer(request).container_id
        except grpc.RpcError as e:  # when the first one was already done
            assert e.code() == grpc.StatusCode.ALREADY_EXISTS
            return re.search(r'exists already .* as "([0-9a-f]{64})"', e.details())[1]

    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(create, clients))
    assert len(set(answers)) == 1 and [c.id for c in cri.containers()] == answers[:1]


@pytest.mark.parametrize("milliseconds", [1, 3, 6, 12, 25, 50])
def test_a_client_that_gives_up_finds_the_pod_when_it_comes_back(cri, milliseconds):
    request = cri.api.RunPodSandboxRequest(config=cri.config(network="pod", name="impatient"))
    call = cri.runtime.RunPodSandbox.future(request)
    time.sleep(milliseconds / 1000)
    call.cancel()
    try:
        id_ = cri.runtime.RunPodSandbox(request).pod_sandbox_id if call.cancelled() else call.result().pod_sandbox_id
    except grpc.RpcError as e:  # the answer was on its way when the client gave up: the error names the pod
        assert e.code() == grpc.StatusCode.ALREADY_EXISTS
        id_ = re.search(r'exists already as "([0-9a-f]{64})"', e.details())[1]
    assert [p.id for p in cri.pods()] == [id_]
    assert len(cri.hulld.netns()) == 1


def test_filters_of_pods(cri):
    a = cri.run(labels={"app": "a", "tier": "x"})
    b = cri.run(labels={"app": "b", "tier": "x"})
    b.stop()
    state = cri.api.PodSandboxStateValue
    ids = lambda **f: {p.id for p in cri.pods(**f)}  # noqa: E731
    assert ids() == {a.id, b.id}
    assert ids(id=a.id) == {a.id} and ids(id=a.id[:13]) == {a.id}
    assert ids(state=state(state=READY)) == {a.id} and ids(state=state(state=NOTREADY)) == {b.id}
    assert ids(label_selector={"tier": "x"}) == {a.id, b.id}
    assert ids(label_selector={"tier": "x", "app": "b"}) == {b.id}
    assert ids(label_selector={"tier": "y"}) == set()
    assert ids(label_selector={"absent": ""}) == set()
    assert ids(id=a.id, state=state(state=NOTREADY)) == set()
    item = cri.pods(id=a.id)[0]
    assert item.metadata == a.config.metadata and dict(item.labels) == dict(a.config.labels) and item.created_at > 0


def test_filters_of_containers(cri):
    p, q = cri.run(), cri.run()
    a = p.container(FOREVER, labels={"n": "a", "all": ""})
    b = p.create(FOREVER, labels={"n": "b", "all": ""})
    c = q.container("exit 0", labels={"n": "c", "all": ""})
    c.wait()
    state = cri.api.ContainerStateValue
    ids = lambda **f: {x.id for x in cri.containers(**f)}  # noqa: E731
    assert ids() == {a.id, b.id, c.id}
    assert ids(id=b.id) == {b.id}
    assert ids(pod_sandbox_id=p.id) == {a.id, b.id}
    assert ids(state=state(state=RUNNING)) == {a.id} and ids(state=state(state=CREATED)) == {b.id}
    assert ids(state=state(state=EXITED)) == {c.id}
    assert ids(label_selector={"all": ""}) == {a.id, b.id, c.id} and ids(label_selector={"n": "c"}) == {c.id}
    assert ids(pod_sandbox_id=q.id, state=state(state=RUNNING)) == set()
    item = cri.containers(id=a.id)[0]
    assert item.image_id == item.image_ref == cri.images.ids["busybox"]
    assert item.pod_sandbox_id == p.id and item.metadata == a.config.metadata


def test_the_pod_status_has_the_status_of_each_container(cri):
    pod = cri.run()
    a, b = pod.container(FOREVER), pod.create(FOREVER)
    before = time.time_ns()
    answer = pod.answer()
    assert {s.id for s in answer.containers_statuses} == {a.id, b.id}
    assert before <= answer.timestamp <= time.time_ns()
    assert {s.id: s for s in answer.containers_statuses}[a.id] == a.status()
    assert dict(answer.info) == {}


def test_verbose_says_what_is_in_force(cri):
    pod = cri.run(network="pod", userns=300000)
    c = pod.container(FOREVER)
    info = pod.info
    assert namespace_id(f"/proc/{c.pid}/ns/net") == namespace_id(info["networkNamespace"])
    assert info["netNamespaceClosed"] is False
    assert info["cniResult"]["ips"][0]["address"].split("/")[0] == pod.ip
    assert info["config"]["metadata"]["name"] == pod.config.metadata.name
    assert "as the request asks" in info["userNamespace"]
    spec = c.spec
    assert spec["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 300000, "size": 65536}]
    assert spec["process"]["args"] == list(c.config.command)
    assert {"type": "network", "path": pod.netns} in spec["linux"]["namespaces"]
    assert pathlib.Path(f"/proc/{c.pid}/cmdline").read_bytes().split(b"\0")[0] == b"/bin/sh"


def test_start_twice_and_start_of_an_ended_one_are_refused(cri):
    pod = cri.run()
    c = pod.container("exit 0")
    c.wait()
    with refused("FAILED_PRECONDITION", "exited"):
        c.start()
    d = pod.container(FOREVER)
    with refused("FAILED_PRECONDITION", "running"):
        d.start()


def test_a_program_that_is_not_there(cri):
    pod = cri.run()
    for program, code in (("/no/such", "INVALID_ARGUMENT"), ("no-such-program", "INVALID_ARGUMENT"),
                          ("/data/file", "PERMISSION_DENIED"), ("/etc", "PERMISSION_DENIED")):
        with refused(code, f'"{program}"'):
            pod.container([program])
    assert cri.containers() == []


def test_a_stopped_pod_takes_no_more_containers(cri):
    pod = cri.run()
    c = pod.container(FOREVER)
    d = pod.create(FOREVER)
    pod.stop()
    assert c.status().state == EXITED and c.status().exit_code == 137
    assert d.status().state == EXITED
    with refused("FAILED_PRECONDITION", "not ready"):
        pod.create(FOREVER)
    with refused("FAILED_PRECONDITION"):
        d.start()
    with refused("FAILED_PRECONDITION"):
        c.exec("true")


def test_removing_a_pod_removes_running_containers(cri):
    pod = cri.run()
    c = pod.container(FOREVER)
    pid = c.pid
    pod.remove()
    assert cri.containers() == [] and not os.path.exists(f"/proc/{pid}")
    assert cri.leaks() == {}


def test_removing_a_running_container_kills_it(cri):
    c = cri.run().container("trap '' TERM; " + FOREVER)
    pid = c.pid
    c.remove()
    assert not os.path.exists(f"/proc/{pid}")


def test_stop_sends_the_signal_and_then_kills(cri):
    pod = cri.run()
    polite = pod.container(FOREVER).heeds()
    stubborn = pod.container("trap 'echo caught' TERM; while :; do sleep 0.05; done").heeds()
    start = time.monotonic()
    polite.stop(60)
    assert time.monotonic() - start < 30 and polite.status().exit_code == 0
    start = time.monotonic()
    stubborn.stop(2)
    assert 1.9 < time.monotonic() - start < 30
    assert (stubborn.status().exit_code, stubborn.output()) == (137, "caught\n")
    at_once = pod.container(FOREVER)
    at_once.stop(0)
    assert at_once.status().exit_code == 137


def test_stop_signals_of_request_and_image(cri):
    pod, a = cri.run(), cri.api
    trap = "for s in TERM USR1 USR2; do trap \"echo $s; exit 7\" $s; done; echo ready; while :; do sleep 0.05; done"
    own = pod.container(trap, stop_signal=a.SIGNAL_SIGUSR2)
    image = pod.container(["/bin/sh", "-c", trap], image=cri.images.configured)
    for c, name, number in ((own, "USR2", a.SIGNAL_SIGUSR2), (image, "USR1", a.SIGNAL_SIGUSR1)):
        c.lines(1)
        assert c.status().stop_signal == number
        c.stop(10)
        assert c.output() == f"ready\n{name}\n" and c.status().exit_code == 7


def test_stopping_a_created_container(cri):
    c = cri.run().create(FOREVER)
    c.stop(5)
    assert c.status().state == EXITED
    with refused("FAILED_PRECONDITION"):
        c.start()


def test_stops_at_the_same_time(cri):
    pod = cri.run()
    c = pod.container("trap '' TERM; while :; do sleep 0.05; done")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(c.stop, t) for t in (30, 30, 1)]
        for job in jobs:
            job.result(28)
    assert c.status().exit_code == 137


def test_a_kill_now_overtakes_a_patient_stop(cri):
    c = cri.run().container("trap '' TERM; while :; do sleep 0.05; done")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        patient = pool.submit(c.stop, 60)
        time.sleep(0.2)
        c.stop(0)
        patient.result(30)
    assert c.status().exit_code == 137


def test_twenty_pods_at_once(cri):
    cri.pull(cri.images.busybox)
    clients = [cri.hulld.client() for _ in range(4)]

    def life(i):
        client, a = clients[i % 4], cri.api
        config = cri.config(network="pod" if i % 2 else "node", userns=1_000_000 + i * 65536 if i % 4 == 1 else None)
        pod = client.runtime.RunPodSandbox(a.RunPodSandboxRequest(config=config)).pod_sandbox_id
        cc = Pod(cri, config, pod).container_config(f"echo {i}")
        c = client.runtime.CreateContainer(
            a.CreateContainerRequest(pod_sandbox_id=pod, config=cc, sandbox_config=config)).container_id
        client.runtime.StartContainer(a.StartContainerRequest(container_id=c))
        assert Container(Pod(cri, config, pod), cc, c).output(timeout=30) == f"{i}\n"
        client.runtime.StopPodSandbox(a.StopPodSandboxRequest(pod_sandbox_id=pod))
        client.runtime.RemovePodSandbox(a.RemovePodSandboxRequest(pod_sandbox_id=pod))

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(life, range(20)))
    assert cri.leaks() == {}


def test_removal_while_the_container_ends(cri):
    pod = cri.run()
    for _ in range(10):
        c = pod.container("exit 0")
        c.remove()
    assert cri.containers() == []
    wait_for(lambda: not list(cri.hulld.root.glob("containers/*")))
