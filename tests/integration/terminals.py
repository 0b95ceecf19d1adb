# SPDX-License-Identifier: Apache-2.0
"""A terminal to run programs on, with its owner's view of it: what is shown, typed, its size and its modes."""
import array
import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import termios
import time

TIMEOUT = 60  # of what should come at once, on a machine that is busy


class Screen:
    """The owner's side of a pty; its end is a hangup for who runs on it."""

    def __init__(self, master):
        self.master, self.shown = master, b""

    def fileno(self):
        return self.master

    def read(self):
        """What there is, b"" at the end; waits for it."""
        if not select.select([self.master], [], [], TIMEOUT)[0]:
            raise AssertionError(f"nothing more came after {self.shown!r}")
        try:
            data = os.read(self.master, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            data = b""
        self.shown += data
        return data

    def until(self, text):
        """Read on until text was shown; what came before it and itself are returned, and gone."""
        text = text.encode()
        while text not in self.shown:
            if not self.read():
                raise AssertionError(f"no {text!r} in {self.shown!r}")
        end = self.shown.index(text) + len(text)
        before, self.shown = self.shown[:end], self.shown[end:]
        return before.decode()

    def rest(self):
        while self.read():
            pass
        return self.shown.decode()

    def type(self, text):
        os.write(self.master, text.encode())

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self):
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


class Terminal(Screen):
    """A new pty; run() starts a program whose controlling terminal it is."""

    def __init__(self, rows=24, columns=80):
        master, self.slave = os.openpty()
        super().__init__(master)
        self.process = None
        self.resize(rows, columns)
        self.modes_before = termios.tcgetattr(self.slave)

    def run(self, argv, cwd, **stdio):
        def prepare():
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

        for name in ("stdin", "stdout", "stderr"):
            stdio.setdefault(name, self.slave)
        self.process = subprocess.Popen(list(map(str, argv)), cwd=cwd, preexec_fn=prepare, **stdio)
        return self.process

    def end(self):
        """Wait for the program; what it showed since the last until(), and its exit status."""
        deadline = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.02)[0]:
                self.read()
            assert time.monotonic() < deadline, f"still runs, after {self.shown!r}"
        while select.select([self.master], [], [], 0)[0] and self.read():
            pass
        return self.shown.decode(), self.process.returncode

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def wait_raw(self, raw=True):
        deadline = time.monotonic() + TIMEOUT
        while self.is_raw() != raw:
            assert time.monotonic() < deadline, f"raw is {not raw}"
            time.sleep(0.01)

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.modes_before

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1
        super().close()


class ConsoleSocket:
    """What an engine listens on for the terminals of detached containers."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(path.parent, os.O_PATH)
        try:
            self.listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # the path may be a long one
        finally:
            os.close(folder)
        self.listener.listen(4)
        self.listener.settimeout(TIMEOUT)

    def take(self):
        """The message and the screen that came with it."""
        peer, _ = self.listener.accept()
        with peer:
            peer.settimeout(TIMEOUT)
            fds = array.array("i")
            text, ancillary, _, _ = peer.recvmsg(4096, socket.CMSG_LEN(16 * fds.itemsize))
            for level, kind, data in ancillary:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                fds.frombytes(data)
        assert len(fds) == 1
        return text, Screen(fds[0])

    def close(self):
        self.listener.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
