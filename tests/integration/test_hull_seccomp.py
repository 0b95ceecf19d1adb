# SPDX-License-Identifier: Apache-2.0
"""linux.seccomp of the OCI specification: each claim is made from inside of a container, and the agent that answers
for SCMP_ACT_NOTIFY is a real one."""
import errno
import os
import pathlib
import socket

import pytest

from bundles import C1, bundle, pytestmark, said  # noqa: F401 pylint: disable=unused-import
from seccomp_agent import Agent


@pytest.fixture
def agent(tmp_path):
    a = Agent(tmp_path / "agent.sock", errno.EXDEV)
    yield a
    a.stop()


def profile(bundle, *rules, default="SCMP_ACT_ALLOW", **keys):
    bundle.edit(lambda c: c["linux"].update(seccomp={"defaultAction": default, "syscalls": list(rules), **keys}))


def rule(action, *names, **keys):
    return {"names": list(names), "action": action, **keys}


def asks_agent(bundle, tmp_path, **keys):
    profile(bundle, rule("SCMP_ACT_NOTIFY", "mkdir", "mkdirat"), listenerPath=str(tmp_path / "agent.sock"), **keys)


# ---- actions ---------------------------------------------------------------------------------------------------------


def test_errno_of_a_rule_and_of_the_default(bundle):
    profile(bundle, rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat", errnoRet=errno.EXDEV),
            rule("SCMP_ACT_ERRNO", "rmdir", "unlinkat"))
    bundle.sh("busybox mkdir /tmp/a; busybox rmdir /tmp")
    err = bundle.hull("run", C1, check=False).stderr
    assert "Invalid cross-device link" in err
    assert "rmdir: '/tmp': Operation not permitted" in err  # EPERM is the default errnoRet


def test_default_errno(bundle):
    names = """read write open openat close stat fstat lstat newfstatat execve exit exit_group brk mmap
        mprotect munmap getuid getgid geteuid getegid setuid setgid rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
        arch_prctl set_tid_address set_robust_list rseq prlimit64 getrandom ioctl fcntl dup2 dup3 getpid getppid uname
        sendmsg prctl capset capget setgroups setresuid setresgid poll readlink readlinkat access faccessat faccessat2
        clone clone3 vfork fork wait4 futex getcwd chdir umask socket connect lseek getdents64 statx pipe pipe2
        sched_getaffinity""".split()
    profile(bundle, rule("SCMP_ACT_ALLOW", *names), default="SCMP_ACT_ERRNO", defaultErrnoRet=errno.ENOTTY)
    bundle.args("busybox", "mkdir", "/tmp/a")
    err = bundle.hull("run", C1, check=False).stderr
    assert "Inappropriate ioctl for device" in err


def test_arguments(bundle):
    """kill(2) is refused for SIGUSR1 alone, by each operator."""
    for op in ({"op": "SCMP_CMP_EQ", "value": 10}, {"op": "SCMP_CMP_MASKED_EQ", "value": 0xFF, "valueTwo": 10}):
        profile(bundle, rule("SCMP_ACT_ERRNO", "kill", errnoRet=errno.EXDEV, args=[{"index": 1, **op}]))
        bundle.sh("trap : USR1 USR2; kill -USR2 $$ && echo sent; kill -USR1 $$")
        done = bundle.hull("run", C1, check=False)
        assert done.stdout == "sent\n" and "Invalid cross-device link" in said(done)
    for op, value, refused in (("NE", 10, 12), ("LT", 11, 10), ("LE", 10, 10), ("GE", 12, 12), ("GT", 11, 12)):
        other = 22 - refused
        profile(bundle, rule("SCMP_ACT_ERRNO", "kill", errnoRet=errno.EXDEV,
                             args=[{"index": 1, "op": f"SCMP_CMP_{op}", "value": value}]))
        bundle.sh(f"trap : USR1 USR2; kill -{other} $$ && echo sent; kill -{refused} $$")
        done = bundle.hull("run", C1, check=False)
        assert (op, done.stdout) == (op, "sent\n") and "Invalid cross-device link" in said(done)


@pytest.mark.parametrize("action,status", [("SCMP_ACT_KILL", 159), ("SCMP_ACT_KILL_THREAD", 159),
                                           ("SCMP_ACT_KILL_PROCESS", 159), ("SCMP_ACT_TRAP", 159)])
def test_deadly_actions(bundle, action, status):
    profile(bundle, rule(action, "mkdir", "mkdirat"))
    bundle.sh("busybox mkdir /tmp/a; echo $?")
    assert bundle.hull("run", C1, check=False).stdout == f"{status}\n"  # 128 + SIGSYS


def test_log_and_trace(bundle):
    profile(bundle, rule("SCMP_ACT_LOG", "mkdir", "mkdirat"), rule("SCMP_ACT_TRACE", "rmdir", "unlinkat"))
    bundle.sh("busybox mkdir /tmp/a && echo logged; busybox rmdir /tmp/a")
    done = bundle.hull("run", C1, check=False)
    assert done.stdout == "logged\n"
    assert "Function not implemented" in said(done)  # SECCOMP_RET_TRACE without a tracer


def test_unknown_names_are_passed_over(bundle):
    profile(bundle, rule("SCMP_ACT_ERRNO", "no_such_call", "mkdir", "mkdirat"))
    bundle.args("busybox", "mkdir", "/tmp/a")
    assert "Operation not permitted" in bundle.hull("run", C1, check=False).stderr


def test_filter_is_there_without_and_with_no_new_privileges(bundle):
    for flag in (False, True):
        bundle.edit(lambda c: c["process"].update(noNewPrivileges=flag))
        profile(bundle, rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat"))
        bundle.sh("grep -E 'NoNewPrivs|Seccomp:' /proc/self/status")
        assert bundle.hull("run", C1).stdout.split() == ["NoNewPrivs:", str(int(flag)), "Seccomp:", "2"]


@pytest.mark.parametrize("flags", [["TSYNC"], ["LOG"], ["SPEC_ALLOW"], ["WAIT_KILLABLE_RECV"],
                                   ["LOG", "SPEC_ALLOW", "TSYNC"]])
def test_flags(bundle, flags):
    profile(bundle, rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat"), flags=[f"SECCOMP_FILTER_FLAG_{f}" for f in flags])
    bundle.sh("grep -E 'Speculation_Store|Seccomp:' /proc/self/status")
    out = bundle.hull("run", C1).stdout
    assert "Seccomp:\t2" in out
    if "SPEC_ALLOW" not in flags:
        return
    assert "force mitigated" not in out


def test_architectures(bundle):
    profile(bundle, rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat"),
            architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
    bundle.args("busybox", "mkdir", "/tmp/a")
    assert "Operation not permitted" in bundle.hull("run", C1, check=False).stderr


@pytest.mark.parametrize("change,why", [
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY as the default"),
    ({"defaultAction": "SCMP_ACT_NO"}, 'linux.seccomp.defaultAction: "SCMP_ACT_NO" is not one of the known words'),
    ({"flags": ["SECCOMP_FILTER_FLAG_X"]}, "linux.seccomp.flags[0]"),
    ({"architectures": ["SCMP_ARCH_X"]}, 'linux.seccomp.architectures: "SCMP_ARCH_X"'),
    ({"architectures": ["SCMP_ARCH_S390X"]}, "SCMP_ARCH_S390X"),
    ({"architectures": ["SCMP_ARCH_LOONGARCH64"]}, "SCMP_ARCH_LOONGARCH64"),
    ({"defaultErrnoRet": 1}, "linux.seccomp.defaultErrnoRet: only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have one"),
    ({"syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]}, "linux.seccomp.syscalls[0].names: is empty"),
    ({"syscalls": [rule("SCMP_ACT_NOTIFY", "mkdir")]}, "linux.seccomp.listenerPath: is missing"),
    ({"syscalls": [rule("SCMP_ACT_NOTIFY", "mkdir")], "listenerPath": "/no/such"}, 'seccomp agent "/no/such"'),
    ({"syscalls": [rule("SCMP_ACT_NOTIFY", "mkdir")], "listenerPath": "/dev/null"}, '"/dev/null" is no socket'),
    ({"listenerMetadata": "x"}, "linux.seccomp.listenerMetadata: without listenerPath"),
])
def test_nonsense_is_refused_before_anything_is_made(bundle, change, why):
    profile(bundle)
    bundle.edit(lambda c: c["linux"]["seccomp"].update(change))
    done = bundle.hull("create", C1, check=False)
    assert done.returncode == 1 and why in said(done)
    assert not os.path.exists(bundle.root) or C1 not in os.listdir(bundle.root)
    assert not list(pathlib.Path("/sys/fs/cgroup").glob(f"*/hull/{C1}"))


# ---- notify ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("no_new_privs", [False, True])
def test_agent_answers_for_run(bundle, agent, tmp_path, no_new_privs):
    bundle.edit(lambda c: c["process"].update(noNewPrivileges=no_new_privs))
    bundle.edit(lambda c: c.update(annotations={"a.b": "c"}))
    asks_agent(bundle, tmp_path, listenerMetadata="for the agent",
               flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"])
    bundle.sh("busybox mkdir /tmp/a; test -e /tmp/a || echo not made")
    done = bundle.hull("run", C1, check=False)
    assert done.stdout == "not made\n" and "Invalid cross-device link" in said(done)
    [state], [extra] = agent.states, agent.extra
    assert extra == 1 and state["fds"] == ["seccompFd"] and state["ociVersion"].startswith("1.")
    assert state["metadata"] == "for the agent"
    inner = state["state"]
    assert (inner["id"], inner["status"], inner["pid"]) == (C1, "created", state["pid"])
    assert inner["bundle"] == str(bundle.path) and inner["annotations"] == {"a.b": "c"}
    assert len(agent.calls) == 1


def test_agent_answers_for_create_start_and_exec(bundle, agent, tmp_path):
    asks_agent(bundle, tmp_path)
    bundle.sh("busybox mkdir /tmp/a; exec sleep 100")
    bundle.create(C1)
    assert agent.states == []  # the filter comes with the start
    bundle.hull("start", C1)
    pid = bundle.state(C1)["pid"]
    done = bundle.hull("exec", C1, "busybox", "mkdir", "/tmp/b", check=False)
    assert done.returncode == 1 and "Invalid cross-device link" in said(done)
    bundle.wait_for_log(C1, "Invalid cross-device link")
    first, second = agent.states
    assert first["pid"] == first["state"]["pid"] == pid
    assert second["pid"] != pid and second["state"]["pid"] == pid and second["state"]["status"] == "running"
    assert {call[0] for call in agent.calls} & {second["pid"]}


def test_agent_sees_the_runtimes_own_calls(bundle, agent, tmp_path):
    """Without no_new_privs the filter comes before the ids change: the agent is asked for those calls already."""
    profile(bundle, rule("SCMP_ACT_NOTIFY", "setresuid"), listenerPath=str(tmp_path / "agent.sock"))
    bundle.edit(lambda c: c["process"].update(noNewPrivileges=False))
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and "set uid 0: Invalid cross-device link" in said(done)
    assert len(agent.calls) == 1


def test_agent_that_does_not_listen(bundle, tmp_path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(tmp_path / "agent.sock"))
    sock.close()
    asks_agent(bundle, tmp_path)
    bundle.sh("echo it ran")
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert f'connect to the seccomp agent at "{tmp_path}/agent.sock": Connection refused' in said(done)
    assert bundle.hull("state", C1, check=False).returncode == 1


def test_listener_path_without_notify_is_ignored(bundle):
    profile(bundle, rule("SCMP_ACT_ERRNO", "mkdir"), listenerPath="/no/such/socket")
    bundle.args("true")
    bundle.hull("run", C1)


def test_notify_of_what_passes_the_listener_is_refused(bundle, agent, tmp_path):
    profile(bundle, rule("SCMP_ACT_NOTIFY", "mkdir", "sendmsg"), listenerPath=str(tmp_path / "agent.sock"))
    done = bundle.hull("run", C1, check=False)
    assert done.returncode == 1 and "SCMP_ACT_NOTIFY cannot be used for sendmsg" in said(done)
    assert agent.states == []
