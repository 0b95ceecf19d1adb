# SPDX-License-Identifier: Apache-2.0
"""Just enough of HTTP/2 (RFC 9113) and HPACK (RFC 7541) to send what no well-behaved client sends."""
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1

GRPC_HEADERS = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"),
                ("content-type", "application/grpc"), ("te", "trailers")]


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _integer(value, bits, first):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = [first | limit], value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def hpack(headers):
    """Every field as a literal that is not indexed, without Huffman coding."""
    out = b""
    for name, value in headers:
        name, value = name.encode(), value.encode()
        out += b"\0" + _integer(len(name), 7, 0) + name + _integer(len(value), 7, 0) + value
    return out


def message(body):
    return struct.pack(">BI", 0, len(body)) + body


class Raw:
    """One connection, frame by frame."""

    def __init__(self, path, handshake=True, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.buffer = b""
        if handshake:
            self.send(PREFACE + frame(SETTINGS, 0, 0))

    def send(self, data):
        self.socket.sendall(data)

    def headers(self, stream, path, extra=(), without=(), flags=END_HEADERS):
        fields = [h for h in GRPC_HEADERS if h[0] not in without] + [(":path", path)]
        # Pseudo-header fields come first.
        fields.sort(key=lambda h: not h[0].startswith(":"))
        self.send(frame(HEADERS, flags, stream, hpack(fields + list(extra))))

    def read_frame(self):
        """(type, flags, stream, payload), or None at the end of the connection."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.buffer += more
        length = int.from_bytes(self.buffer[:3], "big")
        head, payload = self.buffer[:9], self.buffer[9:9 + length]
        self.buffer = self.buffer[9 + length:]
        return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7fffffff, payload

    def until(self, *kinds):
        """The next frame of one of these types; None at the end."""
        while True:
            f = self.read_frame()
            if f is None or f[0] in kinds:
                return f

    def is_closed(self):
        return self.until(-1) is None

    def close(self):
        self.socket.close()
