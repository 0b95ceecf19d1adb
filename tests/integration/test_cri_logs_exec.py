# SPDX-License-Identifier: Apache-2.0
"""Log files in the CRI format, and ExecSync."""
import concurrent.futures
import contextlib
import datetime
import os
import pathlib
import re
import time

import grpc
import pytest

from crikit import EXITED, FOREVER, RUNNING, refused, wait_for

PART = 16 * 1024
CAP = 16 * 1024 * 1024


def reopen(c):
    c.runtime.ReopenContainerLog(c.api.ReopenContainerLogRequest(container_id=c.id))


# --- logs ---------------------------------------------------------------------------------------------


def test_lines_have_time_stream_and_tag(cri):
    before = datetime.datetime.now(datetime.timezone.utc)
    c = cri.run().container("echo one; echo two >&2; echo; printf 'no newline'")
    c.wait()
    records = c.records()
    assert [(tag, text) for _, s, tag, text in records if s == "stdout"] == [("F", b"one"), ("F", b""), ("P", b"no newline")] or \
        [(tag, text) for _, s, tag, text in records if s == "stdout"] == [("F", b"one"), ("F", b""), ("F", b"no newline")]
    assert [(tag, text) for _, s, tag, text in records if s == "stderr"] == [("F", b"two")]
    for stamp, _, _, _ in records:
        when = datetime.datetime.fromisoformat(re.sub(r"\.(\d{6})\d{3}", r".\1", stamp).replace("Z", "+00:00"))
        assert before - datetime.timedelta(seconds=1) < when < datetime.datetime.now(datetime.timezone.utc)
    assert sorted(r[0] for r in records if r[1] == "stdout") == [r[0] for r in records if r[1] == "stdout"]


@pytest.mark.parametrize("size, tags", [(PART - 1, "F"), (PART, "F"), (PART + 1, "PF"), (3 * PART, "PPF"), (100000, "PPPPPPF")])
def test_long_lines_are_parts_of_16_kib(cri, size, tags):
    c = cri.run().container(f"head -c {size} /dev/zero | tr '\\0' x; echo")
    c.wait()
    records = c.records()
    assert b"".join(r[3] for r in records) == b"x" * size
    assert all(len(r[3]) <= PART for r in records)
    got = "".join(r[2] for r in records)
    # A line that fills its last part may need an empty record to say so.
    assert got.endswith("F") and set(got[:-1]) <= {"P"} and len(tags) <= len(got) <= len(tags) + 1


def test_bytes_come_through_as_they_are(cri):
    c = cri.run().container(r"printf 'a\000b\377\r\tend\n'; head -c 100000 /dev/urandom > /tmp/r; cat /tmp/r; md5sum /tmp/r >&2")
    c.wait()
    records = c.records()
    assert records[0][3] == b"a\0b\xff\r\tend"
    raw = b"".join(t + (b"\n" if tag == "F" else b"") for _, s, tag, t in records[1:] if s == "stdout")
    import hashlib
    want = c.output("stderr").split()[0]
    assert want in (hashlib.md5(raw).hexdigest(), hashlib.md5(raw[:-1]).hexdigest())


def test_a_million_lines_are_all_there(cri):
    c = cri.run().container("seq 1 200000")
    st = c.wait(60)
    assert st.exit_code == 0
    assert c.output() == "".join(f"{i}\n" for i in range(1, 200001))


def test_the_streams_do_not_mix_within_a_line(cri):
    c = cri.run().container("for i in 1 2 3 4 5 6 7 8 9; do echo out$i; echo err$i >&2; done")
    assert c.output() == "".join(f"out{i}\n" for i in range(1, 10))
    assert c.output("stderr") == "".join(f"err{i}\n" for i in range(1, 10))


def test_rotation_loses_nothing_while_writing(cri):
    c = cri.run().container("i=0; while [ ! -e /stop ]; do echo $i; i=$((i+1)); done")
    path, rotated = c.log_path, []
    for n in range(6):
        wait_for(lambda: path.exists() and path.stat().st_size > 2000)
        target = path.with_suffix(f".{n}")
        os.rename(path, target)
        rotated.append(target)
        reopen(c)
        assert path.exists()  # before the answer (ReopenContainerLog)
    with contextlib.suppress(grpc.RpcError):
        c.exec("touch /stop")  # killed with the container, when that sees the file first
    c.wait()
    text = b"".join(p.read_bytes() for p in [*rotated, path])
    numbers = [int(line.split(b" ")[3]) for line in text.splitlines()]
    assert numbers == list(range(len(numbers))) and len(numbers) > 100


def test_reopening_the_log_of_an_ended_container(cri):
    c = cri.run().container("echo x")
    c.wait()
    os.rename(c.log_path, str(c.log_path) + ".1")
    try:
        reopen(c)
        existed = True
    except grpc.RpcError:
        existed = False
    assert c.log_path.exists() == existed  # made and answered, or neither


def test_a_log_that_cannot_be_reopened_goes_on_in_the_old_file(cri):
    c = cri.run().container("while :; do echo x; sleep 0.01; done")
    c.lines(1)
    moved = c.log_path.with_suffix(".old")
    directory = c.log_path.parent
    os.rename(c.log_path, moved)
    os.rename(directory, str(directory) + ".away")
    directory.write_text("a file in the way")
    with pytest.raises(grpc.RpcError):
        reopen(c)
    moved = pathlib.Path(str(directory) + ".away") / moved.name
    size = moved.stat().st_size
    wait_for(lambda: moved.stat().st_size > size)
    assert c.status().state == RUNNING


def test_log_paths_that_leave_their_directory(cri):
    pod = cri.run()
    for path in ("../x.log", "a/../../x.log", "/tmp/x.log", "a/./b.log", ".."):
        with refused("INVALID_ARGUMENT", "log_path"):
            pod.container(log_path=path)
    outside = cri.hulld.base / "outside"
    outside.mkdir()
    logs = pathlib.Path(pod.config.log_directory)
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "way").symlink_to(outside)
    (logs / "file.log").symlink_to(outside / "evil")
    for path in ("way/x.log", "file.log"):
        with pytest.raises(grpc.RpcError, match="log"):
            pod.container("echo x", log_path=path)
    assert list(outside.iterdir()) == []
    assert cri.containers() == []


def test_without_a_log_path_output_is_thrown_away(cri):
    pod = cri.run()
    c = pod.container("echo x; seq 1 100000; exit 4", log_path="")
    assert c.wait().exit_code == 4 and c.status().log_path == ""
    assert cri.run(log_directory="").container("echo x").wait().exit_code == 0


def test_a_full_file_system_does_not_stop_the_container(cri, tmp_path):
    import subprocess
    logs = tmp_path / "logs"
    logs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", logs], check=True)
    try:
        pod = cri.run(log_directory=str(logs))
        c = pod.container("seq 1 50000; exit 5")
        assert c.wait(20).exit_code == 5
        pod.remove()
    finally:
        subprocess.run(["umount", "-l", logs], check=True)


# --- exec ---------------------------------------------------------------------------------------------


def test_exec_gives_output_and_exit_code(cri):
    c = cri.run(network="pod", userns=100000).container(FOREVER)
    assert c.exec("echo out; echo err >&2; exit 42") == (42, b"out\n", b"err\n")
    assert c.exec(["/bin/true"]) == (0, b"", b"") and c.exec(["false"])[0] == 1
    assert c.exec("kill -9 $$")[0] == 137
    assert c.exec("readlink /proc/self/fd/0; cat | wc -c")[1] == b"/dev/null\n0\n"
    assert c.exec(["printf", "%s|", "a b", "", "ü"])[1] == "a b||ü|".encode()


def test_exec_runs_as_the_container_does(cri):
    a = cri.api
    c = cri.run(network="pod", userns=100000).container(
        FOREVER, working_dir="/etc", envs=[a.KeyValue(key="K", value=b"v")], resources={"memory_limit_in_bytes": 64 << 20},
        security={"run_as_user": a.Int64Value(value=1000), "no_new_privs": True,
                  "capabilities": a.Capability(drop_capabilities=["ALL"]),
                  "seccomp": a.SecurityProfile(profile_type=a.SecurityProfile.RuntimeDefault)})
    assert c.sh("id -u; pwd; echo $K; hostname").split() == ["1000", "/etc", "v", c.pod.config.hostname]
    st = c.sh("cat /proc/self/status")
    for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"):
        assert line in st
    # But for a cgroup v2 of its own below the container's, by which all of it is killed.
    groups = [[line for line in c.sh(f"cat /proc/{p}/cgroup").splitlines() if line[:3] != "0::"] for p in ("self", "1")]
    assert groups[0] == groups[1]
    for kind in ("net", "user", "pid", "ipc", "mnt", "uts"):
        assert c.sh(f"readlink /proc/self/ns/{kind}") == os.readlink(f"/proc/{c.pid}/ns/{kind}")


def test_exec_of_a_missing_program(cri):
    c = cri.run().container(FOREVER)
    for command in (["/no/such"], ["nothing-like-that"], ["/data/file"], ["/etc"]):
        # NOT_FOUND would be that of the container to a kubelet.
        with refused("INVALID_ARGUMENT" if command[0].startswith(("/no", "no")) else "PERMISSION_DENIED", command[0]):
            c.exec(command)
    assert c.status().state == RUNNING


def test_exec_timeout_kills_all_that_it_started(cri):
    c = cri.run().container(FOREVER)
    for command in ("sleep 1000", "sleep 1000 & sleep 1000", "trap '' TERM; (setsid sleep 1000 &) ; while :; do sleep 0.1; done"):
        start = time.monotonic()
        with refused("DEADLINE_EXCEEDED"):
            c.exec(command, timeout=1)
        assert 0.9 < time.monotonic() - start < 30
    wait_for(lambda: "sleep 1000" not in c.sh("ps -o args"))
    assert c.sh("echo ok") == "ok"


def test_exec_of_a_client_that_gives_up_is_ended(cri):
    c = cri.run().container(FOREVER)
    call = c.runtime.ExecSync.future(c.api.ExecSyncRequest(container_id=c.id, cmd=["/bin/sleep", "777"]))
    wait_for(lambda: "sleep 777" in c.sh("ps -o args"))
    call.cancel()
    wait_for(lambda: "sleep 777" not in c.sh("ps -o args"))


def test_exec_output_is_capped_and_the_rest_dropped(cri):
    c = cri.run().container(FOREVER)
    code, out, err = c.exec(f"head -c {CAP * 2} /dev/zero | tr '\\0' a; echo end >&2; exit 3")
    assert code == 3 and CAP * 0.9 < len(out) + len(err) <= CAP and set(out) == {ord("a")}
    assert cri.hulld.pss_kib() < 80 * 1024 or cri.hulld.is_sanitized()
    code, out, err = c.exec(f"head -c {CAP} /dev/zero >&2; head -c 100 /dev/zero")
    assert code == 0 and len(out) + len(err) <= CAP


def test_exec_does_not_wait_for_what_stays_in_the_background(cri):
    c = cri.run().container(FOREVER)
    start = time.monotonic()
    assert c.exec("(sleep 1000 &) ; echo done")[1] == b"done\n"
    assert time.monotonic() - start < 60


def test_many_execs_at_once(cri):
    c = cri.run().container(FOREVER)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda i: c.exec(f"echo {i}; exit {i}"), range(40)))
    assert answers == [(i, f"{i}\n".encode(), b"") for i in range(40)]
    assert "exit 3" not in c.sh("ps -o args")


def test_exec_in_containers_that_do_not_run(cri):
    pod = cri.run()
    created, ended = pod.create(FOREVER), pod.container("exit 0")
    ended.wait()
    for c in (created, ended):
        with refused("FAILED_PRECONDITION", "not running"):
            c.exec("true")
    with refused("INVALID_ARGUMENT", "cmd"):
        pod.container(FOREVER).exec([])
    with refused("INVALID_ARGUMENT", "timeout"):
        pod.container(FOREVER).exec("true", timeout=-1)


def test_the_container_ends_during_an_exec(cri):
    c = cri.run().container(FOREVER)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        job = pool.submit(c.exec, "sleep 1000")
        wait_for(lambda: "sleep 1000" in c.sh("ps -o args"))
        c.stop(0)
        try:
            assert job.result(60)[0] == 137
        except grpc.RpcError as e:
            assert e.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)
    assert c.status().state == EXITED
