# SPDX-License-Identifier: Apache-2.0
"""sd_notify(3): what a container tells the manager of the unit in which hull runs."""
import array
import os
import socket
import subprocess

import pytest

from bundles import HULL, bundle, pytestmark  # noqa: F401
from commandkit import box  # noqa: F401


class Manager:
    """What systemd is for a unit with Type=notify."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(30)
        self.sock.bind("\0" + address[1:] if address[0] == "@" else address)
        self.env = {**os.environ, "NOTIFY_SOCKET": address}

    def hears(self):
        fds = array.array("i")
        text, ancillary, _, _ = self.sock.recvmsg(4096, socket.CMSG_LEN(fds.itemsize))
        for _, _, data in ancillary:
            fds.frombytes(data)
        return text.decode(), list(fds)


SAY = """
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for text in sys.argv[1:]:
    s.sendto(text.encode().decode("unicode_escape").encode(), os.environ["NOTIFY_SOCKET"])
time.sleep(100)
"""


@pytest.fixture
def talking(box):
    """A container that says things to its NOTIFY_SOCKET: with the host's python, read-only."""
    for name in ("usr", "lib", "lib64"):
        if os.path.exists(f"/{name}"):
            box.edit(lambda c, n=name: c["mounts"].append({"destination": f"/{n}", "type": "bind", "source": f"/{n}",
                                                           "options": ["rbind", "ro"]}))
    box.args("/usr/bin/python3", "-c", SAY, "STATUS=not yet", "MAINPID=1\\nREADY=1\\nFDSTORE=1")
    return box


@pytest.mark.parametrize("address", ["socket", "@hull-test-notify"])
def test_a_container_tells_the_manager_that_it_is_ready(talking, address):
    manager = Manager(str(talking.path / "socket") if address == "socket" else f"{address}-{os.getpid()}")
    with subprocess.Popen([HULL, "--root", talking.root, "run", "-d", "c"], cwd=talking.path, env=manager.env,
                          stdin=subprocess.DEVNULL) as p:
        text, _ = manager.hears()
        assert text == f"READY=1\nMAINPID={talking.state('c')['pid']}"
        text, fds = manager.hears()
        assert text == "BARRIER=1" and len(fds) == 1
        assert p.poll() is None, "it did not wait until the manager has read the message"
        os.close(fds[0])
        assert p.wait(timeout=60) == 0


def test_create_and_start_of_a_container_that_notifies(talking):
    manager = Manager(str(talking.path / "socket"))
    log = open(talking.path / "c.log", "wb")
    subprocess.run([HULL, "--root", talking.root, "create", "c"], cwd=talking.path, env=manager.env, check=True,
                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60)
    log.close()
    with subprocess.Popen([HULL, "--root", talking.root, "start", "c"], env=manager.env) as p:
        text, _ = manager.hears()
        assert text == f"READY=1\nMAINPID={talking.state('c')['pid']}"
        os.close(manager.hears()[1][0])
        assert p.wait(timeout=60) == 0


def test_run_stays_the_main_process(talking):
    manager = Manager(str(talking.path / "socket"))
    with subprocess.Popen([HULL, "--root", talking.root, "run", "c"], cwd=talking.path, env=manager.env,
                          stdin=subprocess.DEVNULL) as p:
        assert manager.hears()[0] == f"READY=1\nMAINPID={p.pid}"
        talking.hull("kill", "c", "KILL")
        assert p.wait(timeout=60) == 137


def test_a_container_that_ends_before_it_is_ready(box):
    manager = Manager(str(box.path / "socket"))
    box.sh("exit 3")
    done = subprocess.run([HULL, "--root", box.root, "run", "-d", "c"], cwd=box.path, env=manager.env,
                          stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 0 and box.status("c") == "stopped"
