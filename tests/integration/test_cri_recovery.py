# SPDX-License-Identifier: Apache-2.0
"""kill -9 of hulld and of hull-pod, at rest and in the middle of everything; restarts; instances side by side."""
import concurrent.futures
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time

import grpc
import pytest

from crikit import CREATED, EXITED, FOREVER, NOTREADY, READY, RUNNING, Container, Pod, namespace_id, refused, wait_for

COUNT = "i=0; while [ ! -e /stop ]; do echo $i; i=$((i+1)); sleep 0.01; done; exit $(cat /stop)"
BASE = 1_000_000


def again(cri, thing):
    """A pod or container of before the restart, on the new connection."""
    thing.runtime = cri.runtime
    return thing


def end(pid, code):
    """Let a COUNT container end, without hulld's help."""
    path = pathlib.Path(f"/proc/{pid}/root/stop")
    path.with_name("stop.new").write_text(f"{code}\n")
    path.with_name("stop.new").rename(path)


def attempt(call, *args, **kw):
    """The answer, or the error: of a call that may be cut off."""
    try:
        return call(*args, **kw)
    except grpc.RpcError as e:
        return e


def numbers(c):
    return [int(text) for _, _, _, text in c.records()]


def request(cri, **kw):
    return cri.api.RunPodSandboxRequest(config=cri.config(**kw))


def test_kill_while_ten_pods_run_and_five_are_made(cri):
    pods = [cri.run(name=f"p{i}", network="pod" if i < 6 else "node", userns=BASE + i * 65536 if i % 2 else None,
                    labels={"n": str(i)}) for i in range(10)]
    containers = [p.container(COUNT, resources={"memory_limit_in_bytes": 64 << 20}) for p in pods]
    created = pods[0].create(FOREVER)
    before_end = pods[1].container("exit 9")
    before_end.wait()
    pids = [c.pid for c in containers]
    statuses = [p.status() for p in pods]
    clients = [cri.hulld.client() for _ in range(5)]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(attempt, clients[i].runtime.RunPodSandbox,
                            request(cri, name=f"n{i}", network="pod", userns=BASE + (20 + i) * 65536)) for i in range(5)]
        time.sleep(0.03)
        cri.hulld.kill()
        answers = [job.result(20) for job in jobs]
    for i in (0, 3, 7):
        end(pids[i], 20 + i)
    time.sleep(0.2)
    cri.hulld.start()
    cri.connect()

    # The ten are as they were.
    for i, (pod, c, pid, old) in enumerate(zip(pods, containers, pids, statuses)):
        again(cri, pod), again(cri, c)
        assert pod.status() == old, i
        st = c.status()
        if i in (0, 3, 7):
            wait_for(lambda c=c: c.status().state == EXITED)
            st = c.status()
            assert (st.exit_code, st.reason) == (20 + i, "Error") and st.finished_at > st.started_at > 0
        else:
            assert (st.state, c.pid) == (RUNNING, pid)
            end(pid, 30 + i)
            assert c.wait().exit_code == 30 + i
        seen = numbers(c)
        assert seen == list(range(len(seen))) and len(seen) > 2, i
    assert again(cri, before_end).status().exit_code == 9
    assert again(cri, created).status().state == CREATED
    created.start()
    assert created.sh("echo alive") == "alive"
    if pods[0].ip:
        assert pods[0].ip in created.sh("ip addr")

    # The five are whole or gone.
    ids = {p.id for p in cri.pods()}
    new = ids - {p.id for p in pods}
    for a in answers:
        if not isinstance(a, grpc.RpcError):
            assert a.pod_sandbox_id in new
    for i, id_ in enumerate(sorted(new)):
        pod = Pod(cri, cri.config(network="pod", name=f"x{i}"), id_)
        assert pod.status().state == READY and pod.ip
        assert pod.container("exit 0").wait().exit_code == 0
    assert len(cri.hulld.netns()) == 6 + len(new)
    # Their names and ranges are free or theirs.
    for i in range(5):
        answer = attempt(cri.run, name=f"n{i}", network="pod", userns=BASE + (20 + i) * 65536)
        assert isinstance(answer, Pod) or answer.code() == grpc.StatusCode.ALREADY_EXISTS


def life(cri, client, i, stop):
    """Pods from start to end, over and over; every call may be cut off."""
    a, n = cri.api, 0
    while not stop.is_set():
        n += 1
        config = cri.config(name=f"w{i}-{n}", network="pod" if i % 2 else "node", userns=BASE + i * 65536)
        r = attempt(client.runtime.RunPodSandbox, a.RunPodSandboxRequest(config=config), timeout=20)
        if isinstance(r, grpc.RpcError):
            if r.code() == grpc.StatusCode.UNAVAILABLE:
                return
            continue
        pod = Pod(cri, config, r.pod_sandbox_id)
        c = attempt(client.runtime.CreateContainer, a.CreateContainerRequest(
            pod_sandbox_id=pod.id, config=pod.container_config("echo x; sleep 0.01"), sandbox_config=config), timeout=20)
        if not isinstance(c, grpc.RpcError):
            attempt(client.runtime.StartContainer, a.StartContainerRequest(container_id=c.container_id), timeout=20)
            attempt(client.runtime.ExecSync, a.ExecSyncRequest(container_id=c.container_id, cmd=["/bin/true"]), timeout=20)
            attempt(client.runtime.StopContainer, a.StopContainerRequest(container_id=c.container_id, timeout=0), timeout=20)
            attempt(client.runtime.RemoveContainer, a.RemoveContainerRequest(container_id=c.container_id), timeout=20)
        attempt(client.runtime.StopPodSandbox, a.StopPodSandboxRequest(pod_sandbox_id=pod.id), timeout=20)
        attempt(client.runtime.RemovePodSandbox, a.RemovePodSandboxRequest(pod_sandbox_id=pod.id), timeout=20)


def test_kills_at_random_moments(cri):
    cri.pull(cri.images.busybox)
    steady = cri.run(name="steady", network="pod")
    counter = steady.container(COUNT)
    dice = random.Random()
    seed = dice.randrange(10**9)
    dice.seed(seed)
    print("seed", seed)
    for round_ in range(20):
        stop = threading.Event()
        clients = [cri.hulld.client() for _ in range(4)]
        workers = [threading.Thread(target=life, args=(cri, client, i, stop)) for i, client in enumerate(clients)]
        for w in workers:
            w.start()
        time.sleep(dice.uniform(0, 0.25))
        cri.hulld.kill()
        stop.set()
        for w in workers:
            w.join(30)
            assert not w.is_alive()
        cri.hulld.start()
        cri.connect()
        again(cri, steady), again(cri, counter)
        assert steady.status().state == READY and counter.status().state == RUNNING, round_
        for pod in cri.pods():
            if pod.id != steady.id:
                cri.runtime.RemovePodSandbox(cri.api.RemovePodSandboxRequest(pod_sandbox_id=pod.id))
        assert [p.id for p in cri.pods()] == [steady.id] and [c.id for c in cri.containers()] == [counter.id]
        left = wait_left(cri, steady, counter)
        assert left == {}, (round_, left)
    end(counter.pid, 3)
    assert counter.wait().exit_code == 3
    seen = numbers(counter)
    assert seen == list(range(len(seen)))


def wait_left(cri, pod, c):
    """leaks() but for one pod with one container."""
    own = {"netns": {os.path.basename(pod.netns)}, "mounts": {pod.netns}, "pods": {pod.id}, "containers": {c.id}}
    deadline = time.monotonic() + 30
    while True:
        left = cri.hulld.leaks(wait=0)
        left["processes"] = {p: t for p, t in left.get("processes", {}).items() if not belongs(p, pod, c)}
        left["cgroups"] = [g for g in left.get("cgroups", []) if c.id not in g and not g.endswith(cri.hulld.tag)]
        left["links"] = left.get("links", [])[1:]
        for key, known in own.items():
            left[key] = [x for x in left.get(key, []) if x not in known]
        left = {k: v for k, v in left.items() if v}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def belongs(pid, pod, c):
    try:
        text = pathlib.Path(f"/proc/{pid}/cmdline").read_text() + pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return True
    return pod.id in text or c.id in text or pod.info["monitorPid"] == pid


@pytest.mark.parametrize("milliseconds", [0, 2, 5, 10, 20, 40])
def test_kill_during_stop_and_removal(cri, milliseconds):
    pods = [cri.run(network="pod", userns=BASE + i * 65536) for i in range(3)]
    for p in pods:
        p.container(FOREVER)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(attempt, pods[0].stop), pool.submit(attempt, pods[1].remove)]
        time.sleep(milliseconds / 1000)
        cri.hulld.kill()
        for job in jobs:
            job.result(20)
    cri.hulld.start()
    cri.connect()
    for p in pods:
        again(cri, p)
    assert pods[2].status().state == READY
    for p in pods[:2]:
        p.stop()
        p.remove()
    assert [p.id for p in cri.pods()] == [pods[2].id]
    pods[2].remove()
    assert cri.leaks() == {}


@pytest.mark.parametrize("milliseconds", [0, 3, 6, 10, 15, 25])
def test_kill_during_create_and_start(cri, milliseconds):
    pod = cri.run(userns=BASE)
    config = pod.container_config(FOREVER, name="cut")
    cri.pull(cri.images.busybox)

    def create_and_start():
        c = attempt(pod.create, config)
        return attempt(c.start) if isinstance(c, Container) else c

    with concurrent.futures.ThreadPoolExecutor() as pool:
        job = pool.submit(create_and_start)
        time.sleep(milliseconds / 1000)
        cri.hulld.kill()
        job.result(20)
    cri.hulld.start()
    cri.connect()
    again(cri, pod)
    for c in cri.containers():
        c = Container(pod, config, c.id)
        if c.status().state == CREATED:
            c.start()
        assert c.status().state == RUNNING and c.sh("echo x") == "x"
        c.remove()
    assert pod.create(config).start().sh("echo y") == "y"


def monitor_pid(pod):
    return pod.info["monitorPid"]


@pytest.mark.parametrize("network", ["pod", "node"])
def test_killing_the_monitor_ends_the_pod(cri, network):
    pod = cri.run(network=network, userns=BASE)
    other = cri.run()
    c, ended = pod.container(FOREVER), pod.container("exit 4")
    stays = other.container(FOREVER)
    ended.wait()
    pid = c.pid
    os.kill(monitor_pid(pod), 9)
    wait_for(lambda: pod.status().state == NOTREADY)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    wait_for(lambda: c.status().state == EXITED)
    assert c.status().exit_code != 0 and ended.status().exit_code == 4
    assert stays.sh("echo x") == "x"
    with refused("FAILED_PRECONDITION"):
        pod.create(FOREVER)
    for _ in range(2):
        pod.stop()
    pod.remove()
    stays.pod.remove()
    assert cri.leaks() == {}


def test_killing_both_ends_the_pod(cri):
    pod = cri.run(network="pod", userns=BASE)
    c = pod.container(FOREVER)
    monitor = monitor_pid(pod)
    cri.hulld.kill()
    os.kill(monitor, 9)
    cri.hulld.start()
    cri.connect()
    assert again(cri, pod).status().state == NOTREADY
    assert again(cri, c).status().state == EXITED
    pod.remove()
    assert cri.leaks() == {}


def test_the_shared_init_of_a_pod_is_its_life(cri):
    pod = cri.run(pid="pod")
    c = pod.container(FOREVER)
    os.kill(pod.info["pid"], 9)
    wait_for(lambda: pod.status().state == NOTREADY)
    wait_for(lambda: c.status().state == EXITED)
    pod.remove()
    assert cri.leaks() == {}


def test_after_a_boot(cri):
    """Everything below the state directory is gone, as are all kernel objects; the database is not."""
    pod = cri.run(network="pod")
    c = pod.container(FOREVER)
    cri.hulld.stop()
    for pid in cri.hulld.processes():
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    wait_for(lambda: not cri.hulld.processes())
    for g in cri.hulld.cgroups():
        g.rmdir()
    for link in [*cri.hulld.links(), cri.hulld.bridge]:
        subprocess.run(["ip", "link", "delete", link], check=True)
    for path in [*(cri.hulld.netns_dir / n for n in cri.hulld.netns()), cri.hulld.netns_dir]:
        subprocess.run(["umount", "-l", path], check=True)
    shutil.rmtree(cri.hulld.netns_dir)
    shutil.rmtree(cri.hulld.state)
    cri.hulld.start()
    cri.connect()
    assert again(cri, pod).status().state == NOTREADY and again(cri, c).status().state == EXITED
    pod.stop()
    pod.remove()
    assert cri.run(network="pod").container("exit 0").wait().exit_code == 0


def test_sigterm_lets_running_requests_finish(cri):
    pod = cri.run()
    c = pod.container(COUNT)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        job = pool.submit(c.exec, "sleep 1; echo finished")
        wait_for(lambda: "sleep 1" in c.sh("ps -o args"))
        cri.hulld.send(signal.SIGTERM)
        assert job.result(60)[1] == b"finished\n"
    assert cri.hulld.process.wait(60) == 0
    cri.hulld.start()
    cri.connect()
    assert again(cri, c).status().state == RUNNING
    end(c.pid, 0)
    c.wait()
    seen = numbers(c)
    assert seen == list(range(len(seen)))


def test_restarts_do_not_disturb(cri):
    pod = cri.run(network="pod", userns=BASE)
    c = pod.container(COUNT)
    ip, pid, inode = pod.ip, c.pid, namespace_id(pod.netns)
    for how in ("stop", "kill", "stop"):
        cri.restart(how)
        again(cri, pod), again(cri, c)
        assert (pod.ip, c.pid, namespace_id(pod.netns)) == (ip, pid, inode)
        assert c.sh("echo x") == "x"
    c.stop(0)
    assert c.status().exit_code == 137


def test_instances_side_by_side(make_cri):
    a, b = make_cri(), make_cri()
    pods = [n.run(name="same", network="pod", userns=BASE + i * 65536) for i, n in enumerate((a, b))]
    cs = [p.container(FOREVER) for p in pods]
    assert pods[0].id != pods[1].id and [len(n.pods()) for n in (a, b)] == [1, 1]
    a.hulld.kill()
    pods[1].stop()
    pods[1].remove()
    assert b.leaks() == {}
    a.hulld.start()
    a.connect()
    assert again(a, pods[0]).status().state == READY and again(a, cs[0]).sh("echo x") == "x"
