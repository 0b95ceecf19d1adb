# SPDX-License-Identifier: Apache-2.0
"""A seccomp agent: what listens at the listenerPath of a profile, and answers for the calls it notifies of."""
import array
import fcntl
import json
import os
import socket
import struct
import threading

RECV, SEND, ID_VALID = 0xC0502100, 0xC0182101, 0x40082102  # SECCOMP_IOCTL_NOTIF_*
NOTIF, DATA, RESP = "=QII", "=iIQ6Q", "=QqiI"


class Agent(threading.Thread):
    """Takes one container process state a connection, and answers each call with an errno until the filter is gone."""

    def __init__(self, path, error):
        super().__init__(daemon=True)
        self.error, self.states, self.calls, self.extra = error, [], [], []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen(8)
        self.start()

    def take(self, conn):
        data, ancillary, _, _ = conn.recvmsg(65536, socket.CMSG_SPACE(4 * 8))
        fds = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content)
        while more := conn.recv(65536):  # the runtime closes the connection after one state
            data += more
        return json.loads(data), list(fds)

    def answer(self, fd):
        while True:
            raw = bytearray(80)
            try:
                fcntl.ioctl(fd, RECV, raw)
            except OSError:  # ENOENT: the last process of the filter is gone
                break
            ident, pid, _ = struct.unpack_from(NOTIF, raw)
            self.calls.append((pid, struct.unpack_from(DATA, raw, 16)))
            try:
                fcntl.ioctl(fd, SEND, struct.pack(RESP, ident, 0, -self.error, 0))
            except OSError:
                pass
        os.close(fd)

    def run(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            with conn:
                state, fds = self.take(conn)
            self.states.append(state)
            self.extra.append(len(fds))
            threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    def stop(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.join()
